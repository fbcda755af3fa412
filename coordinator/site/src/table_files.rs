//! The tables of reports, studies and trainings in a store, as rows.

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use dqa_pipelines::names::RunName;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::comparisons::{self, COMPARISONS, ComparisonRow};
use dqa_pipelines::tables::correlations::{self, CORRELATIONS, CorrelationRow};
use dqa_pipelines::tables::leaderboard::{self, LEADERBOARD, LeaderboardRow};
use dqa_pipelines::tables::metric_differences::{self, METRIC_DIFFERENCES, MetricDifferenceRow};
use dqa_pipelines::tables::metric_disagreements::{self, METRIC_DISAGREEMENTS, MetricDisagreementRow};
use dqa_pipelines::tables::metric_matrix::{self, METRIC_MATRIX, MetricMatrixRow};
use dqa_pipelines::tables::metric_ranks::{self, METRIC_RANKS, MetricRankRow};
use dqa_pipelines::tables::metrics::{self, METRICS, MetricRow};
use dqa_pipelines::tables::{parquet_file, report_key};
use parquet::errors::ParquetError;

use crate::error::SiteError;

/// The tables of a run's report. They are empty before the run is complete.
#[derive(Debug, Default)]
pub(crate) struct ReportTables {
    pub(crate) leaderboard: Vec<LeaderboardRow>,
    pub(crate) comparisons: Vec<ComparisonRow>,
    pub(crate) correlations: Vec<CorrelationRow>,
    pub(crate) metrics: Vec<MetricRow>,
    pub(crate) differences: Vec<MetricDifferenceRow>,
    pub(crate) matrix: Vec<MetricMatrixRow>,
    pub(crate) ranks: Vec<MetricRankRow>,
    pub(crate) disagreements: Vec<MetricDisagreementRow>,
}

impl ReportTables {
    pub(crate) async fn read(store: &Store, run: &RunName) -> Result<ReportTables, SiteError> {
        let key = |table| report_key(table, run);
        Ok(ReportTables {
            leaderboard: read(store, &key(LEADERBOARD), leaderboard::from_batch).await?,
            comparisons: read(store, &key(COMPARISONS), comparisons::from_batch).await?,
            correlations: read(store, &key(CORRELATIONS), correlations::from_batch).await?,
            metrics: read(store, &key(METRICS), metrics::from_batch).await?,
            differences: read(store, &key(METRIC_DIFFERENCES), metric_differences::from_batch).await?,
            matrix: read(store, &key(METRIC_MATRIX), metric_matrix::from_batch).await?,
            ranks: read(store, &key(METRIC_RANKS), metric_ranks::from_batch).await?,
            disagreements: read(store, &key(METRIC_DISAGREEMENTS), metric_disagreements::from_batch).await?,
        })
    }
}

/// Reads a table. A file that does not exist has no rows.
pub(crate) async fn read<T>(
    store: &Store,
    key: &str,
    from_batch: fn(&RecordBatch) -> Result<Vec<T>, ArrowError>,
) -> Result<Vec<T>, SiteError> {
    let bytes = match store.get(key).await {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    decode(bytes, key, from_batch)
}

/// Returns the rows of a table's file.
pub(crate) fn decode<T>(
    bytes: Bytes,
    key: &str,
    from_batch: fn(&RecordBatch) -> Result<Vec<T>, ArrowError>,
) -> Result<Vec<T>, SiteError> {
    let invalid = |source| SiteError::Table { key: key.to_owned(), source };
    let mut rows = Vec::new();
    for batch in parquet_file::read(bytes).map_err(invalid)? {
        rows.extend(from_batch(&batch).map_err(|error| invalid(ParquetError::from(error)))?);
    }
    Ok(rows)
}
