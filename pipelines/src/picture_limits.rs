//! How large a picture of a run may be. The limits are part of what is asked for: they decide which pictures have a score,
//! so every worker of a run has the same.

use serde::{Deserialize, Serialize};

/// Bounds on one picture. One that is over a limit is a row with the code `too_large`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureLimits {
    /// Most pixels.
    pub pixels_max: u64,
    /// Longest side in pixels.
    pub side_max: u32,
    /// Most bytes of the encoded file.
    pub bytes_max: u64,
}

impl Default for PictureLimits {
    /// They hold a decode thread to about 1 GiB. 100 million pixels, like Pillow's own warning (89 million): ten times a 4K
    /// frame, 300 MB as RGB. A side of 16,384: what cameras and panoramas have; beyond it a header is more likely a lie.
    /// 512 MiB: 100 million pixels as 16-bit RGB do not fit, as 8-bit RGB they do.
    fn default() -> PictureLimits {
        PictureLimits { pixels_max: 100_000_000, side_max: 16_384, bytes_max: 512 << 20 }
    }
}

impl PictureLimits {
    /// Whether they are those of a run that asks for none.
    pub fn is_default(&self) -> bool {
        *self == PictureLimits::default()
    }
}
