//! A run's record: what was requested, with which model, on which machines, and which parts are the result. It is all that a
//! store knows about a run. Parts are shared by all runs whose plans name them.

mod fenced_write;
mod lookup;
mod read_all;
mod training;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Retryable;
use crate::dataset::{DatasetSource, Definition, canonical_address};
use crate::metric::MetricSpec;
use crate::model_spec::ModelSpec;
use crate::names::{AlgorithmName, DatasetName, MetricName, RunName, suggestion};
use crate::picture_limits::PictureLimits;
use crate::plan::SHARD_WINDOWS_MAX;
use crate::store::{Store, StoreError};
use crate::trained_on::SeenScenes;
use crate::training::TrainingRequest;

pub use fenced_write::RecordWriter;
pub use read_all::StoredRuns;
pub use training::TrainingCounts;

/// The folder of runs in a store.
pub const RUNS: &str = "runs";

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Requested, but its shards are not planned yet.
    Planning,
    /// Planned, but not all of its parts are complete.
    Running,
    /// As [`RunState::Running`], but no shard is scheduled until the run is resumed.
    Paused,
    /// Every part is complete and was counted.
    Complete,
    /// A user cancelled it.
    Cancelled,
    /// It cannot continue by itself; [`RunRecord::failure`] says why.
    Failed,
    /// A command started it, and its process has ended. No record has this state: it is detected when a record is read
    /// ([`crate::status::RunStatus`]).
    Interrupted,
}

impl RunState {
    /// Returns whether the run has not ended.
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

/// The record of a run: `runs/<name>/run.json` in a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's name.
    pub name: RunName,
    /// The state when the record was written.
    pub state: RunState,
    /// When the run was first planned.
    pub created: Timestamp,
    /// When this record was written.
    pub updated: Timestamp,
    /// The resolved request: every setting that determines the scores.
    pub spec: RunSpec,
    /// The fingerprint of CLIP-DQA, the digest of weights, prompts, views and arithmetic: 64 hexadecimal digits. Empty if
    /// the run has only other metrics.
    pub fingerprint: String,
    /// What was planned, and what was done when the parts were last counted. [`crate::run_progress`] has the current numbers.
    pub counts: RunCounts,
    /// The numbers of trials and evaluations of a run that trains, when the record was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_counts: Option<TrainingCounts>,
    /// The digest of the versions of the parts that `counts` was counted from. None if some were missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<String>,
    /// The digest of the content of the parts that the run was completed with ([`crate::parts::digest_of_all`]). The report's
    /// files name it too. None if it was not complete since the parts were planned, or in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts_digest: Option<String>,
    /// The term of the coordinator that wrote the record last. A coordinator of an earlier term does not write it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The programs and machines that took part, by setting.
    pub provenance: BTreeMap<String, String>,
    /// Every part of the result, in the order of the plan.
    pub parts: Vec<PartRef>,
    /// The request to a coordinator, so that it can continue the run after a restart. None if a command scores the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RunRequest>,
    /// Why the run failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What the user can do about the failure, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A request to a coordinator: what it needs in addition to the [`RunSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The model, for the workers that load it. None if CLIP-DQA is not one of the metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelSpec>,
    /// The names of the metrics, as requested. Empty for CLIP-DQA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// The requested algorithms. Empty for all.
    pub algorithms: Vec<String>,
    /// The class of devices: cpu or cuda.
    pub device: String,
    /// Runs with a higher priority are scheduled first.
    pub priority: i32,
    /// Whether to score a data set with missing pictures.
    pub allow_missing: bool,
    /// Whether to score pictures again that failed.
    pub retry_failed: bool,
    /// Whether to score the hazy inputs too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_hazy: bool,
    /// The method of the reports' intervals.
    #[serde(default)]
    pub intervals: ReportIntervals,
    /// Replicates of the reports' bootstrap.
    pub replicates: u32,
    /// The seed of the reports' bootstrap.
    pub seed: u32,
    /// The trainings, if the run trains and does not score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Box<TrainingRequest>>,
    /// Attempts at planning since the last plan. A coordinator that ends while it plans leaves its attempt here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub planning_attempts: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The fewest bootstrap draws that have an interval.
pub const REPLICATES_MIN: u32 = 2;

/// The method of the intervals of a run's correlations. Requests of older versions, which had no choice, use the jackknife.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportIntervals {
    /// Each scene is left out once.
    #[default]
    Jackknife,
    /// Scenes are drawn with replacement.
    Bootstrap,
}

/// The resolved request of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The resolved data sets.
    pub datasets: Vec<DatasetSpec>,
    /// CLIP's weights: a directory, or `hf:OWNER/NAME@REVISION`.
    pub model: String,
    /// The file of learned prompts. None for the handcrafted sentences.
    pub prompts: Option<String>,
    /// The views of a picture that the model scores.
    pub views: String,
    /// The class of arithmetic.
    pub dtype: String,
    /// The device that the model ran on.
    pub device: String,
    /// Maximum number of windows in a shard.
    pub shard_windows_max: u64,
    /// A remark on the model for readers of the results: an untrained model says so here.
    pub remark: Option<String>,
    /// The limits on a picture's size.
    #[serde(default, skip_serializing_if = "PictureLimits::is_default")]
    pub limits: PictureLimits,
    /// The metrics. Empty for CLIP-DQA alone, as in records of versions that had no other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricSpec>,
    /// The digest of the file in the store that has the metrics' parameters. None for the published ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric_parameters: Option<String>,
}

impl RunSpec {
    /// Returns the settings of a run whose scores no model of dqa made.
    pub fn without_model(datasets: Vec<DatasetSpec>, metrics: Vec<MetricSpec>) -> RunSpec {
        RunSpec {
            datasets,
            model: String::new(),
            prompts: None,
            views: String::new(),
            dtype: String::new(),
            device: String::new(),
            shard_windows_max: SHARD_WINDOWS_MAX,
            remark: None,
            limits: PictureLimits::default(),
            metrics,
            metric_parameters: None,
        }
    }

    /// Returns the names of the data sets, in their order.
    pub fn dataset_names(&self) -> Vec<&str> {
        self.datasets.iter().map(|dataset| dataset.name.as_str()).collect()
    }

    /// Returns a sentence, without a full stop, for each data set that has scenes seen in training.
    pub fn training_leaks(&self) -> Vec<String> {
        let seen = |dataset: &DatasetSpec| Some(dataset.seen_in_training.as_ref()?.sentence(&dataset.name).to_string());
        self.datasets.iter().filter_map(seen).collect()
    }

    /// Returns the settings that differ between two runs, for people: `views (sees=both,... and sees=local,...)`.
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
    /// The data set's name.
    pub name: DatasetName,
    /// The address of the folder of its pictures.
    pub root: String,
    /// The requested algorithms.
    pub algorithms: Vec<AlgorithmName>,
    /// The data set's own protocol (`exbedde`), by which it is also reported.
    pub protocol: Option<String>,
    /// The definition as TOML.
    pub definition: String,
    /// The scenes that the model or its prompts have seen in training. None if there are none, or if nothing is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_in_training: Option<SeenScenes>,
    /// The algorithm name of the hazy inputs' rows in the run. None if the inputs are not scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazy: Option<AlgorithmName>,
}

impl DatasetSpec {
    /// Returns a data set as it is requested, before it is planned.
    pub fn requested(definition: &Definition) -> DatasetSpec {
        DatasetSpec {
            name: definition.name.clone(),
            root: definition.root.clone(),
            algorithms: Vec::new(),
            protocol: definition.protocol.map(|protocol| protocol.to_string()),
            definition: definition.to_toml(),
            seen_in_training: None,
            hazy: None,
        }
    }

    /// Returns the source of a data set in a run's record. Records of older versions only have its definition.
    pub fn source(&self) -> DatasetSource {
        let root = canonical_address(&self.root);
        match Definition::from_toml(&self.definition) {
            Ok(definition) => DatasetSource { root, ..definition.source() },
            Err(_) => DatasetSource { root, ..Definition::new(self.name.clone(), self.root.clone()).source() },
        }
    }
}

/// The numbers of a run's pictures, windows and rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCounts {
    /// Planned pictures: the rows in.
    pub pictures: u64,
    /// Planned windows.
    pub windows: u64,
    /// Rows with a score, when last counted.
    pub scored: u64,
    /// Rows with an error, when last counted.
    pub failed: u64,
}

/// One part of a run's result, as planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRef {
    /// The key of the part's object in the store.
    pub key: String,
    /// The data set of its pictures.
    pub dataset: DatasetName,
    /// The algorithm that made its pictures.
    pub algorithm: AlgorithmName,
    /// Planned pictures.
    pub rows: u64,
    /// Planned windows.
    pub windows: u64,
    /// The metric. None for CLIP-DQA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricName>,
}

impl PartRef {
    /// Returns whether the part has the rows of this metric.
    pub fn is_of(&self, metric: &MetricSpec) -> bool {
        match &self.metric {
            None => metric.is_clip_dqa(),
            Some(name) => *name == metric.name,
        }
    }
}

/// Why a run's record cannot be found, read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record is invalid.
    #[error("the record of run `{run}` cannot be read")]
    Record {
        /// The run's name.
        run: String,
        /// Why it is invalid.
        #[source]
        source: serde_json::Error,
    },
    /// A coordinator that was superseded wanted to write the record.
    #[error("the record of run `{run}` was written by the coordinator of term {later}; this one had term {term}")]
    Superseded {
        /// The run's name.
        run: String,
        /// The term of the coordinator that wanted to write.
        term: u64,
        /// The later term.
        later: u64,
    },
    /// The run does not exist.
    #[error("there is no run `{run}` in {store}{}", suggestion(similar))]
    Unknown {
        /// The name that was given.
        run: String,
        /// The store's address.
        store: String,
        /// Similar names that exist.
        similar: Vec<String>,
    },
    /// Several runs have names that begin with the given text.
    #[error("several runs have names that begin with `{run}`: {}{}", candidates.join(", "), and_more(*more))]
    Ambiguous {
        /// The text that was given.
        run: String,
        /// The first names.
        candidates: Vec<String>,
        /// The number of further names.
        more: usize,
    },
    /// The store has no runs, so there is no last used one.
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
    /// Returns the run's metrics, CLIP-DQA first if it is one of them.
    pub fn metrics(&self) -> Vec<MetricSpec> {
        if self.is_training() {
            return Vec::new();
        }
        if self.spec.metrics.is_empty() {
            return vec![MetricSpec::clip_dqa(&self.fingerprint)];
        }
        self.spec.metrics.clone()
    }

    /// Returns the names of the algorithms, of all data sets, in their order. Until the run is planned these are the requested
    /// ones, of which there are none if all of a data set's are to be scored.
    pub fn algorithms(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let planned = self.spec.datasets.iter().flat_map(|dataset| &dataset.algorithms).map(AlgorithmName::as_str);
        let requested = self.request.iter().flat_map(|request| &request.algorithms).map(String::as_str);
        let is_planned = !self.parts.is_empty();
        for name in planned.chain(requested.filter(|_| !is_planned)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Returns the record as that of a run of one metric: its parts, its fingerprint and the number of its rows.
    pub fn for_metric(&self, metric: &MetricSpec) -> RunRecord {
        let mut record = self.clone();
        record.fingerprint = metric.fingerprint.clone();
        record.parts.retain(|part| part.is_of(metric));
        record.counts.pictures = record.parts.iter().map(|part| part.rows).sum();
        record.spec.metrics = vec![metric.clone()];
        record
    }

    /// Returns the names of the run's data sets, some of them more than once.
    pub(crate) fn dataset_names(&self) -> impl Iterator<Item = &DatasetName> {
        let requested = self.spec.datasets.iter().map(|dataset| &dataset.name);
        requested.chain(self.parts.iter().map(|part| &part.dataset))
    }

    /// Returns whether a coordinator manages the run. If not, a command scores it in its own process.
    pub fn is_managed_by_coordinator(&self) -> bool {
        self.request.is_some()
    }

    /// Returns the key of a run's record in a store.
    pub fn key(name: &RunName) -> String {
        format!("{RUNS}/{name}/run.json")
    }

    /// Reads the record of a run. None if the run does not exist.
    ///
    /// # Errors
    /// If the store fails, or the record is invalid.
    pub async fn find(store: &Store, name: &RunName) -> Result<Option<RunRecord>, RunRecordError> {
        let bytes = match store.get(&RunRecord::key(name)).await {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        let wrong = |source| RunRecordError::Record { run: name.to_string(), source };
        serde_json::from_slice(&bytes).map(Some).map_err(wrong)
    }

    /// Writes the record atomically.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn write(&self, store: &Store) -> Result<(), RunRecordError> {
        Ok(store.put(&RunRecord::key(&self.name), self.to_text()).await?)
    }

    fn to_text(&self) -> Bytes {
        serde_json::to_vec_pretty(self).expect("a record has text for keys").into()
    }

    /// Deletes the record of a run, and its folder if there is nothing else in it.
    ///
    /// # Errors
    /// If the store fails.
    async fn delete(store: &Store, name: &RunName) -> Result<(), RunRecordError> {
        store.delete(&RunRecord::key(name)).await?;
        store.remove_empty_folder(&format!("{RUNS}/{name}")).await;
        Ok(())
    }
}
