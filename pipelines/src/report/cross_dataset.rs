//! Agreement between data sets: whether they rank the algorithms alike, by scores and by labels. Pure.

use crate::tables::cross_dataset::CrossDatasetRow;
use crate::tables::leaderboard::LeaderboardRow;
use dqa_stats as stats;

/// Returns a row for each pair of data sets and each measure. `leaderboards` has one leaderboard for each data set of the run.
pub(super) fn compute(leaderboards: &[&[LeaderboardRow]]) -> Vec<CrossDatasetRow> {
    let measures: [(&str, Measure); 2] = [("score", |row| row.adjusted_score), ("mos", |row| row.mean_mos)];
    let mut table = Vec::new();
    for (name, measure) in measures {
        for (index, a) in leaderboards.iter().enumerate() {
            for b in &leaderboards[index + 1..] {
                table.extend(compare(a, b, measure).map(|row| CrossDatasetRow { measure: name.to_owned(), ..row }));
            }
        }
    }
    table
}

type Measure = fn(&LeaderboardRow) -> Option<f64>;

/// Compares two leaderboards. Returns None if no algorithm has the measure on both data sets.
fn compare(a: &[LeaderboardRow], b: &[LeaderboardRow], measure: Measure) -> Option<CrossDatasetRow> {
    let both = |row: &LeaderboardRow| {
        let other = b.iter().find(|other| other.algorithm == row.algorithm)?;
        // The hazy input has no rank and is not compared.
        row.rank.and(other.rank)?;
        Some((measure(row)?, measure(other)?))
    };
    let (x, y): (Vec<f64>, Vec<f64>) = a.iter().filter_map(both).unzip();
    let (first, second) = (a.first()?, b.first()?);
    (!x.is_empty()).then(|| CrossDatasetRow {
        run: first.run.clone(),
        fingerprint: first.fingerprint.clone(),
        metric: first.metric.clone(),
        measure: String::new(),
        dataset_a: first.dataset.clone().unwrap_or_default(),
        dataset_b: second.dataset.clone().unwrap_or_default(),
        algorithms: x.len() as u64,
        srcc: stats::srcc(&x, &y),
        krcc: stats::krcc(&x, &y),
        plcc: stats::plcc(&x, &y),
    })
}
