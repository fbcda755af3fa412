//! The reports of a run: correlations of scores with labels, leaderboards, comparisons of algorithms and agreement between data
//! sets, as tables in the store and as text. Only one metric of one data set is in memory at a time, and each is reported as if it
//! were the run's only one. The crate `dqa-query` computes the correlations of data sets that do not fit.
//!
//! `RunRecord` -load-> `DatasetScores` of a metric and a data set -> rows of the tables -> [`Report`]

mod combine_runs;
pub mod compare;
mod correlations;
mod cross_dataset;
mod dataset_scores;
mod duckdb_views;
mod error;
mod held_out;
mod leaderboard;
mod metric_choice;
mod options;
mod ranking_text;
mod report_text;
mod require_complete;
mod row_context;

use arrow::array::RecordBatch;
use parquet::errors::ParquetError;

use self::correlations::Agreement;
use self::dataset_scores::DatasetScores;
use self::row_context::RowContext;
use crate::metric::MetricSpec;
use crate::names::{AlgorithmName, DatasetName, MetricName};
use crate::run::{DatasetSpec, RunRecord};
use crate::store::Store;
use crate::tables::comparisons::{self as comparisons_table, COMPARISONS, ComparisonRow};
use crate::tables::correlations::{self as correlations_table, CORRELATIONS, CorrelationRow};
use crate::tables::cross_dataset::{self as cross_dataset_table, CROSS_DATASET, CrossDatasetRow};
use crate::tables::leaderboard::{self as leaderboard_table, LEADERBOARD, LeaderboardRow};
use crate::tables::{parquet_file, report_key};

pub use crate::run::{REPLICATES_MIN, ReportIntervals};
pub use combine_runs::combine_runs;
pub use correlations::{EXBEDDE, VQEG};
pub use error::ReportError;
pub use held_out::{HELD_OUT, SEEN, is_in_summary};
pub use metric_choice::select_metric;
pub use options::ReportOptions;
pub use report_text::ReportTable;
pub use require_complete::{check_complete, require_complete};

/// The reports of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The record of the run.
    pub record: RunRecord,
    /// The options that the report was computed with.
    pub options: ReportOptions,
    /// Rows of each metric in the run's order: of each data set in the run's order, then the means over data sets.
    pub correlations: Vec<CorrelationRow>,
    /// Rows of each metric: of each data set, best algorithm first, then rows over all data sets.
    pub leaderboard: Vec<LeaderboardRow>,
    /// Rows of each metric: of all pairs of algorithms of each data set, then rows over all data sets.
    pub comparisons: Vec<ComparisonRow>,
    /// Rows of each metric: of all pairs of data sets.
    pub cross_dataset: Vec<CrossDatasetRow>,
}

/// Reads the run's scores and computes all of its reports.
///
/// # Errors
/// The run is not complete; a part is missing, damaged or of another run; the store fails.
pub async fn compute(store: &Store, record: &RunRecord, options: &ReportOptions) -> Result<Report, ReportError> {
    compute_with(store, record, options, true).await
}

/// Computes the same as [`compute`] without the correlations, which take most of the time.
///
/// # Errors
/// The same as [`compute`].
pub async fn compute_leaderboards(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
) -> Result<Report, ReportError> {
    compute_with(store, record, options, false).await
}

async fn compute_with(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
    with_correlations: bool,
) -> Result<Report, ReportError> {
    require_complete::require_complete(store, std::slice::from_ref(record)).await?;
    options.check()?;
    let by_metric: Vec<RunRecord> = record.metrics().iter().map(|metric| record.for_metric(metric)).collect();
    let found = by_metric.iter().flat_map(|record| &record.parts).map(|part| part.rows).sum();
    if found != record.counts.pictures {
        let what = format!("run `{}`", record.name);
        return Err(ReportError::Rows { what, planned: record.counts.pictures, found });
    }
    let mut report = Report::empty(record, options);
    for record in &by_metric {
        report.append(compute_metric(store, record, options, with_correlations).await?);
    }
    Ok(report)
}

/// Computes the report of a record of one metric.
async fn compute_metric(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
    with_correlations: bool,
) -> Result<Report, ReportError> {
    let metric = metric_choice::only_metric(record);
    let mut algorithms: Vec<AlgorithmName> = record.parts.iter().map(|part| part.algorithm.clone()).collect();
    algorithms.sort();
    algorithms.dedup();
    let (mut correlations, mut overall, mut leaderboards) = (Vec::new(), Vec::new(), Vec::new());
    // A metric has no rows of a data set that lacks the pictures that it compares with.
    let has_rows = |dataset: &&DatasetSpec| record.parts.iter().any(|part| part.dataset == dataset.name);
    for dataset in record.spec.datasets.iter().filter(has_rows) {
        let rows = dataset_scores::load(store, record, &metric, &dataset.name).await?;
        let (record, metric, dataset) = (record.clone(), metric.clone(), dataset.clone());
        let (algorithms, options) = (algorithms.clone(), *options);
        let work = move || {
            let context = RowContext::new(&record, &metric, &dataset.name);
            let leaderboard = leaderboard::compute(&rows, &context, (&algorithms, dataset.hazy.as_ref()), &options);
            let agreement = with_correlations.then(|| agreement(&rows, &context, &dataset, &options));
            (leaderboard, agreement.unwrap_or_default())
        };
        let (leaderboard, agreement) = tokio::task::spawn_blocking(work).await.expect("statistics do not panic");
        leaderboards.push(leaderboard);
        correlations.extend(agreement.table);
        overall.extend(agreement.overall);
    }
    correlations.extend(correlations::means_over_datasets(&overall));
    Ok(assemble((record, &metric), options, &algorithms, (correlations, leaderboards)))
}

fn agreement(
    rows: &DatasetScores,
    context: &RowContext<'_>,
    dataset: &DatasetSpec,
    options: &ReportOptions,
) -> Agreement {
    let mut agreement = correlations::compute(rows, context, dataset.protocol.as_deref(), options);
    let seen = dataset.seen_in_training.as_ref();
    held_out::insert_rows(&mut agreement.table, rows, (context, seen), options);
    agreement
}

fn assemble(
    (record, metric): (&RunRecord, &MetricSpec),
    options: &ReportOptions,
    algorithms: &[AlgorithmName],
    (correlations, leaderboards): (Vec<CorrelationRow>, Vec<leaderboard::Leaderboard>),
) -> Report {
    let tables: Vec<&[LeaderboardRow]> = leaderboards.iter().map(|leaderboard| leaderboard.table.as_slice()).collect();
    let cross_dataset = cross_dataset::compute(&tables);
    let mut leaderboard = tables.concat();
    let mut comparisons: Vec<ComparisonRow> =
        leaderboards.iter().flat_map(|leaderboard| leaderboard.comparisons.clone()).collect();
    if let Some(dataset) = record.spec.datasets.first() {
        let (table, pairs) = leaderboard::compute_across_datasets(
            &leaderboards,
            &RowContext::new(record, metric, &dataset.name),
            algorithms,
            options,
        );
        leaderboard.extend(table);
        comparisons.extend(pairs);
    }
    Report { record: record.clone(), options: *options, correlations, leaderboard, comparisons, cross_dataset }
}

impl Report {
    fn empty(record: &RunRecord, options: &ReportOptions) -> Report {
        Report {
            record: record.clone(),
            options: *options,
            correlations: Vec::new(),
            leaderboard: Vec::new(),
            comparisons: Vec::new(),
            cross_dataset: Vec::new(),
        }
    }

    /// Appends the rows of another metric.
    fn append(&mut self, metric: Report) {
        self.correlations.extend(metric.correlations);
        self.leaderboard.extend(metric.leaderboard);
        self.comparisons.extend(metric.comparisons);
        self.cross_dataset.extend(metric.cross_dataset);
    }

    /// Writes the tables, replacing those of an earlier report, and the DuckDB views of the run's files.
    ///
    /// # Errors
    /// The store fails.
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
        duckdb_views::write(store, &self.record).await
    }

    fn encode(&self, batch: &RecordBatch) -> Result<bytes::Bytes, ParquetError> {
        let mut metadata = vec![("dqa.run", self.record.name.to_string())];
        // It is empty if the run does not have CLIP-DQA.
        if !self.record.fingerprint.is_empty() {
            metadata.push(("dqa.fingerprint", self.record.fingerprint.clone()));
        }
        if self.options.intervals == ReportIntervals::Bootstrap {
            metadata.push(("dqa.replicates", self.options.replicates.to_string()));
            metadata.push(("dqa.seed", self.options.seed.to_string()));
        }
        metadata.extend(self.record.spec.remark.clone().map(|remark| ("dqa.remark", remark)));
        parquet_file::write(&batch.schema(), std::slice::from_ref(batch), &metadata)
    }

    /// Removes the rows of all other data sets.
    ///
    /// # Errors
    /// The run does not have this data set.
    pub fn retain_dataset(&mut self, dataset: &DatasetName) -> Result<(), ReportError> {
        if !self.record.spec.dataset_names().contains(&dataset.as_str()) {
            return Err(ReportError::unknown_dataset(&self.record, dataset));
        }
        let is_kept = |name: &Option<String>| name.as_deref() == Some(dataset.as_str());
        self.correlations.retain(|row| is_kept(&row.dataset));
        self.leaderboard.retain(|row| is_kept(&row.dataset));
        self.comparisons.retain(|row| is_kept(&row.dataset));
        self.cross_dataset.clear();
        Ok(())
    }
    /// Removes the rows of all other metrics. The record becomes that of a run of this metric.
    ///
    /// # Errors
    /// The run does not have this metric.
    pub fn retain_metric(&mut self, metric: &MetricName) -> Result<(), ReportError> {
        self.record = select_metric(&self.record, Some(metric))?;
        let is_kept = |name: &Option<String>| name.as_deref() == Some(metric.as_str());
        self.correlations.retain(|row| is_kept(&row.metric));
        self.leaderboard.retain(|row| is_kept(&row.metric));
        self.comparisons.retain(|row| is_kept(&row.metric));
        self.cross_dataset.retain(|row| is_kept(&row.metric));
        Ok(())
    }
}
