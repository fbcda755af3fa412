//! What a run's scores say: correlations with labels, leaderboards, agreement between data sets; as tables in the store
//! and as text. One data set is in memory at a time; [`distributed`] is for those that do not fit.
//!
//! `RunRecord` -load-> `Rows` of a data set -> rows of the tables -> [`Report`]

pub mod compare;
mod correlations;
mod cross_dataset;
pub mod distributed;
mod duckdb;
mod held_out;
mod leaderboard;
mod leaderboard_text;
mod load;
pub(crate) mod text;
mod together;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

use crate::names::{AlgorithmName, DatasetName, RunName};
use crate::run::{RunError, RunRecord, RunState};
use crate::sql::SqlError;
use crate::status::RunStatus;
use crate::store::{Store, StoreError};
use crate::tables::comparisons::{self as comparisons_table, COMPARISONS, ComparisonRow};
use crate::tables::correlations::{self as correlations_table, CORRELATIONS, CorrelationRow};
use crate::tables::cross_dataset::{self as cross_dataset_table, CROSS_DATASET, CrossDatasetRow};
use crate::tables::leaderboard::{self as leaderboard_table, LEADERBOARD, LeaderboardRow};
use crate::tables::{parquet_file, report_key};
use dqa_stats::{Bootstrap, RankOptions, Resampling, Test};

pub use crate::run::ReportIntervals;
pub use correlations::{EXBEDDE, VQEG};
pub use held_out::{HELD_OUT, SEEN, is_in_summary};
pub use text::Table;
pub use together::together;

/// Below this many draws a bootstrap has no interval.
pub const REPLICATES_MIN: u32 = 2;

/// What a report is made with. As JSON it goes to a coordinator, which refuses what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportOptions {
    /// What the intervals of correlations are made from.
    pub intervals: ReportIntervals,
    /// Draws, where that is a bootstrap.
    pub replicates: u32,
    /// Of all draws: the same seed, the same report.
    pub seed: u32,
    /// How algorithms are compared.
    pub test: Test,
    /// The difference of scores that does not matter: also asks whether algorithms are equivalent.
    pub margin: Option<f64>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        ReportOptions {
            intervals: ReportIntervals::Jackknife,
            replicates: 10_000,
            seed: 0,
            test: Test::default(),
            margin: None,
        }
    }
}

/// The level of all intervals, and of the tests.
pub(crate) const LEVEL: f64 = 0.95;

impl ReportOptions {
    /// Those that a coordinator was asked for with the run; the usual ones of a run that one command made.
    pub fn of_run(record: &RunRecord) -> ReportOptions {
        record.request.as_ref().map_or_else(ReportOptions::default, |request| ReportOptions {
            intervals: request.intervals,
            replicates: request.replicates,
            seed: request.seed,
            ..ReportOptions::default()
        })
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap { replicates: self.replicates, seed: self.seed.into(), level: LEVEL }
    }

    fn resampling(&self) -> Resampling {
        match self.intervals {
            ReportIntervals::Jackknife => Resampling::Jackknife { level: LEVEL },
            ReportIntervals::Bootstrap => Resampling::Bootstrap(self.bootstrap()),
        }
    }

    fn ranking(&self) -> RankOptions {
        RankOptions {
            test: self.test,
            seed: self.seed.into(),
            level: LEVEL,
            margin: self.margin,
            ..RankOptions::default()
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run's record cannot be had.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A query failed, here or on the cluster that it ran on.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// What runs a session's queries failed.
    #[error("the query failed")]
    Engine(#[source] DataFusionError),
    /// A bootstrap of fewer draws than an interval needs.
    #[error("expected {REPLICATES_MIN} or more replicates for the bootstrap, found {0}")]
    TooFewReplicates(u32),
    /// The run has not been scored to its end.
    #[error("run `{run}` is {state}, and its results are not complete{}", after_colon(extent))]
    Unfinished {
        /// Which run.
        run: String,
        /// Its state now.
        state: RunState,
        /// What of it is in the store; None: that was not looked for.
        extent: Option<String>,
        /// What to do about it.
        advice: Option<String>,
    },
    /// A part of the run is gone.
    #[error("part {key} is not in the store")]
    NoPart {
        /// The object that was looked for.
        key: String,
    },
    /// A part that is none.
    #[error("part {key} cannot be read")]
    Part {
        /// The object in the store.
        key: String,
        /// What is wrong with it.
        #[source]
        source: ParquetError,
    },
    /// Rows out are not rows in.
    #[error("{what} has {found} rows, and {planned} were planned")]
    Rows {
        /// The part or run.
        what: String,
        /// Rows in.
        planned: u64,
        /// Rows out.
        found: u64,
    },
    /// Parts that are not of the run's model or not of the pictures that the record says.
    #[error("run `{run}` has parts that are not its own: {}", shortened(unlike))]
    UnlikeParts {
        /// Which run.
        run: String,
        /// For each part, what it is of instead.
        unlike: Vec<String>,
    },
    /// Runs that must not share a table.
    #[error("runs `{first}` and `{second}` cannot be compared: {}", differences.join("; "))]
    UnlikeRuns {
        /// One run.
        first: String,
        /// The other.
        second: String,
        /// What differs, field by field.
        differences: Vec<String>,
    },
    /// A data set that the run has not.
    #[error("run `{run}` has no data set `{dataset}`; it has {}", has.join(", "))]
    NoDataset {
        /// Which run.
        run: String,
        /// As asked for.
        dataset: String,
        /// The run's.
        has: Vec<String>,
    },
    /// A table that cannot be written.
    #[error("cannot write the table `{table}`")]
    Write {
        /// Which table.
        table: &'static str,
        /// What the writer said.
        #[source]
        source: ParquetError,
    },
}

fn after_colon(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

impl ReportError {
    fn no_dataset(record: &RunRecord, dataset: &DatasetName) -> ReportError {
        let has = record.spec.dataset_names().into_iter().map(str::to_owned).collect();
        ReportError::NoDataset { run: record.name.to_string(), dataset: dataset.to_string(), has }
    }

    /// Returns what to do about it, where something can be done.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            ReportError::Unfinished { advice, .. } => return advice.clone(),
            ReportError::NoPart { .. } | ReportError::Part { .. } | ReportError::Rows { .. } => {
                "submit the run again: what is missing or damaged is scored again, the rest is not"
            }
            ReportError::UnlikeRuns { .. } => {
                "scores of unlike models or pictures cannot be ranked together: show each run alone, or see how far \
                 two models agree with `dqa-coord compare`"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// The first few of many: an error is read by people.
fn shortened(all: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = all.len().saturating_sub(SHOWN);
    let shown = all[..all.len() - more].join("; ");
    if more == 0 { shown } else { format!("{shown}; and {more} more") }
}

/// What is the same in all rows of a data set's report.
struct Head<'a> {
    run: &'a RunName,
    fingerprint: &'a str,
    dataset: &'a DatasetName,
}

/// The reports of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What they are of.
    pub record: RunRecord,
    /// How they were made.
    pub options: ReportOptions,
    /// By data set in the run's order, then the means over data sets.
    pub correlations: Vec<CorrelationRow>,
    /// By data set in the run's order, best first; then over all data sets.
    pub leaderboard: Vec<LeaderboardRow>,
    /// Of all pairs of algorithms, by data set in the run's order; then over all data sets.
    pub comparisons: Vec<ComparisonRow>,
    /// Of all pairs of data sets.
    pub cross_dataset: Vec<CrossDatasetRow>,
}

/// Reads the run's scores and makes its reports.
///
/// # Errors
/// A run that is not complete; a part that is missing, damaged, or not the run's; a store that fails.
pub async fn make(store: &Store, record: &RunRecord, options: &ReportOptions) -> Result<Report, ReportError> {
    make_with(store, record, options, true).await
}

/// As [`make`], but without correlations, which take most of the time.
///
/// # Errors
/// As [`make`].
pub async fn rank(store: &Store, record: &RunRecord, options: &ReportOptions) -> Result<Report, ReportError> {
    make_with(store, record, options, false).await
}

async fn make_with(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
    with_correlations: bool,
) -> Result<Report, ReportError> {
    require_complete(store, std::slice::from_ref(record)).await?;
    if options.intervals == ReportIntervals::Bootstrap && options.replicates < REPLICATES_MIN {
        return Err(ReportError::TooFewReplicates(options.replicates));
    }
    let found = record.parts.iter().map(|part| part.rows).sum();
    if found != record.counts.pictures {
        let what = format!("run `{}`", record.name);
        return Err(ReportError::Rows { what, planned: record.counts.pictures, found });
    }
    let mut algorithms: Vec<AlgorithmName> = record.parts.iter().map(|part| part.algorithm.clone()).collect();
    algorithms.sort();
    algorithms.dedup();
    let (mut correlations, mut overall, mut boards) = (Vec::new(), Vec::new(), Vec::new());
    for dataset in &record.spec.datasets {
        let rows = load::load(store, record, &dataset.name).await?;
        let (record, dataset, algorithms, options) = (record.clone(), dataset.clone(), algorithms.clone(), *options);
        let work = move || {
            let head = head(&record, &dataset.name);
            let board = leaderboard::of(&rows, &head, (&algorithms, dataset.hazy.as_ref()), &options);
            let protocol = dataset.protocol.as_deref();
            let agreement = with_correlations.then(|| {
                let mut agreement = correlations::of(&rows, &head, protocol, &options);
                held_out::add(&mut agreement.table, &rows, (&head, dataset.seen_in_training.as_ref()), &options);
                agreement
            });
            (board, agreement.unwrap_or_default())
        };
        let (board, agreement) = tokio::task::spawn_blocking(work).await.expect("statistics do not panic");
        boards.push(board);
        correlations.extend(agreement.table);
        overall.extend(agreement.overall);
    }
    correlations.extend(correlations::means(&overall));
    Ok(assemble(record, options, &algorithms, (correlations, boards)))
}

/// Refuses runs that are not complete, with how far the first of them is and what to do.
///
/// # Errors
/// A run that is not complete; a store that fails.
pub async fn require_complete(store: &Store, records: &[RunRecord]) -> Result<(), ReportError> {
    let Some(record) = records.iter().find(|record| record.state != RunState::Complete) else {
        return Ok(());
    };
    let status = RunStatus::read(store, record.clone()).await?;
    let (extent, advice) = (Some(status.progress.extent()), status.advice());
    Err(ReportError::Unfinished { run: record.name.to_string(), state: status.state, extent, advice })
}

/// As [`require_complete`], by the record alone.
fn check_complete(record: &RunRecord) -> Result<(), ReportError> {
    if record.state == RunState::Complete {
        return Ok(());
    }
    let (run, state) = (record.name.to_string(), record.state);
    Err(ReportError::Unfinished { run, state, extent: None, advice: None })
}

fn head<'a>(record: &'a RunRecord, dataset: &'a DatasetName) -> Head<'a> {
    Head { run: &record.name, fingerprint: &record.fingerprint, dataset }
}

fn assemble(
    record: &RunRecord,
    options: &ReportOptions,
    algorithms: &[AlgorithmName],
    (correlations, boards): (Vec<CorrelationRow>, Vec<leaderboard::Leaderboard>),
) -> Report {
    let tables: Vec<&[LeaderboardRow]> = boards.iter().map(|board| board.table.as_slice()).collect();
    let cross_dataset = cross_dataset::of(&tables);
    let mut leaderboard = tables.concat();
    let mut comparisons: Vec<ComparisonRow> = boards.iter().flat_map(|board| board.comparisons.clone()).collect();
    if let Some(dataset) = record.spec.datasets.first() {
        let (table, pairs) = leaderboard::across(&boards, &head(record, &dataset.name), algorithms, options);
        leaderboard.extend(table);
        comparisons.extend(pairs);
    }
    Report { record: record.clone(), options: *options, correlations, leaderboard, comparisons, cross_dataset }
}

impl Report {
    /// Writes its tables, over those of an earlier report, and the views that name the files of the run.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn write(&self, store: &Store) -> Result<(), ReportError> {
        let tables = [
            (CORRELATIONS, correlations_table::to_batch(&self.correlations)),
            (LEADERBOARD, leaderboard_table::to_batch(&self.leaderboard)),
            (COMPARISONS, comparisons_table::to_batch(&self.comparisons)),
            (CROSS_DATASET, cross_dataset_table::to_batch(&self.cross_dataset)),
        ];
        for (table, batch) in tables {
            let bytes = self.encode(&batch).map_err(|source| ReportError::Write { table, source })?;
            store.put(&report_key(table, &self.record.name), bytes).await?;
        }
        duckdb::write(store, &self.record).await
    }

    fn encode(&self, batch: &RecordBatch) -> Result<bytes::Bytes, ParquetError> {
        let mut facts =
            vec![("dqa.run", self.record.name.to_string()), ("dqa.fingerprint", self.record.fingerprint.clone())];
        if self.options.intervals == ReportIntervals::Bootstrap {
            facts.push(("dqa.replicates", self.options.replicates.to_string()));
            facts.push(("dqa.seed", self.options.seed.to_string()));
        }
        facts.extend(self.record.spec.remark.clone().map(|remark| ("dqa.remark", remark)));
        parquet_file::write(&batch.schema(), std::slice::from_ref(batch), &facts)
    }

    /// Leaves the rows of one data set.
    ///
    /// # Errors
    /// Where the run has not that data set.
    pub fn only(&mut self, dataset: &DatasetName) -> Result<(), ReportError> {
        if !self.record.spec.dataset_names().contains(&dataset.as_str()) {
            return Err(ReportError::no_dataset(&self.record, dataset));
        }
        let is = |name: &Option<String>| name.as_deref() == Some(dataset.as_str());
        self.correlations.retain(|row| is(&row.dataset));
        self.leaderboard.retain(|row| is(&row.dataset));
        self.comparisons.retain(|row| is(&row.dataset));
        self.cross_dataset.clear();
        Ok(())
    }
}
