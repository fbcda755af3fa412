//! The limits on a picture's size. They belong to a run's request, because they decide which pictures get a score: every
//! worker of a run uses the same.

use serde::{Deserialize, Serialize};

/// Limits on one picture. A picture over a limit is a row with the error code `too_large`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureLimits {
    /// Maximum number of pixels.
    pub pixels_max: u64,
    /// Maximum width and height in pixels.
    pub side_max: u32,
    /// Maximum length of the encoded file in bytes.
    pub bytes_max: u64,
}

impl Default for PictureLimits {
    /// Returns limits that keep a decode thread below about 1 GiB. 100 million pixels are close to Pillow's own warning (89
    /// million): ten times a 4K frame, 300 MB as RGB. Cameras and panoramas have sides up to 16,384; a longer side more
    /// likely means a damaged header. 512 MiB hold 100 million pixels as 8-bit RGB, but not as 16-bit RGB.
    fn default() -> PictureLimits {
        PictureLimits { pixels_max: 100_000_000, side_max: 16_384, bytes_max: 512 << 20 }
    }
}

impl PictureLimits {
    /// Returns whether these are the limits of a run that sets none.
    pub fn is_default(&self) -> bool {
        *self == PictureLimits::default()
    }
}
