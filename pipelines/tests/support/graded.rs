//! Writes synthetic runs whose algorithms have a known order, for tests of leaderboards and comparisons.

use dqa_pipelines::run::{PartRef, RunRecord};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{ScoreRow, ScoreStatistics, from_batch};

use crate::synthetic::{self, Shape, encode};

/// Writes a run whose scenes go from hard to easy, and in which algorithm k scores 0.05 less than algorithm k - 1, plus
/// noise.
pub(crate) async fn write_graded(store: &Store, shape: Shape) -> RunRecord {
    let mut record = synthetic::write(store, "r", shape).await;
    for algorithm in 0..shape.algorithms {
        let score = |scene: usize| {
            let noise = ((scene * 37 + 11) * (algorithm + 3) % 41) as f64 / 4100.0;
            0.3 + 0.4 * scene as f64 / shape.scenes as f64 - 0.05 * algorithm as f64 + noise
        };
        let rows = |rows: Vec<ScoreRow>| {
            rows.into_iter().enumerate().map(|(scene, row)| with_score(row, score(scene))).collect()
        };
        replace_rows(store, &mut record, algorithm, rows).await;
    }
    record
}

/// Replaces the rows of one algorithm in the store and in the record.
pub(crate) async fn replace_rows(
    store: &Store,
    record: &mut RunRecord,
    algorithm: usize,
    rows_from: impl Fn(Vec<ScoreRow>) -> Vec<ScoreRow>,
) {
    let index = record.parts.iter().position(|part| part.algorithm.as_str() == format!("algo{algorithm:02}")).unwrap();
    let batches = parquet_file::read(store.get(&record.parts[index].key).await.unwrap()).unwrap();
    let rows = rows_from(batches.iter().flat_map(|batch| from_batch(batch).unwrap()).collect());
    let (part, bytes, _): (PartRef, _, _) = encode(0, algorithm, 0, &rows);
    store.put(&part.key, bytes).await.unwrap();
    record.parts[index] = part;
    record.counts.pictures = record.parts.iter().map(|part| part.rows).sum();
}

pub(crate) fn with_score(mut row: ScoreRow, score: f64) -> ScoreRow {
    row.score = Ok(ScoreStatistics { score, std: 0.0, min: score, max: score });
    row
}
