//! How large a picture may be. Owns the numbers and their checks, which come before any allocation that a file's header
//! could dictate.

use super::PictureError;

/// Bounds on one picture. The defaults hold a decode thread to about 1 GiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels. 100 million, like Pillow's own warning (89 million): ten times a 4K frame, 300 MB as RGB.
    pub pixels_max: u64,
    /// Longest side in pixels. 16,384: what cameras and panoramas have; beyond it a header is more likely a lie.
    pub side_max: u32,
    /// Most bytes of the encoded file. 512 MiB: 100 million pixels as 16-bit RGB do not fit, as 8-bit RGB they do.
    pub bytes_max: u64,
    /// Shortest side in pixels. 224: one window, without which the model has no score.
    pub side_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pixels_max: 100_000_000, side_max: 16_384, bytes_max: 512 << 20, side_min: 224 }
    }
}

impl Limits {
    pub(super) fn check_bytes(&self, length: usize) -> Result<(), PictureError> {
        if length as u64 > self.bytes_max {
            return Err(PictureError::TooLarge { what: format!("{length} bytes"), limit: self.bytes_max });
        }
        Ok(())
    }

    /// Takes wide integers, since headers hold what no `u32` does.
    pub(super) fn check_size(&self, width: u64, height: u64) -> Result<(u32, u32), PictureError> {
        let side = width.max(height);
        if side > u64::from(self.side_max) {
            let what = format!("{width}x{height}, a side of {side} pixels");
            return Err(PictureError::TooLarge { what, limit: u64::from(self.side_max) });
        }
        let pixels = width * height;
        if pixels > self.pixels_max {
            let what = format!("{width}x{height}, {pixels} pixels");
            return Err(PictureError::TooLarge { what, limit: self.pixels_max });
        }
        let (width, height) = (width as u32, height as u32);
        if width < self.side_min || height < self.side_min {
            return Err(PictureError::TooSmall { width, height, side_min: self.side_min });
        }
        Ok((width, height))
    }
}
