//! Scores of pictures: prepared pictures in, scores out, and where a model looks when it scores.

mod batcher;
mod explain;
pub(crate) mod options;
pub(crate) mod prepared;
pub(crate) mod scorer;

pub use batcher::Batcher;
pub use explain::{AttentionMap, Explainer, Explanation, WindowAttention};
pub use options::{KernelSet, Options};
pub use prepared::{PictureTooSmall, Prepared};
pub use scorer::{PictureScore, Scorer, model_fingerprint};
