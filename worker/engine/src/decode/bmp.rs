//! BMP, through the `image` crate.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{ColorType, ImageDecoder};

use super::convert::{first_three, image_error};
use super::{Format, Header, Limits, PictureError, bytes_at, pixel_count};

const FORMAT: Format = Format::Bmp;
/// Compression code of pixels whose masks are given in the header.
const BITFIELDS: u32 = 3;

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    let (width, height) = size(bytes)?;
    let (width, height) = limits.check_size(width, height)?;
    if width == 0 || height == 0 {
        return Err(PictureError::corrupt(FORMAT, "a side is zero"));
    }
    // The decoder's samples are RGBA at most; the result is RGB.
    Ok(Header { format: FORMAT, width, height, decode_bytes: pixel_count(width, height) * 7 })
}

fn size(bytes: &[u8]) -> Result<(u64, u64), PictureError> {
    let short = || PictureError::truncated(FORMAT, "the header is cut off");
    let header_bytes = u32::from_le_bytes(bytes_at(bytes, 14).ok_or_else(short)?);
    if header_bytes == 12 {
        let side = |offset| bytes_at(bytes, offset).map(u16::from_le_bytes).map(u64::from).ok_or_else(short);
        return Ok((side(18)?, side(20)?));
    }
    if !matches!(header_bytes, 40 | 52 | 56 | 64 | 108 | 124) {
        return Err(PictureError::corrupt(FORMAT, format!("no BMP has a header of {header_bytes} bytes")));
    }
    let side = |offset| bytes_at(bytes, offset).map(i32::from_le_bytes).ok_or_else(short);
    let width = u64::try_from(side(18)?).map_err(|_| PictureError::corrupt(FORMAT, "the width is negative"))?;
    // A negative height means that rows run from the top.
    Ok((width, u64::from(side(22)?.unsigned_abs())))
}

pub(super) fn decode(bytes: &[u8], _header: &Header) -> Result<Vec<u8>, PictureError> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(FORMAT, error))?;
    let color = decoder.color_type();
    let mut samples = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut samples).map_err(|error| image_error(FORMAT, error))?;
    let mut rgb = match color {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => first_three(&samples, 4),
        other => return Err(PictureError::unsupported(format!("BMP with samples of kind {other:?}"))),
    };
    if let Some(bits) = packed_bits(bytes) {
        for pixel in rgb.as_chunks_mut::<3>().0 {
            *pixel = std::array::from_fn(|channel| floor_scaled(pixel[channel], bits[channel]));
        }
    }
    Ok(rgb)
}

/// Returns the bits of red, green and blue if a pixel has 16 bits.
fn packed_bits(bytes: &[u8]) -> Option<[u32; 3]> {
    let header_bytes = u32::from_le_bytes(bytes_at(bytes, 14)?);
    let depth_offset = if header_bytes == 12 { 24 } else { 28 };
    if u16::from_le_bytes(bytes_at(bytes, depth_offset)?) != 16 {
        return None;
    }
    if header_bytes == 12 || u32::from_le_bytes(bytes_at(bytes, 30)?) != BITFIELDS {
        return Some([5, 5, 5]);
    }
    let mask = |offset| bytes_at(bytes, offset).map(u32::from_le_bytes).map(u32::count_ones);
    Some([mask(54)?, mask(58)?, mask(62)?])
}

/// Rescales a sample that `image` scaled to eight bits by rounding.
// REFERENCE: Pillow rounds down.
fn floor_scaled(sample: u8, bits: u32) -> u8 {
    if !(1..8).contains(&bits) {
        return sample;
    }
    let level_max = (1 << bits) - 1;
    let level = (u32::from(sample) * level_max + 127) / 255;
    (level * 255 / level_max) as u8
}
