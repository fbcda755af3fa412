//! PNG, through the `image` crate, with Pillow's meaning of 16 bits.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder};

use super::convert::{clip_u16, first_three, from_gray, image_error};
use super::{Format, Header, Limits, PictureError, bytes_at, pixel_count};

const FORMAT: Format = Format::Png;
/// Memory for a colour profile and texts, which `image`'s limit counts along with the samples, in bytes.
const METADATA_BYTES_MAX: u64 = 16 << 20;

pub(super) fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    let short = || PictureError::truncated(FORMAT, "the header is cut off");
    let first = bytes_at::<4>(bytes, 12).ok_or_else(short)?;
    if first == *b"CgBI" {
        return Err(PictureError::unsupported("PNG as Apple's tools pack it for iOS (CgBI)"));
    }
    if first != *b"IHDR" {
        return Err(PictureError::corrupt(FORMAT, "the first chunk is not IHDR"));
    }
    let side = |offset| bytes_at(bytes, offset).map(u32::from_be_bytes).map(u64::from).ok_or_else(short);
    let (width, height) = limits.check_size(side(16)?, side(20)?)?;
    if width == 0 || height == 0 {
        return Err(PictureError::corrupt(FORMAT, "a side is zero"));
    }
    let [depth] = bytes_at::<1>(bytes, 24).ok_or_else(short)?;
    // The decoder's samples are RGBA at most, of one or two bytes each.
    let decode_bytes = pixel_count(width, height) * (4 * u64::from(depth).div_ceil(8) + 3);
    Ok(Header { format: FORMAT, width, height, decode_bytes })
}

pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, PictureError> {
    let mut bounds = image::Limits::no_limits();
    bounds.max_alloc = Some(header.decode_bytes + METADATA_BYTES_MAX);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), bounds).map_err(|error| image_error(FORMAT, error))?;
    let color = decoder.color_type();
    let mut samples = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut samples).map_err(|error| image_error(FORMAT, error))?;
    check_end(bytes)?;
    // By the file's own colour type: with a transparent colour, `image` reports 16-bit gray as 16-bit gray and alpha.
    let is_gray_without_alpha = bytes.get(25) == Some(&0);
    let words = || samples.as_chunks::<2>().0.iter().copied().map(u16::from_ne_bytes);
    Ok(match color {
        ColorType::Rgb8 => samples,
        ColorType::Rgba8 => first_three(&samples, 4),
        ColorType::L8 => from_gray(samples),
        ColorType::La8 => from_gray(samples.into_iter().step_by(2)),
        ColorType::L16 => from_gray(words().map(clip_u16)),
        ColorType::La16 if is_gray_without_alpha => from_gray(words().step_by(2).map(clip_u16)),
        // REFERENCE: unlike 16-bit gray alone, gray with alpha keeps the high byte.
        ColorType::La16 => from_gray(words().step_by(2).map(high_byte)),
        // REFERENCE: the high byte is kept, not rounded.
        ColorType::Rgb16 => words().map(high_byte).collect(),
        ColorType::Rgba16 => {
            let rgb =
                |pixel: &[u8; 8]| [0, 2, 4].map(|byte| high_byte(u16::from_ne_bytes([pixel[byte], pixel[byte + 1]])));
            samples.as_chunks::<8>().0.iter().flat_map(rgb).collect()
        }
        other => return Err(PictureError::unsupported(format!("PNG with samples of kind {other:?}"))),
    })
}

fn high_byte(sample: u16) -> u8 {
    (sample >> 8) as u8
}

/// Checks that the file is complete up to its end chunk: the decoder stops after the last row.
// REFERENCE: Pillow also accepts a file that ends between two chunks. Here that is a truncated file: its writer had
// more to write.
fn check_end(bytes: &[u8]) -> Result<(), PictureError> {
    let mut offset = 8;
    while let (Some(length), Some(kind)) = (bytes_at(bytes, offset), bytes_at::<4>(bytes, offset + 4)) {
        if kind == *b"IEND" {
            return Ok(());
        }
        // Length, kind, data and checksum.
        offset += 12 + u32::from_be_bytes(length) as usize;
    }
    Err(PictureError::truncated(FORMAT, "it has no end chunk"))
}
