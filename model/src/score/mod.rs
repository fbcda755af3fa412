//! Scores of pictures: prepared pictures in, scores out, and where a model looks when it scores.

mod batcher;
mod explain;
pub(crate) mod options;
pub(crate) mod prepared;
pub(crate) mod scorer;

pub use batcher::Batcher;
pub use explain::{Attention, Explained, Explainer, WindowLook};
pub use options::{Operations, Options};
pub use prepared::{Prepared, TooSmall};
pub use scorer::{PictureScore, Scorer, fingerprint_of};
