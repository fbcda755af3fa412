//! A trial's record in a store: `trials/<name>/trial.json`. The same folder has the trained weights or prompts, the
//! table of epochs and the predictions for the test. All of them exist if the record says that the trial is complete.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::setup::Setup;
use super::trial::{ModelRef, TRIALS, Trial, trial_key};
use crate::causes;
use crate::names::DatasetName;
use crate::store::{Store, StoreError};
use crate::trained_on::TrainedOn;
use dqa_stats as stats;

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Started. `checkpoint.safetensors` has the state after the last epoch.
    Running,
    /// Trained and tested.
    Complete,
}

impl fmt::Display for TrialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            TrialState::Running => "running",
            TrialState::Complete => "complete",
        })
    }
}

/// A trial's inputs and outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// The trial's name (`Trial::name`).
    pub name: String,
    /// The trial's state.
    pub state: TrialState,
    /// When the trial started.
    pub created: Timestamp,
    /// When this record was written.
    pub updated: Timestamp,
    /// The attempt of a cluster that works on the trial, or made it. A later attempt takes the trial from an earlier one. None
    /// if a process by itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// The data set's name.
    pub dataset: DatasetName,
    /// The split's number, from 1.
    pub split: usize,
    /// The digest of all splits. Their object is `splits/<dataset>-<splits>.json`.
    pub splits: String,
    /// The initial model.
    pub model: ModelRef,
    /// The settings.
    pub setup: Setup,
    /// The label range that was mapped to 0 to 1.
    pub label_range: [f64; 2],
    /// Numbers of training, validation and test pictures.
    pub pictures: [usize; 3],
    /// Number of trained parameters.
    pub learnable: u64,
    /// The kept epoch, or None while the trial is running.
    pub kept: Option<KeptEpoch>,
    /// What the trained model has seen: the pictures of this training and those of the initial model. Empty in records
    /// of earlier versions.
    #[serde(default, skip_serializing_if = "TrainedOn::is_empty")]
    pub trained_on: TrainedOn,
    /// The program and machine that ran the training, by setting.
    pub provenance: BTreeMap<String, String>,
}

/// The epoch whose state was kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptEpoch {
    /// The epoch's number, chosen by the setup's `select`.
    pub epoch: u32,
    /// The epoch's mean squared error.
    pub loss: f64,
    /// Measures of the epoch's training windows, each scored before its step.
    pub train: Measures,
    /// Measures of the pictures that selected the epoch, if there are any.
    pub validation: Option<Measures>,
    /// Measures of the test pictures, or None without a test.
    pub test: Option<Measures>,
}

/// Agreement of scores with labels from 0 to 1. A measure is None if it is undefined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Number of pictures.
    pub n: usize,
    /// Spearman's rank correlation.
    pub srcc: Option<f64>,
    /// Pearson's correlation of unfitted scores and labels.
    pub plcc: Option<f64>,
    /// Kendall's tau-b.
    pub krcc: Option<f64>,
    /// Root mean squared difference.
    pub rmse: Option<f64>,
}

impl Measures {
    /// Computes the measures of two columns.
    ///
    /// # Panics
    /// A value is NaN, or the lengths differ.
    pub fn compute(scores: &[f64], targets: &[f64]) -> Measures {
        Measures {
            n: scores.len(),
            srcc: stats::srcc(scores, targets),
            plcc: stats::plcc(scores, targets),
            krcc: stats::krcc(scores, targets),
            rmse: stats::rmse(scores, targets),
        }
    }
}

/// Why a trial's record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TrialRecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is not valid JSON of a trial.
    #[error("the record of trial `{trial}` cannot be read")]
    Json {
        /// The trial's name.
        trial: String,
        /// The parser's error.
        #[source]
        source: serde_json::Error,
    },
    /// Another attempt works on the trial.
    #[error("another attempt has taken trial `{trial}` over")]
    Superseded {
        /// The trial's name.
        trial: String,
    },
}

/// The record's file name in a trial's folder.
const RECORD: &str = "trial.json";

/// Tries to take a trial that others take at the same time.
const CLAIM_TRIES_MAX: u32 = 8;

impl TrialRecord {
    /// Returns the record of a trial that starts now.
    pub fn new(
        trial: &Trial,
        learnable: u64,
        trained_on: TrainedOn,
        provenance: BTreeMap<String, String>,
    ) -> TrialRecord {
        let now = Timestamp::now();
        TrialRecord {
            name: trial.name(),
            state: TrialState::Running,
            created: now,
            updated: now,
            attempt: None,
            dataset: trial.dataset.clone(),
            split: trial.split,
            splits: trial.splits.clone(),
            model: trial.model.clone(),
            setup: trial.setup.clone(),
            label_range: trial.label_range,
            pictures: [trial.train.len(), trial.validation.len(), trial.test.len()],
            learnable,
            kept: None,
            trained_on,
            provenance,
        }
    }

    /// Reads the record of the trial with this name. Returns None if the store has none.
    ///
    /// # Errors
    /// The store fails, or the record is invalid.
    pub async fn find(store: &Store, name: &str) -> Result<Option<TrialRecord>, TrialRecordError> {
        match store.get(&trial_key(name, RECORD)).await {
            Err(error) if error.is_not_found() => Ok(None),
            bytes => TrialRecord::parse(name, &bytes?).map(Some),
        }
    }

    fn parse(name: &str, bytes: &[u8]) -> Result<TrialRecord, TrialRecordError> {
        let invalid = |source| TrialRecordError::Json { trial: name.to_owned(), source };
        serde_json::from_slice(bytes).map_err(invalid)
    }

    /// Reads the records of all trials of a store that can be read, oldest first. The others are logged.
    ///
    /// # Errors
    /// The store fails.
    pub async fn all(store: &Store) -> Result<Vec<TrialRecord>, StoreError> {
        let mut records = Vec::new();
        for name in store.list_folders(TRIALS).await? {
            match TrialRecord::find(store, &name).await {
                Ok(record) => records.extend(record),
                Err(TrialRecordError::Store(error)) if !error.is_object_specific() => return Err(error),
                Err(error) => warn!(trial = name, error = %causes(&error), "the trial is left out"),
            }
        }
        records.sort_by_key(|record| record.created);
        Ok(records)
    }

    /// Writes the record atomically.
    ///
    /// # Errors
    /// The store fails.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        store.put(&trial_key(&self.name, RECORD), self.to_text()).await
    }

    fn to_text(&self) -> Bytes {
        serde_json::to_vec_pretty(self).expect("a record has text for keys").into()
    }

    /// Takes the trial for an attempt, or for a process by itself (None), and writes the record. Of several attempts the latest
    /// keeps it: earlier ones find out when they next write.
    ///
    /// # Errors
    /// A later attempt has it ([`TrialRecordError::Superseded`]), or the store fails.
    pub async fn claim(&mut self, store: &Store, attempt: Option<u64>) -> Result<(), TrialRecordError> {
        self.attempt = attempt;
        let key = trial_key(&self.name, RECORD);
        let mut tries = 1;
        loop {
            let written = match store.get_versioned(&key).await {
                Err(error) if error.is_not_found() => return Ok(self.write(store).await?),
                Err(error) => Err(error),
                Ok((stored, version)) => {
                    let stored = TrialRecord::parse(&self.name, &stored)?;
                    if attempt.is_some() && stored.attempt > attempt {
                        return Err(TrialRecordError::Superseded { trial: self.name.clone() });
                    }
                    store.replace(&key, self.to_text(), &version).await
                }
            };
            match written {
                Err(error) if error.is_changed() && tries < CLAIM_TRIES_MAX => tries += 1,
                written => return Ok(written?),
            }
        }
    }

    /// Checks that this record's attempt still has the trial.
    ///
    /// # Errors
    /// Another attempt has it ([`TrialRecordError::Superseded`]), or the store fails.
    pub async fn check_claim(&self, store: &Store) -> Result<(), TrialRecordError> {
        match TrialRecord::find(store, &self.name).await? {
            Some(stored) if stored.attempt != self.attempt => {
                Err(TrialRecordError::Superseded { trial: self.name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the trial is trained and tested.
    pub fn is_complete(&self) -> bool {
        self.state == TrialState::Complete
    }
}
