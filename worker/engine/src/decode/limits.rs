//! How large a picture may be. Owns the numbers and their checks, which come before any allocation that a file's header
//! could dictate.

use dqa_pipelines::limits::PictureLimits;

use super::PictureError;

/// Bounds on one picture. The defaults hold a decode thread to about 1 GiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels.
    pub pixels_max: u64,
    /// Longest side in pixels.
    pub side_max: u32,
    /// Most bytes of the encoded file.
    pub bytes_max: u64,
    /// Shortest side in pixels. 224: one window, without which the model has no score.
    pub side_min: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self::of(PictureLimits::default(), 224)
    }
}

impl Limits {
    /// A run's limits, with the shortest side that its views leave room for a window.
    pub fn of(limits: PictureLimits, side_min: u32) -> Self {
        let PictureLimits { pixels_max, side_max, bytes_max } = limits;
        Self { pixels_max, side_max, bytes_max, side_min }
    }

    /// None but what a picture can have at all: for headers that are looked at before it is known for which run.
    pub(crate) fn none() -> Self {
        Self { pixels_max: u64::MAX, side_max: u32::MAX, bytes_max: u64::MAX, side_min: 0 }
    }

    /// Checks a file's length.
    ///
    /// # Errors
    /// [`PictureError::TooLarge`].
    pub(crate) fn check_bytes(&self, length: u64) -> Result<(), PictureError> {
        if length > self.bytes_max {
            return Err(PictureError::TooLarge { what: format!("{length} bytes"), limit: self.bytes_max });
        }
        Ok(())
    }

    /// Checks a picture's sides, which are wide integers, since headers hold what no `u32` does.
    ///
    /// # Errors
    /// [`PictureError::TooLarge`] or [`PictureError::TooSmall`].
    pub(crate) fn check_size(&self, width: u64, height: u64) -> Result<(u32, u32), PictureError> {
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
