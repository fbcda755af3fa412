//! A trial or an evaluation as a unit of a cluster's work.

use serde::{Deserialize, Serialize};

use crate::store::Store;
use crate::study::{Evaluation, evaluation_key};
use crate::train::{Trial, TrialRecord, TrialRecordError};

/// A trial, or an evaluation of what one has learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingUnit {
    /// Trains and tests.
    Trial(Box<Trial>),
    /// Tests a model.
    Evaluation {
        /// The test.
        evaluation: Box<Evaluation>,
        /// The trial whose model is tested. None for the model to start from with handcrafted prompts.
        trial: Option<String>,
    },
}

impl TrainingUnit {
    /// Returns the unit's name, which is a digest of its content. Trials and evaluations have different names.
    pub fn name(&self) -> String {
        match self {
            TrainingUnit::Trial(trial) => trial.name(),
            TrainingUnit::Evaluation { evaluation, .. } => evaluation.name(),
        }
    }

    /// Returns whether the store has the outcome of a trial, or else of an evaluation, of this name.
    ///
    /// # Errors
    /// The store fails, or a trial's record cannot be read.
    pub async fn is_done(store: &Store, name: &str, is_trial: bool) -> Result<bool, TrialRecordError> {
        if is_trial {
            return Ok(TrialRecord::find(store, name).await?.is_some_and(|record| record.is_complete()));
        }
        match store.head(&evaluation_key(name)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
