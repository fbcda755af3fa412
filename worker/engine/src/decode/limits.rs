//! The limits of a picture and their checks, which precede any allocation that depends on a file's header.

use dqa_pipelines::picture_limits::PictureLimits;

use super::PictureError;

/// Limits of one picture. With the defaults a decode thread uses at most about 1 GiB.
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
        Self::new(PictureLimits::default(), 224)
    }
}

impl Limits {
    /// Creates a run's limits. `side_min` is the shortest side that has room for a window of its views.
    pub fn new(limits: PictureLimits, side_min: u32) -> Self {
        let PictureLimits { pixels_max, side_max, bytes_max } = limits;
        Self { pixels_max, side_max, bytes_max, side_min }
    }

    /// Creates limits that accept every picture, for headers that are read before the run is known.
    pub(crate) fn none() -> Self {
        Self { pixels_max: u64::MAX, side_max: u32::MAX, bytes_max: u64::MAX, side_min: 0 }
    }

    /// Checks a file's length.
    ///
    /// # Errors
    /// Fails with [`PictureError::TooLarge`].
    pub(crate) fn check_bytes(&self, length: u64) -> Result<(), PictureError> {
        if length > self.bytes_max {
            return Err(PictureError::TooLarge { what: format!("{length} bytes"), limit: self.bytes_max });
        }
        Ok(())
    }

    /// Checks a picture's sides, which are wide integers, since headers may have sides beyond `u32`.
    ///
    /// # Errors
    /// Fails with [`PictureError::TooLarge`] or [`PictureError::TooSmall`].
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
