//! A borrowed 8-bit RGB picture: the only kind of input. Owns the invariant of its shape; a gray picture has three equal
//! channels, which each metric treats as the gray picture itself.

/// A borrowed 8-bit RGB picture, row-major: `(height, width, 3)`.
#[derive(Clone, Copy)]
pub struct RgbView<'a> {
    samples: &'a [u8],
    width: usize,
    height: usize,
}

impl<'a> RgbView<'a> {
    /// Borrows the samples of a picture, `(height, width, 3)` row-major.
    ///
    /// # Panics
    /// Panics if a side is zero or `samples` is not `height * width * 3` long.
    pub fn new(samples: &'a [u8], width: usize, height: usize) -> Self {
        assert!(width > 0 && height > 0, "a picture has pixels, not {width}x{height}");
        assert_eq!(samples.len(), width * height * 3, "{width}x{height} RGB has another number of bytes");
        Self { samples, width, height }
    }

    /// Returns the samples, `(height, width, 3)` row-major.
    pub fn samples(&self) -> &'a [u8] {
        self.samples
    }

    /// Returns the number of pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Returns the pixels in row-major order.
    pub(crate) fn pixels(&self) -> impl ExactSizeIterator<Item = [u8; 3]> + use<'a> {
        self.samples.as_chunks::<3>().0.iter().copied()
    }

    /// Tells whether the other picture has the same width and height.
    pub(crate) fn has_size_of(&self, other: &RgbView<'_>) -> bool {
        (self.width, self.height) == (other.width, other.height)
    }
}
