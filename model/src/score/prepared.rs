//! A picture with what the model needs besides its pixels. It is made on any thread, away from the device.

use rayon::prelude::*;
use thiserror::Error;

use crate::gpu::batch_input::WindowSources;
use crate::picture::{INPUT_SIDE, Origin, Rgb8, ViewMode, Views, whole_view};

/// A picture with what the model needs besides its pixels; made away from the device by [`Prepared::new`].
pub struct Prepared {
    /// What the windows are cut from: the picture, or its joined fragments.
    pub(super) picture: Rgb8,
    /// 224 x 224; `None` if the model does not see the whole picture.
    pub(super) whole: Option<Rgb8>,
    pub(crate) origins: Vec<Origin>,
    pub(super) window: u32,
}

/// A picture that is smaller than one window. (The authors' code fails there too.)
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{width} x {height} pixels, and a window needs {side_min} on each side")]
pub struct PictureTooSmall {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Smallest side in pixels.
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
        // REFERENCE: the whole view is stretched to a square, its aspect ratio is lost.
        let whole = (views.sees != ViewMode::Local).then(|| whole_view(&picture, INPUT_SIDE));
        let picture = match views.fragments() {
            Some(fragments) => fragments.join_middles(&picture),
            None => picture,
        };
        Ok(Prepared { picture, whole, origins, window: views.window })
    }

    /// Returns the number of scores that the picture will have.
    pub fn windows(&self) -> usize {
        self.origins.len()
    }

    /// Returns the window at `origin`, resized to the model's input.
    pub(super) fn resized(&self, origin: &Origin) -> Rgb8 {
        whole_view(&self.picture.crop(origin.x, origin.y, self.window), INPUT_SIDE)
    }

    /// Passes the windows at some of the picture's origins to `to`, resized if they do not have the model's size.
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
