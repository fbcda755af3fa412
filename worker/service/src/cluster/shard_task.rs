//! What a worker is asked: a shard, with which model, until when. It is the row of the plan that Ballista carries.

use dqa_pipelines::model::ModelSpec;
use dqa_pipelines::plan::Shard;
use serde::{Deserialize, Serialize};

/// An attempt at a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShardTask {
    /// Of this coordinator: another for every try.
    pub attempt: u64,
    /// The run that it is for, for logs.
    pub run: String,
    /// What to score with.
    pub model: ModelSpec,
    /// After so many seconds it is given up.
    pub deadline_seconds: u64,
    /// Beside it the worker scores nothing: it, or what ran beside it, has killed a worker.
    pub alone: bool,
    /// What to score.
    pub shard: Shard,
}

impl ShardTask {
    /// As the row of a plan.
    ///
    /// # Panics
    /// Never: it has text for keys.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("an order has text for keys")
    }

    /// From the row of a plan.
    ///
    /// # Errors
    /// What is no order.
    pub fn from_text(text: &str) -> Result<ShardTask, serde_json::Error> {
        serde_json::from_str(text)
    }
}
