//! Leaderboards: the order of the algorithms on each data set and over all data sets of a run, the range of ranks that
//! noise allows, and the comparison of each pair of algorithms. Scores are oriented while they are ranked and tested, and
//! turned back in the tables. Pure.

use super::correlations::estimate_columns;
use super::dataset_scores::DatasetScores;
use super::options::ReportOptions;
use super::row_context::RowContext;
use crate::metric::Direction;
use crate::names::AlgorithmName;
use crate::tables::comparisons::ComparisonRow;
use crate::tables::leaderboard::LeaderboardRow;
use dqa_stats::{self as stats, Comparison, Estimate, Rank, Ranking, SceneScores};

/// Replaces the group letters of an algorithm if no difference to another algorithm could have been significant.
pub(super) const NOT_TESTABLE: &str = "not testable";

/// The tables of a data set, and the ranking that enters the tables over all data sets.
pub(super) struct Leaderboard {
    pub(super) table: Vec<LeaderboardRow>,
    pub(super) comparisons: Vec<ComparisonRow>,
    /// Numbers algorithms by their index in the run's list.
    pub(super) ranking: Ranking,
}

/// Computes the leaderboard of one data set. `algorithms` are the run's algorithms, sorted by name. `hazy` is the
/// algorithm whose rows are the data set's hazy input.
pub(super) fn compute(
    rows: &DatasetScores,
    context: &RowContext<'_>,
    (algorithms, hazy): (&[AlgorithmName], Option<&AlgorithmName>),
    options: &ReportOptions,
) -> Leaderboard {
    // An algorithm without any score cannot be compared.
    let scored = |index: &usize| rows.score[rows.algorithms[*index].1.clone()].iter().any(|score| !score.is_nan());
    let scored_algorithms: Vec<usize> = (0..rows.algorithms.len()).filter(scored).collect();
    let scores: Vec<f64> = scored_algorithms.iter().flat_map(|&index| scene_means(rows, index, &rows.score)).collect();
    let matrix = SceneScores { algorithms: scored_algorithms.len(), scenes: rows.scenes.len(), scores: &scores };
    let hazy_row = scored_algorithms.iter().position(|&index| Some(&rows.algorithms[index].0) == hazy);
    let mut ranking = stats::rank_algorithms(&matrix, hazy_row, &options.ranking());
    ranking.renumber(|row| {
        let name = &rows.algorithms[scored_algorithms[row]].0;
        algorithms.binary_search(name).expect("the run's list has every algorithm")
    });
    let mut table: Vec<LeaderboardRow> = Vec::new();
    for (index, (algorithm, range)) in rows.algorithms.iter().enumerate() {
        let failed = rows.score[range.clone()].iter().filter(|score| score.is_nan()).count() as u64;
        table.push(LeaderboardRow {
            dataset: Some(context.dataset.to_string()),
            pictures: range.len() as u64,
            failed,
            mean_mos: mean(&scene_means(rows, index, &rows.mos)),
            ..new_row(context, algorithm, options)
        });
    }
    let table = order_by_rank(table, &ranking, algorithms, context.metric.direction);
    let dataset = Some(context.dataset.to_string());
    let comparisons = comparison_rows(&ranking, context, algorithms, options);
    let comparisons = comparisons.map(|row| ComparisonRow { dataset: dataset.clone(), ..row }).collect();
    Leaderboard { table, comparisons, ranking }
}

/// Computes the tables over all data sets, each with the same weight. They are empty if there is only one data set.
pub(super) fn compute_across_datasets(
    boards: &[Leaderboard],
    context: &RowContext<'_>,
    algorithms: &[AlgorithmName],
    options: &ReportOptions,
) -> (Vec<LeaderboardRow>, Vec<ComparisonRow>) {
    if boards.len() < 2 {
        return (Vec::new(), Vec::new());
    }
    let rankings: Vec<&Ranking> = boards.iter().map(|board| &board.ranking).collect();
    let ranking = stats::rank_across_data_sets(&rankings, &options.ranking());
    let algorithm_row = |algorithm: &AlgorithmName| {
        let count = |field: fn(&LeaderboardRow) -> u64| {
            let rows = boards.iter().flat_map(|board| &board.table);
            rows.filter(|row| row.algorithm == algorithm.as_str()).map(field).sum()
        };
        LeaderboardRow {
            pictures: count(|row| row.pictures),
            failed: count(|row| row.failed),
            scenes: count(|row| row.scenes),
            ..new_row(context, algorithm, options)
        }
    };
    let rows = algorithms.iter().map(algorithm_row).collect();
    let table = order_by_rank(rows, &ranking, algorithms, context.metric.direction);
    let comparisons = comparison_rows(&ranking, context, algorithms, options).collect();
    (table, comparisons)
}

fn new_row(context: &RowContext<'_>, algorithm: &AlgorithmName, options: &ReportOptions) -> LeaderboardRow {
    LeaderboardRow {
        run: context.run.to_string(),
        fingerprint: context.metric.fingerprint.clone(),
        metric: Some(context.metric.name.to_string()),
        direction: Some(context.metric.direction.to_string()),
        algorithm: algorithm.to_string(),
        level: options.ranking().level,
        replicates: options.replicates,
        seed: options.seed,
        ..LeaderboardRow::default()
    }
}

/// Writes the ranking, which is of oriented scores, into the rows and sorts them by rank. Rows of algorithms that are not
/// ranked come last.
fn order_by_rank(
    table: Vec<LeaderboardRow>,
    ranking: &Ranking,
    algorithms: &[AlgorithmName],
    direction: Direction,
) -> Vec<LeaderboardRow> {
    let mut others = table;
    let mut ordered = Vec::with_capacity(others.len());
    for (index, standing) in ranking.standings.iter().enumerate() {
        let found = others.iter().position(|row| row.algorithm == algorithms[standing.algorithm].as_str());
        let mut row = others.remove(found.expect("what was ranked has a row"));
        row.component = Some(standing.component);
        row.scenes = standing.scenes;
        row.common_scenes = standing.common_scenes;
        let columns = |estimate| turned_back_columns(direction, estimate);
        (row.mean_score, row.mean_score_low, row.mean_score_high) = columns(Some(standing.mean));
        (row.adjusted_score, row.adjusted_score_low, row.adjusted_score_high) = columns(Some(standing.adjusted));
        (row.gain, row.gain_low, row.gain_high) = columns(standing.gain);
        match standing.adjusted.interval {
            Ok(interval) => row.interval_method = Some(interval.method.as_str().to_owned()),
            Err(reason) => row.interval_missing = Some(reason.as_str().to_owned()),
        }
        if let Some(Rank { rank, best, worst, groups, testable }) = &standing.rank {
            (row.rank, row.rank_best, row.rank_worst) = (Some(*rank), Some(*best), Some(*worst));
            row.rank_group = Some(if *testable { groups.clone() } else { NOT_TESTABLE.to_owned() });
            let next = ranking.standings[index + 1..].iter().find(|next| next.rank.is_some());
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

/// Returns a row for each pair of algorithms, best first, without the data set.
fn comparison_rows<'a>(
    ranking: &'a Ranking,
    context: &'a RowContext<'_>,
    algorithms: &'a [AlgorithmName],
    options: &'a ReportOptions,
) -> impl Iterator<Item = ComparisonRow> + 'a {
    ranking.comparisons.iter().map(move |pair| {
        let (difference, difference_low, difference_high) =
            turned_back_columns(context.metric.direction, Some(pair.difference));
        ComparisonRow {
            run: context.run.to_string(),
            fingerprint: context.metric.fingerprint.clone(),
            metric: Some(context.metric.name.to_string()),
            direction: Some(context.metric.direction.to_string()),
            dataset: None,
            algorithm_a: algorithms[pair.first].to_string(),
            algorithm_b: algorithms[pair.second].to_string(),
            common_scenes: pair.scenes,
            difference: difference.unwrap_or_default(),
            difference_low,
            difference_high,
            test: options.test.as_str().to_owned(),
            rank_biserial: pair.rank_biserial,
            probability_of_superiority: pair.probability_of_superiority,
            p: pair.p,
            p_corrected: pair.p_corrected,
            p_smallest: pair.p_smallest,
            minimum_detectable_difference: pair.minimum_detectable_difference,
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

/// Returns the value of an estimate of oriented scores and the bounds of its interval, as the metric gives them.
fn turned_back_columns(direction: Direction, estimate: Option<Estimate>) -> (Option<f64>, Option<f64>, Option<f64>) {
    let (value, low, high) = estimate_columns(estimate);
    let (low, high) = direction.orient_bounds((low, high));
    (value.map(|value| direction.orient(value)), low, high)
}

/// Returns the mean of an algorithm's `values` for each scene of the data set, or NaN for a scene without values. The
/// label of a failed picture is left out, so that both means cover the same pictures.
fn scene_means(rows: &DatasetScores, index: usize, values: &[f64]) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); rows.scenes.len()];
    for row in rows.algorithms[index].1.clone() {
        if !values[row].is_nan() && !rows.score[row].is_nan() {
            let (sum, count) = &mut sums[rows.scene[row] as usize];
            *sum += values[row];
            *count += 1.0;
        }
    }
    // A scene without values gives 0 / 0, which is NaN as intended.
    sums.into_iter().map(|(sum, count)| sum / count).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}
