//! A run's record: what was asked for, with what, on which machine, and which parts are its result. It is all that a
//! store knows of a run; the parts are shared by every run whose plan names them.

mod lookup;

use std::collections::BTreeMap;
use std::fmt;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Retryable;
use crate::model_spec::ModelSpec;
use crate::names::{AlgorithmName, DatasetName, RunName, suggestion};
use crate::picture_limits::PictureLimits;
use crate::store::{Store, StoreError};
use crate::trained_on::SeenScenes;

/// The folder of runs in a store.
pub const RUNS: &str = "runs";

/// Records read at once.
const READS_MAX: usize = 16;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Asked for, and its shards are not cut yet.
    Planning,
    /// Planned, and not all of its parts are there.
    Running,
    /// The same, and no more is handed out until it is resumed.
    Paused,
    /// Every part is there and was counted.
    Complete,
    /// It was called off.
    Cancelled,
    /// It cannot go on by itself; [`RunRecord::failure`] says why.
    Failed,
    /// A command began it, and no process works on it any more. No record says so: it is found out when a record is read
    /// ([`crate::status::RunStatus`]).
    Interrupted,
}

impl RunState {
    /// Whether a coordinator has something to do for it.
    pub fn is_active(self) -> bool {
        matches!(self, RunState::Planning | RunState::Running | RunState::Paused)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            RunState::Planning => "planning",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Complete => "complete",
            RunState::Cancelled => "cancelled",
            RunState::Failed => "failed",
            RunState::Interrupted => "interrupted",
        })
    }
}

/// What a run is: `runs/<name>/run.json` in a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name.
    pub name: RunName,
    /// How far it is.
    pub state: RunState,
    /// When it was first planned.
    pub created: Timestamp,
    /// When this record was written.
    pub updated: Timestamp,
    /// What was asked for, resolved: every setting that made the scores.
    pub spec: RunSpec,
    /// Of weights, prompts, views and arithmetic: 64 digits.
    pub fingerprint: String,
    /// What was planned, and what of it was done when it was last counted. How far a run is now says
    /// [`crate::progress`].
    pub counts: RunCounts,
    /// Of the parts that `counts` was counted over, in their versions; None: not all of them were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<String>,
    /// The programs and machines that took part, by setting.
    pub provenance: BTreeMap<String, String>,
    /// Every part of the result, in the order of the plan.
    pub parts: Vec<PartRef>,
    /// What a coordinator was asked, to go on with it after it was started again; None: the run was made by one command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RunRequest>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What to do about the failure, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What a coordinator was asked beside what is in the [`RunSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The model for those who load it elsewhere.
    pub model: ModelSpec,
    /// The algorithms that were named; none: all.
    pub algorithms: Vec<String>,
    /// The class of devices: cpu or cuda.
    pub device: String,
    /// Runs of a higher priority go first.
    pub priority: i32,
    /// Score what is there of a matrix that is not complete.
    pub allow_missing: bool,
    /// Score pictures again that have no score.
    pub retry_failed: bool,
    /// Score the hazy inputs too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_hazy: bool,
    /// Of the reports.
    #[serde(default)]
    pub intervals: ReportIntervals,
    /// Of the reports: draws of a bootstrap.
    pub replicates: u32,
    /// Of the reports: of a bootstrap's draws.
    pub seed: u32,
}

/// What the intervals of a run's correlations are made from. Requests of before there was a choice are answered by jackknife.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportIntervals {
    /// Each scene is left out once.
    #[default]
    Jackknife,
    /// Scenes are drawn with replacement.
    Bootstrap,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The data sets, as they were resolved.
    pub datasets: Vec<DatasetSpec>,
    /// CLIP's weights: a directory, or `hf:OWNER/NAME@REVISION`.
    pub model: String,
    /// The learned prompts' file; None: the handcrafted sentences.
    pub prompts: Option<String>,
    /// Which parts of a picture are looked at.
    pub views: String,
    /// The class of arithmetic.
    pub dtype: String,
    /// Where the model ran.
    pub device: String,
    /// Most windows of a shard.
    pub shard_windows_max: u64,
    /// What the model is, for those who read the results: an untrained one says so here.
    pub remark: Option<String>,
    /// How large a picture may be.
    #[serde(default, skip_serializing_if = "PictureLimits::is_default")]
    pub limits: PictureLimits,
}

impl RunSpec {
    /// Returns the names of the data sets, in their order.
    pub fn dataset_names(&self) -> Vec<&str> {
        self.datasets.iter().map(|dataset| dataset.name.as_str()).collect()
    }

    /// Says which data sets have scenes that were seen in training: a sentence for each, without its full stop.
    pub fn training_leaks(&self) -> Vec<String> {
        let seen = |dataset: &DatasetSpec| Some(dataset.seen_in_training.as_ref()?.sentence(&dataset.name).to_string());
        self.datasets.iter().filter_map(seen).collect()
    }

    /// What two runs were scored with that differs, for people: `views sees=both,... and sees=local,...`.
    pub fn differences(&self, other: &RunSpec) -> Vec<String> {
        let prompts = |spec: &RunSpec| spec.prompts.clone().unwrap_or_else(|| "handcrafted".to_owned());
        let pairs = [
            ("model", self.model.clone(), other.model.clone()),
            ("prompts", prompts(self), prompts(other)),
            ("views", self.views.clone(), other.views.clone()),
            ("dtype", self.dtype.clone(), other.dtype.clone()),
        ];
        let unlike = pairs.into_iter().filter(|(_, a, b)| a != b);
        unlike.map(|(what, a, b)| format!("{what} ({a} and {b})")).collect()
    }
}

/// A data set of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSpec {
    /// Its name.
    pub name: DatasetName,
    /// Where its pictures are.
    pub root: String,
    /// The algorithms that were asked for.
    pub algorithms: Vec<AlgorithmName>,
    /// The protocol of its own that it is also reported by (`exbedde`).
    pub protocol: Option<String>,
    /// Its definition as TOML, for the record.
    pub definition: String,
    /// Its scenes that the model or its prompts have seen in training; None: none, or nothing is recorded of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_in_training: Option<SeenScenes>,
    /// The name under which the hazy inputs' rows stand in the run; None: they were not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazy: Option<AlgorithmName>,
}

/// Of a run's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// Pictures planned: rows in.
    pub pictures: u64,
    /// Windows planned.
    pub windows: u64,
    /// Rows with a score, when last counted.
    pub scored: u64,
    /// Rows with an error, when last counted.
    pub failed: u64,
}

/// One part of a run's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    /// The part's object in the store.
    pub key: String,
    /// Whose pictures.
    pub dataset: DatasetName,
    /// Whose outputs.
    pub algorithm: AlgorithmName,
    /// Pictures in it.
    pub rows: u64,
    /// Windows that were planned for it.
    pub windows: u64,
}

/// What a run's record can fail with.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// The store failed, or there is no such run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record that is not one.
    #[error("the record of run `{run}` cannot be read")]
    Record {
        /// Whose.
        run: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// No run of this name.
    #[error("there is no run `{run}` in {store}{}", suggestion(similar))]
    Unknown {
        /// As asked for.
        run: String,
        /// The store's address.
        store: String,
        /// Similar names that exist.
        similar: Vec<String>,
    },
    /// Several runs have names that begin as the one that was asked for.
    #[error("several runs have names that begin with `{run}`: {}{}", candidates.join(", "), and_more(*more))]
    Ambiguous {
        /// As asked for.
        run: String,
        /// The first of them.
        candidates: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// There is no run, and the one that was used last is asked for.
    #[error("there are no runs in {store}")]
    NoRuns {
        /// The store's address.
        store: String,
    },
}

impl Retryable for RunRecordError {
    fn is_retryable(&self) -> bool {
        matches!(self, RunRecordError::Store(error) if error.is_retryable())
    }
}

fn and_more(more: usize) -> String {
    if more == 0 { String::new() } else { format!(" and {more} more") }
}

impl RunRecord {
    /// Whether a coordinator was asked for it. If not, a command scores it in its own process.
    pub fn is_managed_by_coordinator(&self) -> bool {
        self.request.is_some()
    }

    fn key(name: &RunName) -> String {
        format!("{RUNS}/{name}/run.json")
    }

    /// The record of a run; None where there is no such run.
    ///
    /// # Errors
    /// Where the store fails or the record is not one.
    pub async fn find(store: &Store, name: &RunName) -> Result<Option<RunRecord>, RunRecordError> {
        let bytes = match store.get(&RunRecord::key(name)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let wrong = |source| RunRecordError::Record { run: name.to_string(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    /// All runs of a store, oldest first.
    ///
    /// # Errors
    /// Where the store fails or a record is not one.
    pub async fn read_all(store: &Store) -> Result<Vec<RunRecord>, RunRecordError> {
        let names: Vec<RunName> = store.list_folders(RUNS).await?.iter().filter_map(|name| name.parse().ok()).collect();
        let read = names.into_iter().map(|name| async move { RunRecord::find(store, &name).await });
        let found: Vec<Option<RunRecord>> = futures::stream::iter(read).buffered(READS_MAX).try_collect().await?;
        let mut records: Vec<RunRecord> = found.into_iter().flatten().collect();
        records.sort_by_key(|record| record.created);
        Ok(records)
    }

    /// Writes the record, whole or not at all.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &Store) -> Result<(), RunRecordError> {
        let text = serde_json::to_vec_pretty(self).expect("a record has text for keys");
        Ok(store.put(&RunRecord::key(&self.name), text.into()).await?)
    }
}
