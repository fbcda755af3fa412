//! The task of a trial or an evaluation.

use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::training::{TrainingModel, TrainingUnit};
use serde::{Deserialize, Serialize};

/// One attempt at a trial or an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingTask {
    /// The attempt's number, which differs for every attempt at work of a store. A later attempt has a larger number.
    pub attempt: u64,
    /// The run's name, for logs.
    pub run: String,
    /// Seconds on the device after which the attempt is given up.
    pub deadline_seconds: u64,
    /// Whether the worker runs nothing else at the same time.
    pub alone: bool,
    /// Whether a picture that this machine cannot read ends the training for good: several machines have tried.
    pub accepts_unreadable: bool,
    /// The address of the store of trials, evaluations and models.
    pub store: String,
    /// The model to start from.
    pub model: TrainingModel,
    /// The limits on a picture's size.
    pub limits: PictureLimits,
    /// The trial or evaluation.
    pub unit: TrainingUnit,
}
