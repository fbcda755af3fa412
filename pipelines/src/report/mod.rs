//! The reports of a run: correlations of scores with labels, leaderboards, comparisons of algorithms and agreement between data
//! sets, as tables in the store and as text. Only one metric of one data set is in memory at a time, and each is reported as if it
//! were the run's only one. The crate `dqa-query` computes the correlations of data sets that do not fit.
//!
//! `RunRecord` -load-> `DatasetScores` of a metric and a data set -> rows of the tables -> [`Report`]

mod combine_runs;
pub mod compare;
mod compute_report;
mod correlations;
mod cross_dataset;
mod dataset_scores;
mod duckdb_views;
mod error;
mod held_out;
mod leaderboard;
mod metric_choice;
mod metric_comparison;
mod metrics_text;
mod of_rows;
mod options;
mod ranking_text;
mod report_text;
mod require_complete;
mod row_context;
mod stored_tables;

use arrow::array::RecordBatch;
use parquet::errors::ParquetError;

use crate::names::{DatasetName, MetricName, RunName};
use crate::run::RunRecord;
use crate::store::Store;
use crate::tables::comparisons::{self as comparisons_table, COMPARISONS, ComparisonRow};
use crate::tables::correlations::{self as correlations_table, CORRELATIONS, CorrelationRow};
use crate::tables::cross_dataset::{self as cross_dataset_table, CROSS_DATASET, CrossDatasetRow};
use crate::tables::leaderboard::{self as leaderboard_table, LEADERBOARD, LeaderboardRow};
use crate::tables::{parquet_file, report_key};

pub use crate::run::{REPLICATES_MIN, ReportIntervals};
pub use combine_runs::combine_runs;
pub use compute_report::{compute, compute_leaderboards, compute_with_others};
pub use correlations::{EXBEDDE, VQEG};
pub use dataset_scores::read_part;
pub use error::ReportError;
pub use held_out::{HELD_OUT, SEEN, is_in_summary};
pub use metric_choice::select_metric;
pub use metric_comparison::MetricTables;
pub use of_rows::{LooseRow, compute_of_rows};
pub use options::ReportOptions;
pub use report_text::ReportTable;
pub use require_complete::{check_complete, require_complete};
pub use stored_tables::{StoredTable, StoredTableState, verify_tables};

/// The reports of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The record of the run.
    pub record: RunRecord,
    /// The options that the report was computed with.
    pub options: ReportOptions,
    /// The other runs whose metrics are compared with this run's.
    pub compared_with: Vec<RunName>,
    /// Rows of each metric in the run's order: of each data set in the run's order, then the means over data sets.
    pub correlations: Vec<CorrelationRow>,
    /// Rows of each metric: of each data set, best algorithm first, then rows over all data sets.
    pub leaderboard: Vec<LeaderboardRow>,
    /// Rows of each metric: of all pairs of algorithms of each data set, then rows over all data sets.
    pub comparisons: Vec<ComparisonRow>,
    /// Rows of each metric: of all pairs of data sets.
    pub cross_dataset: Vec<CrossDatasetRow>,
    /// The comparison of the metrics. Empty if there is only one.
    pub metrics: MetricTables,
}

impl Report {
    fn empty(record: &RunRecord, options: &ReportOptions) -> Report {
        Report {
            record: record.clone(),
            options: *options,
            compared_with: Vec::new(),
            correlations: Vec::new(),
            leaderboard: Vec::new(),
            comparisons: Vec::new(),
            cross_dataset: Vec::new(),
            metrics: MetricTables::default(),
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
        for (table, batch) in self.tables() {
            let bytes = self.encode(&batch).map_err(|source| ReportError::Write { table, source })?;
            store.put(&report_key(table, &self.record.name), bytes).await?;
        }
        if self.metrics.is_empty() {
            // An earlier report may have compared metrics.
            for (table, _) in self.metrics.batches() {
                store.delete(&report_key(table, &self.record.name)).await?;
            }
        }
        duckdb_views::write(store, &self.record).await
    }

    /// Returns the tables with their names. Those that compare metrics are there if there is more than one metric.
    fn tables(&self) -> Vec<(&'static str, RecordBatch)> {
        let mut tables = vec![
            (CORRELATIONS, correlations_table::to_batch(&self.correlations)),
            (LEADERBOARD, leaderboard_table::to_batch(&self.leaderboard)),
            (COMPARISONS, comparisons_table::to_batch(&self.comparisons)),
            (CROSS_DATASET, cross_dataset_table::to_batch(&self.cross_dataset)),
        ];
        if !self.metrics.is_empty() {
            tables.extend(self.metrics.batches());
        }
        tables
    }

    fn encode(&self, batch: &RecordBatch) -> Result<bytes::Bytes, ParquetError> {
        let mut metadata = vec![("dqa.run", self.record.name.to_string())];
        // It is empty if the run does not have CLIP-DQA.
        if !self.record.fingerprint.is_empty() {
            metadata.push(("dqa.fingerprint", self.record.fingerprint.clone()));
        }
        metadata.extend(self.record.parts_digest.clone().map(|digest| (stored_tables::PARTS_DIGEST, digest)));
        let options = serde_json::to_string(&self.options).expect("options have text for keys");
        metadata.push((stored_tables::OPTIONS, options));
        if !self.compared_with.is_empty() {
            let names: Vec<&str> = self.compared_with.iter().map(RunName::as_str).collect();
            metadata.push((stored_tables::COMPARED_WITH, names.join(",")));
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
        self.metrics.retain_dataset(dataset.as_str());
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
        self.metrics = MetricTables::default();
        Ok(())
    }
}
