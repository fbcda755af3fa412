//! WebP, through the `image` crate: the first frame.

use std::borrow::Cow;
use std::io::{BufReader, Cursor};

use image::codecs::webp::WebPDecoder;
use image::{ColorType, ImageDecoder};

use super::convert::{first_three, image_error};
use super::{FileParts, Format, Header, Limits, PictureError, bytes_at, pixel_count};

const FORMAT: Format = Format::WebP;
/// Bit in the flags of an animation's frame.
const DO_NOT_BLEND: u8 = 0b10;

pub(super) fn probe(file: &FileParts<'_>, limits: &Limits) -> Result<Header, PictureError> {
    check_complete(file)?;
    let decoder = WebPDecoder::new(BufReader::new(file.reader())).map_err(|error| image_error(FORMAT, error))?;
    let (width, height) = decoder.dimensions();
    let (width, height) = limits.check_size(width.into(), height.into())?;
    // The canvas and a frame as RGBA, and the result as RGB.
    Ok(Header { format: FORMAT, width, height, decode_bytes: pixel_count(width, height) * 11 })
}

pub(super) fn decode(bytes: &[u8], _header: &Header) -> Result<Vec<u8>, PictureError> {
    let bytes = without_blending(bytes);
    let mut decoder = WebPDecoder::new(Cursor::new(&*bytes)).map_err(|error| image_error(FORMAT, error))?;
    if decoder.has_animation() {
        // REFERENCE: Pillow lays the first frame on a transparent black canvas, whatever background the file asks for.
        decoder.set_background_color(image::Rgba([0; 4])).map_err(|error| image_error(FORMAT, error))?;
    }
    let color = decoder.color_type();
    let mut samples = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut samples).map_err(|error| image_error(FORMAT, error))?;
    match color {
        ColorType::Rgb8 => Ok(samples),
        ColorType::Rgba8 => Ok(first_three(&samples, 4)),
        other => Err(PictureError::unsupported(format!("WebP with samples of kind {other:?}"))),
    }
}

/// Returns the file, or, if it is animated, a copy whose first frame is not blended with the canvas.
// REFERENCE: Pillow (libwebp) copies the first frame, colours under full transparency too; the decoder blends it.
fn without_blending(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut offset = 12;
    while let (Some(kind), Some(length)) = (bytes_at::<4>(bytes, offset), bytes_at(bytes, offset + 4)) {
        // The flags come after the frame's position, size and duration, of three bytes each.
        let flags_offset = offset + 8 + 15;
        if kind == *b"ANMF" && flags_offset < bytes.len() {
            let mut patched = bytes.to_vec();
            patched[flags_offset] |= DO_NOT_BLEND;
            return Cow::Owned(patched);
        }
        // Chunks have an even number of bytes.
        offset += 8 + (u32::from_le_bytes(length) as usize).next_multiple_of(2);
    }
    Cow::Borrowed(bytes)
}

/// Checks the length that the container states: the decoder would notice a truncation only where it happens to read.
fn check_complete(file: &FileParts<'_>) -> Result<(), PictureError> {
    let stated = bytes_at(file.first(), 4).map_or(u64::MAX, |length| u64::from(u32::from_le_bytes(length)) + 8);
    if stated > file.bytes() {
        let cause = format!("it should have {stated} bytes and has {}", file.bytes());
        return Err(PictureError::truncated(FORMAT, cause));
    }
    Ok(())
}
