//! Why a report could not be made, and what to do about it.

use parquet::errors::ParquetError;

use crate::Hint;
use crate::names::DatasetName;
use crate::run::{REPLICATES_MIN, RunRecord, RunRecordError, RunState};
use crate::store::StoreError;

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run's record could not be read.
    #[error(transparent)]
    Run(#[from] RunRecordError),
    /// The bootstrap has too few draws for an interval.
    #[error("expected {REPLICATES_MIN} or more replicates for the bootstrap, found {0}")]
    TooFewReplicates(u32),
    /// The run is not complete.
    #[error("run `{run}` is {state}, and its results are not complete{}", with_colon(extent))]
    Unfinished {
        /// The run's name.
        run: String,
        /// The run's current state.
        state: RunState,
        /// How much of the run is in the store. None if the store was not searched.
        extent: Option<String>,
        /// What the user can do.
        advice: Option<String>,
    },
    /// A picture has two rows of one metric in a table.
    #[error("picture `{image}` of data set `{dataset}` has two rows of the metric `{metric}`")]
    Repeated {
        /// The data set.
        dataset: String,
        /// The metric.
        metric: String,
        /// The picture's name.
        image: String,
    },
    /// A part of the run is missing from the store.
    #[error("part {key} is not in the store")]
    MissingPart {
        /// The key of the missing object.
        key: String,
    },
    /// A part is not a valid Parquet file of the table `scores`.
    #[error("part {key} cannot be read")]
    Part {
        /// The part's object in the store.
        key: String,
        /// Why reading failed.
        #[source]
        source: ParquetError,
    },
    /// The number of rows differs from the planned number.
    #[error("{what} has {found} rows, and {planned} were planned")]
    Rows {
        /// The part, group or run.
        what: String,
        /// The planned number of rows.
        planned: u64,
        /// The number of rows found.
        found: u64,
    },
    /// Parts are of another metric or fingerprint, or hold other pictures, than the record says.
    #[error("run `{run}` has parts that are not its own: {}", join_first(mismatched))]
    MismatchedParts {
        /// The run's name.
        run: String,
        /// For each such part, how it differs from the record.
        mismatched: Vec<String>,
    },
    /// The runs cannot be reported in one table.
    #[error("runs `{first}` and `{second}` cannot be compared: {}", differences.join("; "))]
    IncomparableRuns {
        /// The first run's name.
        first: String,
        /// The second run's name.
        second: String,
        /// The differences, field by field.
        differences: Vec<String>,
    },
    /// The run has no data set of this name.
    #[error("run `{run}` has no data set `{dataset}`; it has {}", has.join(", "))]
    UnknownDataset {
        /// The run's name.
        run: String,
        /// The requested data set.
        dataset: String,
        /// The run's data sets.
        has: Vec<String>,
    },
    /// The run has no metric of this name.
    #[error("run `{run}` has no metric `{metric}`; it has {}", has.join(", "))]
    UnknownMetric {
        /// The run's name.
        run: String,
        /// The requested metric.
        metric: String,
        /// The run's metrics.
        has: Vec<String>,
    },
    /// One of the run's metrics must be named.
    #[error("run `{run}` has several metrics, and one of them must be named: {}", has.join(", "))]
    SeveralMetrics {
        /// The run's name.
        run: String,
        /// The run's metrics.
        has: Vec<String>,
    },
    /// A table could not be encoded.
    #[error("cannot write the table `{table}`")]
    Write {
        /// The table's name.
        table: &'static str,
        /// The Parquet writer's error.
        #[source]
        source: ParquetError,
    },
}

fn with_colon(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

impl Hint for ReportError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            ReportError::Unfinished { advice, .. } => return advice.clone(),
            ReportError::MissingPart { .. } | ReportError::Part { .. } | ReportError::Rows { .. } => {
                "submit the run again: only missing or damaged parts are scored again"
            }
            ReportError::IncomparableRuns { .. } => {
                "scores of different models or pictures cannot be ranked together; report each run by itself, or see how far \
                 two models agree with `dqa-coord compare`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl ReportError {
    pub(super) fn unknown_dataset(record: &RunRecord, dataset: &DatasetName) -> ReportError {
        let has = record.spec.dataset_names().into_iter().map(str::to_owned).collect();
        ReportError::UnknownDataset { run: record.name.to_string(), dataset: dataset.to_string(), has }
    }
}

/// Joins the first five items, so that the error message stays readable.
fn join_first(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all[..all.len() - more].join("; ");
    if more == 0 { shown } else { format!("{shown}; and {more} more") }
}
