//! Pictures and the parts of them that the model sees: pixels, windows, the global view, patches.

mod fragments;
mod origin;
pub(crate) mod patches;
mod resize;
mod rgb8;
mod view_geometry;

pub use fragments::{FragmentCell, Fragments};
pub use origin::{INPUT_SIDE, Origin};
pub use resize::whole_view;
pub use rgb8::Rgb8;
pub use view_geometry::{Placement, ViewMode, Views, ViewsError};
