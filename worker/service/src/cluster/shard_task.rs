//! The task of scoring a shard: the shard, the model, the deadline.

use dqa_pipelines::model_spec::ModelSpec;
use dqa_pipelines::plan::Shard;
use serde::{Deserialize, Serialize};

/// One attempt at a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardTask {
    /// The attempt's number, unique within a coordinator's process.
    pub attempt: u64,
    /// The run's name, for logs.
    pub run: String,
    /// The model to score with, if CLIP-DQA is one of the shard's metrics.
    pub model: Option<ModelSpec>,
    /// Seconds on the device after which the attempt is given up.
    pub deadline_seconds: u64,
    /// Whether the worker scores nothing else at the same time: the shard, or one beside it, has killed a worker
    /// before.
    pub alone: bool,
    /// Whether a picture that this machine cannot read becomes a row with an error. Otherwise it fails the attempt, so
    /// that another machine tries.
    pub accepts_unreadable: bool,
    /// The shard to score.
    pub shard: Shard,
}
