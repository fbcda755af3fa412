//! A picture with what the model needs besides its pixels. It is made on any thread, away from the device.

use rayon::prelude::*;
use thiserror::Error;

use crate::gpu::batch_input::WindowSources;
use crate::picture::{INPUT_SIDE, Origin, Rgb8, ViewMode, Views, whole_view};

/// A picture with what the model needs besides its pixels; made away from the device, by [`Prepared::new`].
pub struct Prepared {
    pub(super) picture: Rgb8,
    /// 224 x 224, where it is looked at.
    pub(super) whole: Option<Rgb8>,
    pub(crate) origins: Vec<Origin>,
    pub(super) window: u32,
}

/// A picture without room for one window. (The authors' code fails there too.)
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{width} x {height} pixels, and a window needs {side_min} on each side")]
pub struct PictureTooSmall {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Least side in pixels.
    pub side_min: u32,
}

impl Prepared {
    /// Resizes the whole view and lays out the windows.
    pub fn new(picture: Rgb8, views: &Views) -> Result<Prepared, PictureTooSmall> {
        let (width, height) = (picture.width(), picture.height());
        let origins = views.origins(width, height);
        // REFERENCE: an error, not a smaller window or a border.
        if origins.is_empty() {
            return Err(PictureTooSmall { width, height, side_min: views.side_min() });
        }
        // REFERENCE: the whole view is stretched to a square, its aspect is lost.
        let whole = (views.sees != ViewMode::Local).then(|| whole_view(&picture, INPUT_SIDE));
        Ok(Prepared { picture, whole, origins, window: views.window })
    }

    /// Scores that it will have.
    pub fn windows(&self) -> usize {
        self.origins.len()
    }

    /// The window at `origin` in the model's size.
    pub(super) fn resized(&self, origin: &Origin) -> Rgb8 {
        whole_view(&self.picture.crop(origin.x, origin.y, self.window), INPUT_SIDE)
    }

    /// Lends the windows at some of its origins, resized where they are not of the model's size.
    pub(crate) fn with_windows<T>(
        &self,
        sees: ViewMode,
        origins: &[Origin],
        to: impl FnOnce(&WindowSources<'_>) -> T,
    ) -> T {
        let whole = self.whole.as_ref();
        if sees == ViewMode::Global {
            return to(&WindowSources { whole, local: &[] });
        }
        if self.window == INPUT_SIDE {
            return to(&WindowSources { whole, local: &[(&self.picture, origins)] });
        }
        let resized: Vec<Rgb8> = origins.par_iter().map(|origin| self.resized(origin)).collect();
        let each: Vec<_> = resized.iter().map(|window| (window, [Origin { x: 0, y: 0 }].as_slice())).collect();
        to(&WindowSources { whole, local: &each })
    }
}
