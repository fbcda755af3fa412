//! The task of one attempt: a shard, or a training. It is the row of the plan that Ballista carries.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::shard_task::ShardTask;
use super::training_task::TrainingTask;

/// One attempt at a unit of a run's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Scores pictures.
    Shard(Box<ShardTask>),
    /// Trains, or tests what was trained.
    Training(Box<TrainingTask>),
}

impl Task {
    /// Returns the attempt's number.
    pub fn attempt(&self) -> u64 {
        match self {
            Task::Shard(task) => task.attempt,
            Task::Training(task) => task.attempt,
        }
    }

    /// Returns the run's name, for logs.
    pub fn run(&self) -> &str {
        match self {
            Task::Shard(task) => &task.run,
            Task::Training(task) => &task.run,
        }
    }

    /// Returns the name of what the task makes, which is a digest of its content.
    pub fn name(&self) -> String {
        match self {
            Task::Shard(task) => task.shard.name(),
            Task::Training(task) => task.unit.name(),
        }
    }

    /// Returns the time on the device after which the attempt is given up.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(match self {
            Task::Shard(task) => task.deadline_seconds,
            Task::Training(task) => task.deadline_seconds,
        })
    }

    /// Returns whether the worker must run nothing else at the same time.
    pub fn is_alone(&self) -> bool {
        match self {
            Task::Shard(task) => task.alone,
            Task::Training(task) => task.alone,
        }
    }

    /// Returns the task as the row of a plan.
    ///
    /// # Panics
    /// Never panics: the keys are text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a task has text for keys")
    }

    /// Parses the row of a plan.
    ///
    /// # Errors
    /// Fails if the text is not a task.
    pub fn from_text(text: &str) -> Result<Task, serde_json::Error> {
        serde_json::from_str(text)
    }
}
