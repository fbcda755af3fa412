//! The order of the algorithms on each data set and over all of a run's, and which ranks are inside the noise. Pure.

use super::correlations::spread;
use super::load::Rows;
use super::{Head, ReportOptions};
use crate::names::AlgorithmName;
use crate::stats::{self, Ranking, SceneScores};
use crate::tables::leaderboard::LeaderboardRow;

/// A data set's table, and what the one over all data sets is made of.
pub(super) struct Board {
    pub(super) table: Vec<LeaderboardRow>,
    /// Algorithms are numbered by their places in the run's list.
    pub(super) ranking: Ranking,
}

/// The leaderboard of one data set. `algorithms` are the run's, by name.
pub(super) fn of(rows: &Rows, head: &Head<'_>, algorithms: &[AlgorithmName], options: &ReportOptions) -> Board {
    // Without a score there is nothing to compare, and the other pairs' tests would only be corrected for it.
    let scored = |place: &usize| rows.score[rows.algorithms[*place].1.clone()].iter().any(|score| !score.is_nan());
    let places: Vec<usize> = (0..rows.algorithms.len()).filter(scored).collect();
    let scores: Vec<f64> = places.iter().flat_map(|&place| scene_means(rows, place, &rows.score)).collect();
    let matrix = SceneScores { algorithms: places.len(), scenes: rows.scenes.len(), scores: &scores };
    let mut ranking = stats::rank(&matrix, &options.bootstrap());
    let number = |row: usize| {
        let name = &rows.algorithms[places[row]].0;
        algorithms.binary_search(name).expect("the run's list has every algorithm")
    };
    ranking.standings.iter_mut().for_each(|standing| standing.algorithm = number(standing.algorithm));
    ranking
        .comparisons
        .iter_mut()
        .for_each(|pair| (pair.first, pair.second) = (number(pair.first), number(pair.second)));
    let mut table: Vec<LeaderboardRow> = Vec::new();
    for (place, (algorithm, range)) in rows.algorithms.iter().enumerate() {
        let failed = rows.score[range.clone()].iter().filter(|score| score.is_nan()).count() as u64;
        table.push(LeaderboardRow {
            dataset: Some(head.dataset.to_string()),
            pictures: range.len() as u64,
            failed,
            mean_mos: mean(&scene_means(rows, place, &rows.mos)),
            ..row(head, algorithm, options)
        });
    }
    stand(&mut table, &ranking, algorithms);
    Board { table, ranking }
}

/// The leaderboard over all data sets, each counting the same; none where there is only one.
pub(super) fn across(
    boards: &[Board],
    head: &Head<'_>,
    algorithms: &[AlgorithmName],
    options: &ReportOptions,
) -> Vec<LeaderboardRow> {
    if boards.len() < 2 {
        return Vec::new();
    }
    let rankings: Vec<Ranking> = boards.iter().map(|board| board.ranking.clone()).collect();
    let ranking = stats::rank_across(&rankings, options.bootstrap().level);
    let of_algorithm = |algorithm: &AlgorithmName| {
        let count = |of: fn(&LeaderboardRow) -> u64| {
            let rows = boards.iter().flat_map(|board| &board.table);
            rows.filter(|row| row.algorithm == algorithm.as_str()).map(of).sum()
        };
        LeaderboardRow {
            pictures: count(|row| row.pictures),
            failed: count(|row| row.failed),
            scenes: count(|row| row.scenes),
            ..row(head, algorithm, options)
        }
    };
    let mut table: Vec<LeaderboardRow> = algorithms.iter().map(of_algorithm).collect();
    stand(&mut table, &ranking, algorithms);
    table
}

fn row(head: &Head<'_>, algorithm: &AlgorithmName, options: &ReportOptions) -> LeaderboardRow {
    LeaderboardRow {
        run: head.run.to_string(),
        fingerprint: head.fingerprint.to_owned(),
        algorithm: algorithm.to_string(),
        level: options.bootstrap().level,
        replicates: options.replicates,
        seed: options.seed,
        ..LeaderboardRow::default()
    }
}

/// Puts the ranking into the rows and the rows into its order, those without a rank last.
fn stand(table: &mut [LeaderboardRow], ranking: &Ranking, algorithms: &[AlgorithmName]) {
    for (place, standing) in ranking.standings.iter().enumerate() {
        let row = table.iter_mut().find(|row| row.algorithm == algorithms[standing.algorithm].as_str());
        let row = row.expect("what was ranked has a row");
        row.rank = Some(standing.rank);
        row.rank_best = Some(standing.rank_best);
        row.rank_worst = Some(standing.rank_worst);
        row.rank_group = Some(standing.groups.clone());
        row.scenes = standing.scenes;
        (row.mean_score, row.mean_score_low, row.mean_score_high) = spread(standing.mean);
        row.p_next = ranking.standings.get(place + 1).and_then(|next| {
            let (a, b) = (standing.algorithm.min(next.algorithm), standing.algorithm.max(next.algorithm));
            ranking.comparisons.iter().find(|pair| (pair.first, pair.second) == (a, b)).map(|pair| pair.p_holm)
        });
    }
    table.sort_by_key(|row| row.rank.unwrap_or(u32::MAX));
}

/// Mean of an algorithm's `values` for each scene of the data set; NaN where it has none. A failed picture's label is left
/// out with its score, so that both means are of the same pictures.
fn scene_means(rows: &Rows, place: usize, values: &[f64]) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); rows.scenes.len()];
    for row in rows.algorithms[place].1.clone() {
        if !values[row].is_nan() && !rows.score[row].is_nan() {
            let (sum, count) = &mut sums[rows.scene[row] as usize];
            *sum += values[row];
            *count += 1.0;
        }
    }
    // 0 / 0 is the NaN that is wanted.
    sums.into_iter().map(|(sum, count)| sum / count).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}
