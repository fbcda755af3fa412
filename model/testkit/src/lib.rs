//! Test support: weights made by a formula, pictures made from a seed, golden numbers of the reference.
//!
//! It depends neither on `dqa-model` nor on Candle: it returns plain names, shapes and values, so that a fault cannot
//! be the same here and in the code under test. It is never part of the product, so it panics where a library returns
//! an error: a test without its data has failed.

use std::error::Error;

pub mod formula;
pub mod golden;
pub mod hf;
pub mod pictures;
pub mod spec;
pub mod torch;

pub use formula::NamedTensor;
pub use golden::Goldens;
pub use hf::{HfDir, RawTensor};
pub use pictures::Picture;
pub use spec::{ClipShape, PromptShape, TensorSpec};

/// Returns an error with its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause: &&dyn Error| Error::source(*cause));
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
