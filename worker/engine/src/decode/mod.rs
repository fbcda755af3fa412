//! Pictures in: encoded bytes -> [`Rgb8`], with the pixels that Pillow 13's `Image.open(f).convert("RGB")` has. Alpha is
//! dropped without compositing, gray repeated, palettes expanded, EXIF orientation ignored. Deviations of Pillow from
//! what one would expect are marked `REFERENCE`.
//!
//! Owns: which formats are read, how large a picture may be, what each failure is called. Refuses to know where bytes
//! come from. Invariant: no input panics out of here, none is scored with made-up pixels, and no header makes memory be
//! taken before the limits have been checked. Synchronous: it belongs on a decode thread.

mod bmp;
mod contain;
mod convert;
mod error;
mod format;
mod gif;
mod jpeg;
mod limits;
mod png;
mod pnm;
mod signature;
mod tiff;
mod webp;

use contain::contain;
use dqa_model::Rgb8;
pub use error::{Cause, ErrorCode, PictureError};
pub use format::Format;
pub use limits::Limits;

/// What a file's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format, by signature.
    pub format: Format,
    /// Pixels in a row of the decoded picture.
    pub width: u32,
    /// Rows of the decoded picture.
    pub height: u32,
    /// A bound on the memory that decoding takes at once: the decoder's samples and the RGB result, without the file.
    pub decode_bytes: u64,
}

/// Reads a file's header and checks it against the limits, before any large allocation.
///
/// # Errors
/// Those of [`decode`] that a header can show.
pub fn probe(bytes: &[u8], limits: &Limits) -> Result<Header, PictureError> {
    limits.check_bytes(bytes.len() as u64)?;
    let format = Format::of(bytes)?;
    contain(format, || match format {
        Format::Png => png::probe(bytes, limits),
        Format::Jpeg => jpeg::probe(bytes, limits),
        Format::Bmp => bmp::probe(bytes, limits),
        Format::Tiff => tiff::probe(bytes, limits),
        Format::WebP => webp::probe(bytes, limits),
        Format::Gif => gif::probe(bytes, limits),
        Format::Pnm => pnm::probe(bytes, limits),
    })
}

/// Decodes a file's first picture to RGB.
///
/// # Errors
/// [`PictureError`], each kind with a stable [`ErrorCode`]; never `Io`.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Rgb8, PictureError> {
    let header = probe(bytes, limits)?;
    contain(header.format, || {
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

/// Pixels of a picture that has passed the limits.
fn pixel_count(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

/// `N` bytes of a header at a place, or none where the file ends before.
fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
