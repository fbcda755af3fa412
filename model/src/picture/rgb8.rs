//! A decoded picture: 8-bit RGB in main memory. Owns the invariant of its shape (the buffer has exactly `height * width
//! * 3` bytes); does not know where the bytes came from or what is done with them.

use std::fmt;

/// An 8-bit RGB picture, row-major: `(height, width, 3)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Rgb8 {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Rgb8 {
    /// Samples per pixel.
    pub const CHANNELS: usize = 3;

    /// Makes a picture of its samples, `(height, width, 3)` row-major.
    ///
    /// # Panics
    /// Panics if a side is zero or `pixels` is not `height * width * 3` long, which is a bug of the caller.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "a picture has pixels, not {width}x{height}");
        let expected = u64::from(width) * u64::from(height) * Self::CHANNELS as u64;
        assert!(pixels.len() as u64 == expected, "{width}x{height} RGB takes {expected} bytes, not {}", pixels.len());
        Self { width, height, pixels }
    }

    /// Returns the number of pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Returns the samples, `(height, width, 3)` row-major.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Returns the square of `side` pixels whose upper left corner is (x, y). It must lie within the picture.
    pub fn crop(&self, x: u32, y: u32, side: u32) -> Self {
        let rows = self.pixels.chunks_exact(self.row_bytes()).skip(y as usize).take(side as usize);
        let columns = x as usize * Self::CHANNELS..(x + side) as usize * Self::CHANNELS;
        Self::new(side, side, rows.flat_map(|row| &row[columns.clone()]).copied().collect())
    }

    /// Returns the number of bytes in a row.
    pub fn row_bytes(&self) -> usize {
        self.width as usize * Self::CHANNELS
    }
}

// Not derived: a failed assertion must not print megabytes of samples.
impl fmt::Debug for Rgb8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rgb8({}x{})", self.width, self.height)
    }
}
