//! Converts TIFF's samples: rows to 8 bits, and those to RGB. Pure.

use crate::decode::convert::{clip_u16, from_cmyk, from_gray, unmultiply};

/// The meaning of a pixel's samples.
#[derive(PartialEq)]
pub(super) enum Meaning {
    /// One sample; further ones are dropped.
    Gray,
    /// An index into the palette; further samples are dropped.
    Palette(Vec<[u8; 3]>),
    /// Three samples; further ones are dropped.
    Rgb,
    /// Three samples that were multiplied by the fourth.
    RgbMultipliedByAlpha,
    Cmyk,
}

/// The type of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// 1, 2 or 4 bits; each row begins at a byte.
    Bits(u8),
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
}

impl Depth {
    /// Returns the type of a number of bits and TIFF's sample format. None if it is not supported.
    pub(super) fn new(bits: u64, format: u64) -> Option<Depth> {
        Some(match (bits, format) {
            (1 | 2 | 4, 1) => Depth::Bits(bits as u8),
            (8, 1) => Depth::U8,
            (8, 2) => Depth::I8,
            (16, 1) => Depth::U16,
            (16, 2) => Depth::I16,
            (32, 1) => Depth::U32,
            (32, 2) => Depth::I32,
            (32, 3) => Depth::F32,
            _ => return None,
        })
    }

    pub(super) fn bits(self) -> usize {
        match self {
            Depth::Bits(bits) => bits.into(),
            Depth::U8 | Depth::I8 => 8,
            Depth::U16 | Depth::I16 => 16,
            Depth::U32 | Depth::I32 | Depth::F32 => 32,
        }
    }
}

/// The layout of a page's samples.
pub(super) struct SampleLayout {
    pub(super) meaning: Meaning,
    pub(super) depth: Depth,
    pub(super) white_is_zero: bool,
    /// Number of samples of a pixel in the file.
    pub(super) stored: usize,
    /// Whether each sample has strips or tiles of its own.
    pub(super) is_planar: bool,
}

impl SampleLayout {
    /// Returns the number of samples of a pixel that are used, which are the first ones.
    pub(super) fn used(&self) -> usize {
        match self.meaning {
            Meaning::Gray | Meaning::Palette(_) => 1,
            Meaning::Rgb => 3,
            Meaning::RgbMultipliedByAlpha | Meaning::Cmyk => 4,
        }
    }

    /// Writes the samples of a row to pixels of 8-bit samples. `row` has `stored` samples for each of `pixels`; a row
    /// of a plane has one, which becomes the pixels' sample number `plane`. Numbers are in this machine's byte order.
    pub(super) fn write_row(&self, row: &[u8], pixels: &mut [u8], plane: usize) {
        let used = self.used();
        if self.depth == Depth::U8 && self.stored == used && !self.is_planar && !self.white_is_zero {
            return pixels.copy_from_slice(&row[..pixels.len()]);
        }
        let stored = if self.is_planar { 1 } else { self.stored };
        let first = if self.is_planar { plane } else { 0 };
        let count = if self.is_planar { 1 } else { used };
        for (index, pixel) in pixels.chunks_exact_mut(used).enumerate() {
            for sample in 0..count {
                pixel[first + sample] = self.eight_bits(row, index * stored + sample);
            }
        }
    }

    fn eight_bits(&self, row: &[u8], index: usize) -> u8 {
        let value = match self.depth {
            Depth::Bits(bits) => {
                let bit = index * usize::from(bits);
                let value_max = u8::MAX >> (8 - bits);
                let value = (row[bit / 8] >> (8 - usize::from(bits) - bit % 8)) & value_max;
                // An index into the palette is not scaled.
                if matches!(self.meaning, Meaning::Palette(_)) { value } else { value * (u8::MAX / value_max) }
            }
            Depth::U8 | Depth::I8 => row[index],
            Depth::U16 => {
                let value = u16::from_ne_bytes([row[index * 2], row[index * 2 + 1]]);
                // REFERENCE: of 16 bits, colours keep the high byte, but gray is clipped to 255. Pillow inverts 8-bit
                // gray whose white is zero, but not 16-bit.
                return if self.meaning == Meaning::Gray { clip_u16(value) } else { (value >> 8) as u8 };
            }
            Depth::I16 => return i16::from_ne_bytes([row[index * 2], row[index * 2 + 1]]).clamp(0, 255) as u8,
            // REFERENCE: clipped to 0..=255, cut towards zero, whatever range the samples have; unsigned 32-bit samples
            // are read as signed.
            Depth::U32 | Depth::I32 => return i32::from_ne_bytes(four_bytes(row, index)).clamp(0, 255) as u8,
            Depth::F32 => return f32::from_ne_bytes(four_bytes(row, index)) as u8, // saturates as Pillow does
        };
        if self.white_is_zero { !value } else { value }
    }

    /// Converts pixels of 8-bit samples to RGB.
    pub(super) fn to_rgb(&self, pixels: Vec<u8>) -> Vec<u8> {
        match &self.meaning {
            Meaning::Rgb => pixels,
            Meaning::Gray => from_gray(pixels),
            // REFERENCE: an index beyond the palette is black.
            Meaning::Palette(colors) => {
                let color = |index: u8| colors.get(usize::from(index)).copied().unwrap_or_default();
                pixels.into_iter().flat_map(color).collect()
            }
            Meaning::RgbMultipliedByAlpha => pixels.as_chunks::<4>().0.iter().copied().flat_map(unmultiply).collect(),
            Meaning::Cmyk => from_cmyk(&pixels),
        }
    }
}

fn four_bytes(row: &[u8], index: usize) -> [u8; 4] {
    std::array::from_fn(|byte| row[index * 4 + byte])
}

/// Orients a picture by its orientation tag: 1 is upright, 2 to 4 mirrored or rotated by 180 degrees, 5 to 8
/// transposed.
pub(super) fn orient(rgb: Vec<u8>, (width, height): (usize, usize), orientation: u8) -> Vec<u8> {
    if orientation == 1 {
        return rgb;
    }
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
            let start = (from_y * width + from_x) * 3;
            turned.extend_from_slice(&rgb[start..start + 3]);
        }
    }
    turned
}
