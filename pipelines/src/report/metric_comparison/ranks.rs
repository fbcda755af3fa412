//! How the metrics rank the algorithms of a data set, beside the ranks by the labels. Pure.

use super::DatasetMetrics;
use crate::tables::leaderboard::LeaderboardRow;
use crate::tables::metric_ranks::MetricRankRow;

/// Returns a row for each algorithm of each metric's leaderboard.
pub(super) fn compute(metrics: &DatasetMetrics) -> Vec<MetricRankRow> {
    let mut rows = Vec::new();
    for (column, board) in metrics.columns.iter().zip(&metrics.leaderboards) {
        for row in board {
            rows.push(MetricRankRow {
                run: metrics.run.to_string(),
                dataset: metrics.dataset.name.to_string(),
                algorithm: row.algorithm.clone(),
                metric: column.label.clone(),
                direction: column.metric.direction.to_string(),
                score: row.adjusted_score,
                rank: row.rank,
                rank_best: row.rank_best,
                rank_worst: row.rank_worst,
                mos_rank: mos_rank(row, board),
            });
        }
    }
    rows
}

/// Returns the algorithm's rank by its mean label among the ranked algorithms. Equal labels share the best rank.
fn mos_rank(row: &LeaderboardRow, board: &[LeaderboardRow]) -> Option<u32> {
    row.rank?;
    let mos = row.mean_mos?;
    let is_better = |other: &&LeaderboardRow| other.rank.is_some() && other.mean_mos > Some(mos);
    Some(board.iter().filter(is_better).count() as u32 + 1)
}
