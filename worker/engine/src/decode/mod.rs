//! Decodes pictures: encoded bytes -> [`Rgb8`], with the same pixels as Pillow 13's `Image.open(f).convert("RGB")`.
//! Alpha is dropped without compositing, gray is repeated, palettes are expanded, EXIF orientation is ignored.
//! Unexpected behaviour of Pillow that is reproduced is marked `REFERENCE`.
//!
//! This module defines the supported formats, the limits of a picture and the codes of failures. It does not know where
//! bytes come from. Invariant: no input causes a panic outside this module, no picture gets made-up pixels, and no
//! memory is allocated by a header's numbers before the limits are checked. It is synchronous: call it on a decode
//! thread.

mod bmp;
mod convert;
mod error;
mod file_parts;
mod format;
mod format_detection;
mod gif;
mod jpeg;
mod limits;
mod png;
mod pnm;
mod tiff;
mod unsupported_format;
mod webp;

use dqa_model::Rgb8;
use dqa_pipelines::caught_panic::catch_panic;
pub use error::{ErrorCode, PictureError};
pub use file_parts::FileParts;
pub use format::Format;
pub use limits::Limits;

/// The contents of a file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format, by signature.
    pub format: Format,
    /// Width of the decoded picture in pixels.
    pub width: u32,
    /// Height of the decoded picture in pixels.
    pub height: u32,
    /// Upper bound of the memory of decoding in bytes: the decoder's samples and the RGB result, without the file.
    pub decode_bytes: u64,
}

/// Reads a file's header and checks it against the limits, before any large allocation.
///
/// # Errors
/// Fails as [`decode`] does, as far as the header shows it.
pub fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    probe_parts(&FileParts::whole(bytes), limits)
}

/// Reads a file's header as [`probe`] does, from the parts of the file that are known.
///
/// # Errors
/// Fails as [`probe`] does; and if bytes are needed that are not known ([`FileParts::take_missing`]).
pub fn probe_parts(file: &FileParts<'_>, limits: &Limits) -> Result<Header, PictureError> {
    limits.check_bytes(file.bytes())?;
    let first = file.first();
    let format = Format::detect(first)?;
    catch_decoder(format, || match format {
        Format::Png => png::probe(first, limits),
        Format::Jpeg => jpeg::probe(file, limits),
        Format::Bmp => bmp::probe(first, limits),
        Format::Tiff => tiff::probe(file, limits),
        Format::WebP => webp::probe(file, limits),
        Format::Gif => gif::probe(file, limits),
        Format::Pnm => pnm::probe(first, limits),
    })
}

/// Decodes a file's first picture to RGB.
///
/// # Errors
/// Fails with any [`PictureError`] except `Io`.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb8, PictureError> {
    let header = probe(bytes, limits)?;
    catch_decoder(header.format, || {
        let pixels = match header.format {
            Format::Png => png::decode(bytes, &header)?,
            Format::Jpeg => jpeg::decode(bytes, &header)?,
            Format::Bmp => bmp::decode(bytes, &header)?,
            Format::Tiff => tiff::decode(bytes, &header)?,
            Format::WebP => webp::decode(bytes, &header)?,
            Format::Gif => gif::decode(bytes, &header)?,
            Format::Pnm => pnm::decode(bytes, &header)?,
        };
        Ok(Rgb8::new(header.width, header.height, pixels))
    })
}

/// Runs a decoder of `format`. Its panic is an error.
fn catch_decoder<T>(format: Format, work: impl FnOnce() -> Result<T, PictureError>) -> Result<T, PictureError> {
    catch_panic(work).unwrap_or_else(|panic| Err(PictureError::Internal { format, message: panic.to_string() }))
}

/// Returns the number of pixels of a picture within the limits.
fn pixel_count(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

/// Returns `N` bytes at an offset. None if the file ends before.
fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset.checked_add(N)?)?.try_into().ok()
}
