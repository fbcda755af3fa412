//! What a store knows of a trial: `trials/<name>/trial.json`. Beside it lie what was learned, how it went and what it says of
//! the test; all of them are there where the record says that the trial is complete.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::setup::Setup;
use super::trial::{ModelRef, TRIALS, Trial, trial_key};
use crate::names::DatasetName;
use crate::store::{Store, StoreError};
use crate::trained_on::TrainedOn;
use dqa_stats as stats;

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Begun; `checkpoint.safetensors` has the last epoch.
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

/// A trial with its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Its name: `Trial::name`.
    pub name: String,
    /// How far it is.
    pub state: TrialState,
    /// When it began.
    pub created: Timestamp,
    /// When this record was written.
    pub updated: Timestamp,
    /// Whose pictures.
    pub dataset: DatasetName,
    /// Which of the splits, from 1.
    pub split: usize,
    /// The digest of all the splits: their object is `splits/<dataset>-<splits>.json`.
    pub splits: String,
    /// What it began with.
    pub model: ModelRef,
    /// How it learned.
    pub setup: Setup,
    /// The labels' range that was 0 to 1 for the model.
    pub label_range: [f64; 2],
    /// Pictures that trained, validated, tested.
    pub pictures: [usize; 3],
    /// Numbers that learned.
    pub learnable: u64,
    /// What came of it; None while it is running.
    pub kept: Option<Kept>,
    /// All that what it learned has seen: of this training, and of what it began with. Empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "TrainedOn::is_empty")]
    pub trained_on: TrainedOn,
    /// The program and machine that trained, by setting.
    pub provenance: BTreeMap<String, String>,
}

/// The state that was kept of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Of which epoch, by the setup's `select`.
    pub epoch: u32,
    /// That epoch's mean squared error.
    pub loss: f64,
    /// Of that epoch's windows, each before its step.
    pub train: Measures,
    /// Of the pictures that selected it, where there are such.
    pub validation: Option<Measures>,
    /// Of the test's pictures; None where there are none.
    pub test: Option<Measures>,
}

/// Agreement of scores with labels from 0 to 1. None where a measure is not defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Pictures.
    pub n: usize,
    /// Spearman's rank correlation.
    pub srcc: Option<f64>,
    /// Pearson's correlation of score and label as they are.
    pub plcc: Option<f64>,
    /// Kendall's tau-b.
    pub krcc: Option<f64>,
    /// Root of the mean squared difference.
    pub rmse: Option<f64>,
}

impl Measures {
    /// Of two columns.
    ///
    /// # Panics
    /// Where a value is NaN or the lengths differ.
    pub fn of(scores: &[f64], targets: &[f64]) -> Measures {
        Measures {
            n: scores.len(),
            srcc: stats::srcc(scores, targets),
            plcc: stats::plcc(scores, targets),
            krcc: stats::krcc(scores, targets),
            rmse: stats::rmse(scores, targets),
        }
    }
}

/// A record that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that is not one.
    #[error("the record of trial `{trial}` cannot be read")]
    Json {
        /// Whose.
        trial: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The record's file in a trial's folder.
const RECORD: &str = "trial.json";

impl TrialRecord {
    /// Of a trial that begins now.
    pub fn begun(
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

    /// What a store knows of the trial of this name; None: nothing.
    ///
    /// # Errors
    /// Where the store fails or the record is not one.
    pub async fn find(store: &Store, name: &str) -> Result<Option<TrialRecord>, RecordError> {
        let bytes = match store.get(&trial_key(name, RECORD)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let wrong = |source| RecordError::Json { trial: name.to_owned(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    /// All trials of a store, oldest first.
    ///
    /// # Errors
    /// Where the store fails or a record is not one.
    pub async fn all(store: &Store) -> Result<Vec<TrialRecord>, RecordError> {
        let mut records = Vec::new();
        for name in store.list_folders(TRIALS).await? {
            records.extend(TrialRecord::find(store, &name).await?);
        }
        records.sort_by_key(|record| record.created);
        Ok(records)
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let text = serde_json::to_vec_pretty(self).expect("a record has text for keys");
        store.put(&trial_key(&self.name, RECORD), text.into()).await
    }

    /// Whether it is trained and tested.
    pub fn is_complete(&self) -> bool {
        self.state == TrialState::Complete
    }
}
