//! The pictures that two metrics rank most differently. Pure.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::DatasetMetrics;
use super::columns::MetricColumn;
use crate::report::compare::join_pictures::JoinedPictures;
use crate::tables::metric_disagreements::MetricDisagreementRow;

/// The number of pictures that are listed for each pair of metrics.
const PICTURES_MAX: usize = 10;

/// Returns the rows of each pair of metrics, largest gap first.
pub(super) fn compute(joined: &JoinedPictures, metrics: &DatasetMetrics) -> Vec<MetricDisagreementRow> {
    let count = metrics.columns.len();
    let pairs: Vec<(usize, usize)> = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect();
    let rows: Vec<Vec<MetricDisagreementRow>> =
        pairs.into_par_iter().map(|pair| pair_rows(joined, metrics, pair)).collect();
    rows.concat()
}

fn pair_rows(joined: &JoinedPictures, metrics: &DatasetMetrics, (a, b): (usize, usize)) -> Vec<MetricDisagreementRow> {
    let both = |row: &usize| !joined.scores[a][*row].is_nan() && !joined.scores[b][*row].is_nan();
    let pictures: Vec<usize> = (0..joined.scene.len()).filter(both).collect();
    if pictures.len() < 2 {
        return Vec::new();
    }
    let ranks = [a, b].map(|metric| best_first_ranks(&joined.scores[metric], &pictures));
    let gap = |index: usize| ranks[1][index] - ranks[0][index];
    let mut order: Vec<usize> = (0..pictures.len()).filter(|&index| gap(index) != 0.0).collect();
    // Pictures of equal gaps stay in the order of scenes, algorithms and names.
    order.sort_by(|&x, &y| gap(y).abs().total_cmp(&gap(x).abs()));
    order.truncate(PICTURES_MAX);
    let row = |(position, index): (u32, usize)| {
        let (better, worse) = if gap(index) > 0.0 { (0, 1) } else { (1, 0) };
        let picture = pictures[index];
        let column = |side: usize| &metrics.columns[[a, b][side]];
        let score = |side: usize| shown_score(column(side), joined.scores[[a, b][side]][picture]);
        let scene = &joined.scenes[joined.scene[picture] as usize];
        let mos = joined.mos[picture];
        MetricDisagreementRow {
            run: metrics.run.to_string(),
            dataset: metrics.dataset.name.to_string(),
            metric: column(better).label.clone(),
            other_metric: column(worse).label.clone(),
            n: pictures.len() as u64,
            position,
            algorithm: joined.algorithms[joined.algorithm[picture] as usize].to_string(),
            scene_group: scene.group.as_deref().map(str::to_owned),
            scene: scene.name.to_string(),
            image: joined.image[picture].to_string(),
            rank: ranks[better][index],
            other_rank: ranks[worse][index],
            gap: gap(index).abs() / (pictures.len() - 1) as f64,
            score: score(better),
            other_score: score(worse),
            mos: (!mos.is_nan()).then_some(mos),
        }
    };
    (1..).zip(order).map(row).collect()
}

/// Returns the rank of each picture, 1 for the highest oriented score.
fn best_first_ranks(scores: &[f64], pictures: &[usize]) -> Vec<f64> {
    let negative: Vec<f64> = pictures.iter().map(|&row| 0.0 - scores[row]).collect();
    dqa_stats::midranks(&negative)
}

/// Returns the score as the metric gives it.
fn shown_score(column: &MetricColumn, oriented: f64) -> f64 {
    column.metric.direction.orient(oriented)
}
