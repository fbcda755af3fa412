//! How alike the metrics rank all pictures of a data set, with or without labels. Pure.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::DatasetMetrics;
use crate::report::compare::join_pictures::JoinedPictures;
use crate::tables::metric_matrix::MetricMatrixRow;

/// Returns a row for each ordered pair of metrics.
pub(super) fn compute(joined: &JoinedPictures, metrics: &DatasetMetrics) -> Vec<MetricMatrixRow> {
    let count = metrics.columns.len();
    let from_diagonal = |a: usize| (a..count).into_par_iter().map(move |b| correlate(joined, (a, b))).collect();
    let upper: Vec<Vec<(u64, Option<f64>)>> = (0..count).into_par_iter().map(from_diagonal).collect();
    let cell = |a: usize, b: usize| upper[a.min(b)][a.abs_diff(b)];
    let row = |(a, b): (usize, usize)| {
        let (n, srcc) = cell(a, b);
        MetricMatrixRow {
            run: metrics.run.to_string(),
            dataset: metrics.dataset.name.to_string(),
            metric: metrics.columns[a].label.clone(),
            other_metric: metrics.columns[b].label.clone(),
            n,
            srcc,
        }
    };
    (0..count).flat_map(|a| (0..count).map(move |b| (a, b))).map(row).collect()
}

/// Returns the number of pictures that both metrics have scored, and the correlation of their oriented scores.
fn correlate(joined: &JoinedPictures, (a, b): (usize, usize)) -> (u64, Option<f64>) {
    let both = joined.scores[a].iter().zip(&joined.scores[b]).filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let (x, y): (Vec<f64>, Vec<f64>) = both.unzip();
    (x.len() as u64, dqa_stats::srcc(&x, &y))
}
