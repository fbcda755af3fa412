//! Detects the format of a picture by its first bytes, never by its name.

use super::{Format, PictureError, pnm, unsupported_format};

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
        Err(unsupported_format::error(bytes))
    }
}
