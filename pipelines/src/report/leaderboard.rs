//! The order of the algorithms on each data set and over all of a run's, which ranks are inside the noise, and what is known of each
//! pair. Pure.

use super::correlations::spread;
use super::load::Rows;
use super::{Head, ReportOptions};
use crate::names::AlgorithmName;
use crate::tables::comparisons::ComparisonRow;
use crate::tables::leaderboard::LeaderboardRow;
use dqa_stats::{self as stats, Comparison, Rank, Ranking, SceneScores};

/// In place of letters, where no difference to another algorithm could have been significant.
pub(super) const NOT_TESTABLE: &str = "not testable";

/// A data set's tables, and what those over all data sets are made of.
pub(super) struct Leaderboard {
    pub(super) table: Vec<LeaderboardRow>,
    pub(super) comparisons: Vec<ComparisonRow>,
    /// Algorithms are numbered by their places in the run's list.
    pub(super) ranking: Ranking,
}

/// The leaderboard of one data set. `algorithms` are the run's, by name; `hazy` is the one whose rows are the data set's hazy input.
pub(super) fn of(
    rows: &Rows,
    head: &Head<'_>,
    (algorithms, hazy): (&[AlgorithmName], Option<&AlgorithmName>),
    options: &ReportOptions,
) -> Leaderboard {
    // Without a score there is nothing to compare.
    let scored = |place: &usize| rows.score[rows.algorithms[*place].1.clone()].iter().any(|score| !score.is_nan());
    let places: Vec<usize> = (0..rows.algorithms.len()).filter(scored).collect();
    let scores: Vec<f64> = places.iter().flat_map(|&place| scene_means(rows, place, &rows.score)).collect();
    let matrix = SceneScores { algorithms: places.len(), scenes: rows.scenes.len(), scores: &scores };
    let hazy_row = places.iter().position(|&place| Some(&rows.algorithms[place].0) == hazy);
    let mut ranking = stats::rank(&matrix, hazy_row, &options.ranking());
    ranking.renumber(|row| {
        let name = &rows.algorithms[places[row]].0;
        algorithms.binary_search(name).expect("the run's list has every algorithm")
    });
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
    let table = stand(table, &ranking, algorithms);
    let dataset = Some(head.dataset.to_string());
    let comparisons = pairs(&ranking, head, algorithms, options);
    let comparisons = comparisons.map(|row| ComparisonRow { dataset: dataset.clone(), ..row }).collect();
    Leaderboard { table, comparisons, ranking }
}

/// The tables over all data sets, each counting the same; empty where there is only one.
pub(super) fn across(
    boards: &[Leaderboard],
    head: &Head<'_>,
    algorithms: &[AlgorithmName],
    options: &ReportOptions,
) -> (Vec<LeaderboardRow>, Vec<ComparisonRow>) {
    if boards.len() < 2 {
        return (Vec::new(), Vec::new());
    }
    let rankings: Vec<&Ranking> = boards.iter().map(|board| &board.ranking).collect();
    let ranking = stats::rank_across(&rankings, &options.ranking());
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
    let table = stand(algorithms.iter().map(of_algorithm).collect(), &ranking, algorithms);
    let comparisons = pairs(&ranking, head, algorithms, options).collect();
    (table, comparisons)
}

fn row(head: &Head<'_>, algorithm: &AlgorithmName, options: &ReportOptions) -> LeaderboardRow {
    LeaderboardRow {
        run: head.run.to_string(),
        fingerprint: head.fingerprint.to_owned(),
        algorithm: algorithm.to_string(),
        level: options.ranking().level,
        replicates: options.replicates,
        seed: options.seed,
        ..LeaderboardRow::default()
    }
}

/// Puts the ranking into the rows and the rows into its order, those without a place last.
fn stand(table: Vec<LeaderboardRow>, ranking: &Ranking, algorithms: &[AlgorithmName]) -> Vec<LeaderboardRow> {
    let mut others = table;
    let mut ordered = Vec::with_capacity(others.len());
    for (place, standing) in ranking.standings.iter().enumerate() {
        let found = others.iter().position(|row| row.algorithm == algorithms[standing.algorithm].as_str());
        let mut row = others.remove(found.expect("what was ranked has a row"));
        row.component = Some(standing.component);
        row.scenes = standing.scenes;
        row.common_scenes = standing.common_scenes;
        (row.mean_score, row.mean_score_low, row.mean_score_high) = spread(Some(standing.mean));
        (row.adjusted_score, row.adjusted_score_low, row.adjusted_score_high) = spread(Some(standing.adjusted));
        (row.gain, row.gain_low, row.gain_high) = spread(standing.gain);
        match standing.adjusted.interval {
            Ok(interval) => row.interval_method = Some(interval.method.as_str().to_owned()),
            Err(reason) => row.interval_missing = Some(reason.as_str().to_owned()),
        }
        if let Some(Rank { rank, best, worst, groups, testable }) = &standing.rank {
            (row.rank, row.rank_best, row.rank_worst) = (Some(*rank), Some(*best), Some(*worst));
            row.rank_group = Some(if *testable { groups.clone() } else { NOT_TESTABLE.to_owned() });
            let next = ranking.standings[place + 1..].iter().find(|next| next.rank.is_some());
            row.p_next = next.and_then(|next| {
                let is = |pair: &&Comparison| (pair.first, pair.second) == (standing.algorithm, next.algorithm);
                ranking.comparisons.iter().find(is)?.p_corrected
            });
        }
        ordered.push(row);
    }
    ordered.extend(others);
    ordered
}

/// A row for each pair, best first, without a data set.
fn pairs<'a>(
    ranking: &'a Ranking,
    head: &'a Head<'_>,
    algorithms: &'a [AlgorithmName],
    options: &'a ReportOptions,
) -> impl Iterator<Item = ComparisonRow> + 'a {
    ranking.comparisons.iter().map(move |pair| {
        let (difference, difference_low, difference_high) = spread(Some(pair.difference));
        ComparisonRow {
            run: head.run.to_string(),
            fingerprint: head.fingerprint.to_owned(),
            dataset: None,
            algorithm_a: algorithms[pair.first].to_string(),
            algorithm_b: algorithms[pair.second].to_string(),
            common_scenes: pair.scenes,
            difference: difference.unwrap_or_default(),
            difference_low,
            difference_high,
            test: options.test.as_str().to_owned(),
            rank_biserial: pair.rank_biserial,
            probability_of_superiority: pair.superiority,
            p: pair.p,
            p_corrected: pair.p_corrected,
            p_smallest: pair.p_smallest,
            minimum_detectable_difference: pair.detectable,
            equivalence_margin: options.margin,
            equivalence_p: pair.equivalence.map(|equivalence| equivalence.p),
            equivalence_p_corrected: pair.equivalence.map(|equivalence| equivalence.p_corrected),
            testable: pair.testable,
            significant: pair.significant,
            level: options.ranking().level,
            seed: options.seed,
        }
    })
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
