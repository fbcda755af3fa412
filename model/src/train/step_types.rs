//! The types of a training step: its input and its result.

use std::sync::Arc;

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
