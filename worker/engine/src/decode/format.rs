//! Detects a file's format by its first bytes, never by its name.

use std::fmt;

use super::{PictureError, pnm, signature};

/// A supported format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable Network Graphics; the default image of an animated one.
    Png,
    /// Baseline, extended and progressive JPEG of 8 bits.
    Jpeg,
    /// Windows bitmap.
    Bmp,
    /// TIFF, the first page.
    Tiff,
    /// WebP, the first frame.
    WebP,
    /// GIF, the first frame.
    Gif,
    /// Netpbm: PBM, PGM and PPM, the first picture.
    Pnm,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Pnm => "PNM",
        })
    }
}

impl Format {
    /// Detects the format of a file.
    ///
    /// # Errors
    /// Fails if the file is not a picture of a supported format.
    pub fn detect(bytes: &[u8]) -> Result<Self, PictureError> {
        if bytes.is_empty() {
            return Err(PictureError::NotAnImage { what: "the file is empty" });
        }
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Ok(Self::Png);
        }
        if bytes.starts_with(b"\xff\xd8\xff") {
            return Ok(Self::Jpeg);
        }
        if bytes.starts_with(b"BM") {
            return Ok(Self::Bmp);
        }
        // Canon's RAW is a TIFF with a marker of its own.
        if bytes.starts_with(b"II*\0") && bytes.get(8..10) == Some(b"CR") {
            return Err(PictureError::camera_raw("CR2"));
        }
        if [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].iter().any(|magic| bytes.starts_with(*magic)) {
            return Ok(Self::Tiff);
        }
        if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            return Ok(Self::WebP);
        }
        if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            return Ok(Self::Gif);
        }
        if pnm::is_pnm(bytes) {
            return Ok(Self::Pnm);
        }
        Err(signature::unsupported(bytes))
    }
}
