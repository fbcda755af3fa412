//! TIFF's samples, as the decoder leaves them in memory, to RGB. Pure.

use ::tiff::ColorType;

use super::{FORMAT, PictureError};
use crate::decode::convert::{clip_u16, first_three, from_cmyk, from_gray, unmultiply};

const INTEGER: u16 = 1;
const SIGNED: u16 = 2;
const FLOAT: u16 = 3;

/// What the samples mean.
pub(super) struct Layout {
    pub(super) color: ColorType,
    pub(super) sample_format: u16,
    pub(super) white_is_zero: bool,
    /// The fourth sample is alpha that the colours have been multiplied by.
    pub(super) is_premultiplied: bool,
    pub(super) colors: Option<Vec<[u8; 3]>>,
}

/// The picture's shape in the file, before it is turned.
#[derive(Clone, Copy)]
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) height: usize,
    /// 1 where a pixel's samples lie together, else the number of planes that follow each other.
    pub(super) planes: usize,
}

impl Layout {
    pub(super) fn bits_per_pixel(&self) -> u64 {
        u64::from(self.color.bit_depth()) * u64::from(self.color.num_samples())
    }

    /// Refuses what [`to_rgb`] has no meaning for.
    pub(super) fn check(&self) -> Result<(), PictureError> {
        let is_known = match (self.color, self.sample_format) {
            (ColorType::Gray(1 | 2 | 4), INTEGER) => true,
            (ColorType::Gray(8), INTEGER) => true,
            (ColorType::Gray(8), SIGNED) => !self.white_is_zero,
            (ColorType::Gray(16), INTEGER) => self.colors.is_none(),
            (ColorType::Gray(16), SIGNED) | (ColorType::Gray(32), INTEGER | SIGNED | FLOAT) => {
                self.colors.is_none() && !self.white_is_zero
            }
            (ColorType::Multiband { bit_depth: 8, num_samples: 2 }, INTEGER) => {
                !self.white_is_zero && !self.is_premultiplied
            }
            (ColorType::RGB(8 | 16) | ColorType::RGBA(8 | 16) | ColorType::CMYK(8 | 16), INTEGER) => true,
            _ => false,
        };
        if is_known {
            return Ok(());
        }
        let (color, format) = (self.color, self.sample_format);
        Err(PictureError::unsupported(format!("TIFF of {color:?} with sample format {format}")))
    }
}

/// The decoder's buffer to `(height, width, 3)`.
pub(super) fn to_rgb(buffer: Vec<u8>, raster: Raster, layout: &Layout) -> Result<Vec<u8>, PictureError> {
    let pixels = raster.width * raster.height;
    let channels = usize::from(layout.color.num_samples());
    let eight = match layout.color.bit_depth() {
        bits @ (1 | 2 | 4) => unpack(&buffer, raster, bits, layout.colors.is_none()),
        8 => buffer,
        // REFERENCE: of 16 bits, colours keep the high byte, but gray is clipped to 255.
        16 if channels > 1 => words(&buffer).map(|sample| (sample >> 8) as u8).collect(),
        16 => words(&buffer).map(|sample| gray_word(sample, layout)).collect(),
        _ => buffer.as_chunks::<4>().0.iter().map(|&sample| gray_long(sample, layout.sample_format)).collect(),
    };
    let together = if raster.planes > 1 { interleave(&eight, pixels, channels) } else { eight };
    if together.len() != pixels * channels {
        return Err(PictureError::corrupt(FORMAT, "its samples are not as many as its header says"));
    }
    if let Some(colors) = &layout.colors {
        // REFERENCE: an index beyond the palette is black.
        let color = |index: &u8| colors.get(usize::from(*index)).copied().unwrap_or_default();
        return Ok(together.iter().step_by(channels).flat_map(color).collect());
    }
    Ok(match layout.color {
        ColorType::CMYK(_) => from_cmyk(&together),
        ColorType::RGB(_) => together,
        ColorType::RGBA(_) if layout.is_premultiplied => {
            together.as_chunks::<4>().0.iter().copied().flat_map(unmultiply).collect()
        }
        ColorType::RGBA(_) => first_three(&together, 4),
        _ => from_gray(together.into_iter().step_by(channels)),
    })
}

fn words(buffer: &[u8]) -> impl Iterator<Item = u16> {
    buffer.as_chunks::<2>().0.iter().copied().map(u16::from_ne_bytes)
}

fn gray_word(sample: u16, layout: &Layout) -> u8 {
    if layout.sample_format == SIGNED {
        return (sample as i16).clamp(0, 255) as u8;
    }
    // REFERENCE: Pillow inverts 8-bit gray whose white is zero, but not 16-bit; the decoder has inverted both.
    clip_u16(if layout.white_is_zero { !sample } else { sample })
}

/// REFERENCE: clipped to 0..=255, cut towards zero, whatever range the samples have.
fn gray_long(sample: [u8; 4], sample_format: u16) -> u8 {
    match sample_format {
        FLOAT => f32::from_ne_bytes(sample) as u8, // saturates as Pillow does
        // REFERENCE: unsigned 32-bit samples are read as signed.
        _ => i32::from_ne_bytes(sample).clamp(0, 255) as u8,
    }
}

/// One byte a sample, from rows of packed bits that each begin at a byte.
fn unpack(buffer: &[u8], raster: Raster, bits: u8, scale: bool) -> Vec<u8> {
    let per_byte = usize::from(8 / bits);
    let most = u8::MAX >> (8 - bits);
    let factor = if scale { u8::MAX / most } else { 1 };
    let mut samples = Vec::with_capacity(raster.width * raster.height);
    for row in buffer.chunks_exact(raster.width.div_ceil(per_byte)) {
        for x in 0..raster.width {
            let shift = 8 - usize::from(bits) * (x % per_byte + 1);
            samples.push(((row[x / per_byte] >> shift) & most) * factor);
        }
    }
    samples
}

/// `(channels, pixels) -> (pixels, channels)`
fn interleave(planes: &[u8], pixels: usize, channels: usize) -> Vec<u8> {
    let mut together = Vec::with_capacity(planes.len());
    for pixel in 0..pixels {
        together.extend((0..channels).filter_map(|channel| planes.get(channel * pixels + pixel)));
    }
    together
}

/// Turns a picture as its orientation tag asks: 1 is upright, 2 to 4 mirrored or turned by half, 5 to 8 on its side.
pub(super) fn orient(rgb: Vec<u8>, raster: Raster, orientation: u16) -> Vec<u8> {
    if orientation == 1 {
        return rgb;
    }
    let Raster { width, height, .. } = raster;
    let (out_width, out_height) = if orientation >= 5 { (height, width) } else { (width, height) };
    let mut turned = Vec::with_capacity(rgb.len());
    for y in 0..out_height {
        for x in 0..out_width {
            let (from_x, from_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            let at = (from_y * width + from_x) * 3;
            turned.extend_from_slice(&rgb[at..at + 3]);
        }
    }
    turned
}
