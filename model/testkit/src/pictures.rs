//! Pictures made from a seed: smooth colour fields with noise under a haze-like veil, so that no area is flat and every
//! window differs. The same seed and size give the same bytes everywhere, since no library's random numbers are used.

use std::io::Cursor;

use crate::formula::{fnv1a, uniform};

/// Width of a field's cell in pixels, as in the goldens' pictures.
const CELL: usize = 40;

/// An RGB picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width * 3` bytes, row-major, interleaved.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Makes the picture of this seed and size.
    pub fn synthetic(seed: u64, width: usize, height: usize) -> Picture {
        let fields = fnv1a(&format!("fields/{seed}"));
        let noise = fnv1a(&format!("noise/{seed}"));
        let veil_end = 0.5 + 0.3 * uniform(fnv1a(&format!("veil/{seed}")), 0);
        let columns = width / CELL + 2;
        let field = |row: usize, column: usize, channel: usize| {
            127.5 + 127.5 * uniform(fields, ((row * columns + column) * 3 + channel) as u64)
        };
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            let veil = veil_end * y as f32 / height as f32;
            let (row, down) = (y / CELL, smooth(y));
            for x in 0..width {
                let (column, right) = (x / CELL, smooth(x));
                for channel in 0..3 {
                    let top = mix(field(row, column, channel), field(row, column + 1, channel), right);
                    let bottom = mix(field(row + 1, column, channel), field(row + 1, column + 1, channel), right);
                    let speck = 15.0 * uniform(noise, ((y * width + x) * 3 + channel) as u64);
                    let value = mix(mix(top, bottom, down), 230.0, veil) + speck;
                    rgb.push(value.round().clamp(0.0, 255.0) as u8);
                }
            }
        }
        Picture { width, height, rgb }
    }

    /// Encodes the picture as a PNG file.
    pub fn png(&self) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let (width, height) = (self.width as u32, self.height as u32);
        image::write_buffer_with_format(
            &mut file,
            &self.rgb,
            width,
            height,
            image::ExtendedColorType::Rgb8,
            image::ImageFormat::Png,
        )
        .unwrap_or_else(|e| panic!("cannot encode a {width}x{height} picture: {e}"));
        file.into_inner()
    }
}

/// Returns the position of `pixel` in its cell, 0..1, with a slope of 0 at both ends, so that no edge between cells is
/// visible.
fn smooth(pixel: usize) -> f32 {
    let t = (pixel % CELL) as f32 / CELL as f32;
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_picture() {
        let picture = Picture::synthetic(1, 100, 60);
        assert_eq!(picture.rgb.len(), 100 * 60 * 3);
        assert_eq!(picture, Picture::synthetic(1, 100, 60));
        assert_ne!(picture, Picture::synthetic(2, 100, 60));
    }

    #[test]
    fn png_holds_the_same_pixels() {
        let picture = Picture::synthetic(3, 33, 17);
        let read = image::load_from_memory(&picture.png()).unwrap().into_rgb8();
        assert_eq!((read.width(), read.height()), (33, 17));
        assert_eq!(read.into_raw(), picture.rgb);
    }
}
