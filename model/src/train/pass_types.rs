//! The types of a forward and backward pass over a batch, which both engines share: its inputs and its output.

use super::options::TrainerOptions;
use super::parameters::Gradients;
use crate::{ClipWeights, Prompts};

pub(super) const LOGIT_SCALE: &str = "logit_scale";

/// A training's inputs besides its parameters.
#[derive(Clone, Copy)]
pub(super) struct PassInputs<'a> {
    pub(super) weights: &'a ClipWeights,
    pub(super) prompts: Option<&'a Prompts>,
    pub(super) sentences: &'a [Vec<u32>; 2],
    pub(super) options: &'a TrainerOptions,
}

/// The result of a pass over a batch.
pub(super) struct PassOutput {
    pub(super) errors: f64,
    pub(super) scores: Vec<f32>,
    pub(super) gradients: Gradients,
}
