//! Adds metrics to synthetic runs: each scores the pictures of the run's first metric.

use std::path::Path;

use dqa_pipelines::metric::{Direction, MetricSpec};
use dqa_pipelines::report::{self, Report, ReportOptions};
use dqa_pipelines::run::{PartRef, RunRecord};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{
    PartColumns, ScoreRow, ScoreStatistics, ScoringFailure, from_batch, part_key, to_batch,
};
use tempfile::TempDir;

/// Creates a store in a folder of its own.
pub(crate) fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
    (dir, store)
}

/// Computes the reports of a run with the default options.
pub(crate) async fn compute(store: &Store, record: &RunRecord) -> Report {
    report::compute(store, record, &ReportOptions::default()).await.unwrap()
}

/// Returns the specification of a metric whose fingerprint is made from its name.
pub(crate) fn metric(name: &str, direction: Direction) -> MetricSpec {
    let fingerprint = blake3::hash(name.as_bytes()).to_hex().to_string();
    MetricSpec { name: name.parse().unwrap(), fingerprint, direction }
}

/// Adds a metric to a run. `score` has the value of each picture that the run's first metric scored; None fails it.
pub(crate) async fn add_metric(
    store: &Store,
    record: &mut RunRecord,
    metric: &MetricSpec,
    score: impl Fn(&ScoreRow) -> Option<f64>,
) {
    let mut metrics = record.metrics();
    for part in record.for_metric(&metrics[0]).parts {
        let batches = parquet_file::read(store.get(&part.key).await.unwrap()).unwrap();
        let rows = batches.iter().flat_map(|batch| from_batch(batch).unwrap());
        let rows: Vec<ScoreRow> = rows.map(|row| rescored(row, &score)).collect();
        record.parts.push(write_part(store, &part, metric, &rows).await);
    }
    metrics.push(metric.clone());
    record.spec.metrics = metrics;
    record.counts.pictures = record.parts.iter().map(|part| part.rows).sum();
    record.write(store).await.unwrap();
}

fn rescored(row: ScoreRow, score: impl Fn(&ScoreRow) -> Option<f64>) -> ScoreRow {
    if row.score.is_err() {
        return row;
    }
    let failure =
        || ScoringFailure { code: "reference_missing".to_owned(), message: "there is no clear picture".to_owned() };
    let statistics = |score| ScoreStatistics { score, std: 0.0, min: score, max: score };
    ScoreRow { score: score(&row).map(statistics).ok_or_else(failure), ..row }
}

/// Writes the rows of a metric that belong to a part of another metric.
async fn write_part(store: &Store, part: &PartRef, metric: &MetricSpec, rows: &[ScoreRow]) -> PartRef {
    let number = part.key.rsplit('-').next().unwrap().strip_suffix(".parquet").unwrap();
    let columns = PartColumns {
        dataset: part.dataset.to_string(),
        algorithm: part.algorithm.to_string(),
        metric: metric.name.to_string(),
        fingerprint: metric.fingerprint.clone(),
        part: format!("{}-{}-{number}", &metric.fingerprint[..12], metric.name),
    };
    let batch = to_batch(&columns, rows);
    let bytes = parquet_file::write(&batch.schema(), &[batch], &[]).unwrap();
    let key = part_key(&columns.dataset, &columns.algorithm, &columns.part);
    store.put(&key, bytes).await.unwrap();
    PartRef { key, metric: Some(metric.name.clone()), ..part.clone() }
}
