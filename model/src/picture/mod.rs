//! Pictures and the parts of them that the model sees: pixels, windows, the global view, patches.

pub(crate) mod patches;
mod resize;
mod rgb8;
mod view_geometry;

pub use resize::whole_view;
pub use rgb8::Rgb8;
pub use view_geometry::{INPUT_SIDE, Origin, Placement, ViewMode, Views, ViewsError};
