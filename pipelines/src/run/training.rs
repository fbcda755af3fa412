//! Runs that train: their request, and how much of it is done.

use serde::{Deserialize, Serialize};

use super::RunRecord;
use crate::training::TrainingRequest;

/// The numbers of trials and evaluations of a run that trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingCounts {
    /// Those that the run needs.
    pub units: u64,
    /// Those of them that the store has.
    pub done: u64,
}

impl RunRecord {
    /// Returns whether the run trains, and makes no scores.
    pub fn is_training(&self) -> bool {
        self.training().is_some()
    }

    /// Returns the trainings of a run that trains.
    pub fn training(&self) -> Option<&TrainingRequest> {
        self.request.as_ref()?.training.as_deref()
    }
}
