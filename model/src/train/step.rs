//! The input and the result of a training step, and why one fails.

use std::sync::Arc;

use crate::ModelError;
use crate::picture::Rgb8;

/// One window with the label of its picture.
#[derive(Clone, Debug)]
pub struct Example {
    /// 224 x 224; `None` if the model does not see windows.
    pub local: Option<Rgb8>,
    /// The whole picture at 224 x 224; `None` if the model does not see it.
    pub whole: Option<Arc<Rgb8>>,
    /// The label, 0 (bad) to 1 (good).
    pub target: f32,
}

/// The result of a step, as of before its update.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Mean squared error over the batch.
    pub loss: f64,
    /// The windows' scores, in the batch's order.
    pub scores: Vec<f32>,
    /// Euclidean norm of the gradient of all parameters.
    pub gradient_norm: f64,
}

/// Why training stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// None of the parameters to train exists.
    #[error("nothing to train: {0}")]
    Nothing(String),
    /// The loss or a gradient is not finite.
    #[error("step {step}: {what} is not finite; a lower learning rate may help")]
    NotFinite {
        /// Counted from 1.
        step: u64,
        /// `the loss`, or the tensor's name.
        what: String,
    },
    /// The saved state belongs to another training.
    #[error("the saved state belongs to another training: {0}")]
    State(String),
}
