//! Compares metrics on the same pictures: which agrees better with the labels, how alike they rank pictures and
//! algorithms, and where they disagree most. The measures and leaderboards of each metric are those of its report; only
//! what concerns two metrics is computed here.
//!
//! [`Report`]s -> [`MetricColumn`]s -`read_and_join`-> `JoinedPictures` of a data set -> rows of the [`MetricTables`]

mod columns;
mod disagreements;
mod labelled_groups;
mod matrix;
mod paired_metrics;
mod ranks;

use arrow::array::RecordBatch;

use super::Report;
use super::compare::CompareError;
use super::compare::join_pictures::{Join, read_and_join};
use super::error::ReportError;
use crate::causes::causes;
use crate::names::RunName;
use crate::run::{DatasetSpec, RunRecord};
use crate::store::Store;
use crate::tables::correlations::CorrelationRow;
use crate::tables::leaderboard::LeaderboardRow;
use crate::tables::metric_differences::{self, METRIC_DIFFERENCES, MetricDifferenceRow};
use crate::tables::metric_disagreements::{self, METRIC_DISAGREEMENTS, MetricDisagreementRow};
use crate::tables::metric_matrix::{self, METRIC_MATRIX, MetricMatrixRow};
use crate::tables::metric_ranks::{self, METRIC_RANKS, MetricRankRow};
use crate::tables::metrics::{self, METRICS, MetricRow};
use crate::trained_on::SeenScenes;
use columns::MetricColumn;

/// The tables that compare metrics. They are empty if there is only one metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricTables {
    /// Rows of each data set, protocol and group, best metric first.
    pub metrics: Vec<MetricRow>,
    /// Rows of all pairs of metrics of each data set, protocol, group and measure.
    pub differences: Vec<MetricDifferenceRow>,
    /// Rows of all ordered pairs of metrics of each data set.
    pub matrix: Vec<MetricMatrixRow>,
    /// Rows of each algorithm of each data set.
    pub ranks: Vec<MetricRankRow>,
    /// Rows of each pair of metrics of each data set, largest gap first.
    pub disagreements: Vec<MetricDisagreementRow>,
}

impl MetricTables {
    /// Removes the rows of all other data sets.
    pub(super) fn retain_dataset(&mut self, dataset: &str) {
        self.metrics.retain(|row| row.dataset == dataset);
        self.differences.retain(|row| row.dataset == dataset);
        self.matrix.retain(|row| row.dataset == dataset);
        self.ranks.retain(|row| row.dataset == dataset);
        self.disagreements.retain(|row| row.dataset == dataset);
    }

    /// Returns whether no metrics were compared.
    pub fn is_empty(&self) -> bool {
        self.matrix.is_empty()
    }

    /// Returns each table with its name.
    pub(super) fn batches(&self) -> [(&'static str, RecordBatch); 5] {
        [
            (METRICS, metrics::to_batch(&self.metrics)),
            (METRIC_DIFFERENCES, metric_differences::to_batch(&self.differences)),
            (METRIC_MATRIX, metric_matrix::to_batch(&self.matrix)),
            (METRIC_RANKS, metric_ranks::to_batch(&self.ranks)),
            (METRIC_DISAGREEMENTS, metric_disagreements::to_batch(&self.disagreements)),
        ]
    }

    fn append(&mut self, dataset: MetricTables) {
        self.metrics.extend(dataset.metrics);
        self.differences.extend(dataset.differences);
        self.matrix.extend(dataset.matrix);
        self.ranks.extend(dataset.ranks);
        self.disagreements.extend(dataset.disagreements);
    }
}

/// The metrics of one data set, with what their reports say of it.
struct DatasetMetrics {
    run: RunName,
    dataset: DatasetSpec,
    columns: Vec<MetricColumn>,
    /// The rows of each column's report.
    correlations: Vec<Vec<CorrelationRow>>,
    leaderboards: Vec<Vec<LeaderboardRow>>,
    seen: Vec<SeenScenes>,
}

/// Compares the metrics of `own` with each other and with those of `others` on the data sets of `own`.
///
/// # Errors
/// A data set has another source in another run, a picture has other labels or scenes there, or the store fails.
pub(super) async fn compute(store: &Store, own: &Report, others: &[Report]) -> Result<MetricTables, ReportError> {
    let reports: Vec<&Report> = std::iter::once(own).chain(others).collect();
    let records: Vec<&RunRecord> = reports.iter().map(|report| &report.record).collect();
    let columns = columns::metric_columns(&records)?;
    let mut tables = MetricTables::default();
    for dataset in &own.record.spec.datasets {
        let metrics = DatasetMetrics::new(&reports, &columns, dataset);
        if metrics.columns.len() < 2 {
            continue;
        }
        let records: Vec<RunRecord> = metrics.columns.iter().map(|column| column.record.clone()).collect();
        let joined = read_and_join(store, &records, &dataset.name, Join::Outer).await.map_err(into_report_error)?;
        let work = move || {
            let (rows, differences) = labelled_groups::compute(&joined, &metrics);
            MetricTables {
                metrics: rows,
                differences,
                matrix: matrix::compute(&joined, &metrics),
                ranks: ranks::compute(&metrics),
                disagreements: disagreements::compute(&joined, &metrics),
            }
        };
        tables.append(tokio::task::spawn_blocking(work).await.expect("statistics do not panic"));
    }
    Ok(tables)
}

impl DatasetMetrics {
    fn new(reports: &[&Report], columns: &[MetricColumn], dataset: &DatasetSpec) -> DatasetMetrics {
        let has_rows = |column: &&MetricColumn| column.record.parts.iter().any(|part| part.dataset == dataset.name);
        let columns: Vec<MetricColumn> = columns.iter().filter(has_rows).cloned().collect();
        let is_row = |column: &MetricColumn, name: &Option<String>, metric: &Option<String>| {
            name.as_deref() == Some(dataset.name.as_str()) && metric.as_deref() == Some(column.metric.name.as_str())
        };
        let correlations = columns.iter().map(|column| {
            let rows = reports[column.report].correlations.iter();
            rows.filter(|row| is_row(column, &row.dataset, &row.metric)).cloned().collect()
        });
        let leaderboards = columns.iter().map(|column| {
            let rows = reports[column.report].leaderboard.iter();
            rows.filter(|row| is_row(column, &row.dataset, &row.metric)).cloned().collect()
        });
        let specs = reports.iter().flat_map(|report| &report.record.spec.datasets);
        let seen = specs.filter(|spec| spec.name == dataset.name).filter_map(|spec| spec.seen_in_training.clone());
        DatasetMetrics {
            run: reports[0].record.name.clone(),
            dataset: dataset.clone(),
            correlations: correlations.collect(),
            leaderboards: leaderboards.collect(),
            seen: seen.collect(),
            columns,
        }
    }
}

fn into_report_error(error: CompareError) -> ReportError {
    match error {
        CompareError::Report(error) => error,
        CompareError::ConflictingPictures { ref first, ref second, .. } => ReportError::IncomparableRuns {
            first: first.to_string(),
            second: second.to_string(),
            differences: vec![causes(&error).to_string()],
        },
        other => unreachable!("an outer join of checked runs has no other error: {other}"),
    }
}
