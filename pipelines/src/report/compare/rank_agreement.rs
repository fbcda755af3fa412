//! Agreement between the leaderboards of runs: whether they rank the algorithms of a data set alike. Each leaderboard
//! is computed from the pictures that all runs have scored.

use super::CompareContext;
use super::join_pictures::JoinedPictures;
use super::rows::RankAgreementRow;
use crate::report::options::ReportOptions;
use dqa_stats::{self as stats, SceneScores};

/// The leaderboard of one run.
struct RunLeaderboard {
    /// The adjusted score of each algorithm that is compared.
    scores: Vec<f64>,
    /// For each pair of algorithms, lower index first, whether they differ significantly.
    significant: Vec<((usize, usize), bool)>,
}

/// Returns a row for each pair of runs. There is none if there are fewer than two algorithms.
pub(super) fn compute(joined: &JoinedPictures, context: &CompareContext<'_>) -> Vec<RankAgreementRow> {
    let hazy: Vec<&str> = context.specs().filter_map(|spec| Some(spec.hazy.as_ref()?.as_str())).collect();
    let is_ranked = |number: &u32| {
        let name = joined.algorithms[*number as usize].as_str();
        !hazy.contains(&name) && joined.algorithm.contains(number)
    };
    let algorithms: Vec<u32> = (0..joined.algorithms.len() as u32).filter(is_ranked).collect();
    if algorithms.len() < 2 {
        return Vec::new();
    }
    let leaderboards: Vec<RunLeaderboard> =
        joined.scores.iter().map(|scores| run_leaderboard(joined, scores, &algorithms)).collect();
    let names: Vec<&str> = algorithms.iter().map(|&number| joined.algorithms[number as usize].as_str()).collect();
    let row = |(a, b): (usize, usize)| {
        let row = RankAgreementRow {
            dataset: context.dataset.to_string(),
            run_a: context.run(a),
            run_b: context.run(b),
            ..compare_pair(&leaderboards[a], &leaderboards[b], &names)
        };
        Some(row)
    };
    context.pairs().into_iter().filter_map(row).collect()
}

/// Computes the leaderboard of one column of scores.
fn run_leaderboard(joined: &JoinedPictures, scores: &[f64], algorithms: &[u32]) -> RunLeaderboard {
    let scenes = joined.scenes.len();
    let mut sums = vec![(0.0, 0.0); algorithms.len() * scenes];
    for (row, score) in scores.iter().enumerate() {
        let Ok(index) = algorithms.binary_search(&joined.algorithm[row]) else { continue };
        let (sum, count) = &mut sums[index * scenes + joined.scene[row] as usize];
        *sum += score;
        *count += 1.0;
    }
    // A scene without scores gives 0 / 0, which is NaN as intended.
    let means: Vec<f64> = sums.into_iter().map(|(sum, count)| sum / count).collect();
    let matrix = SceneScores { algorithms: algorithms.len(), scenes, scores: &means };
    let ranking = stats::rank_algorithms(&matrix, None, &ReportOptions::default().ranking());
    let mut ranked = vec![f64::NAN; algorithms.len()];
    for standing in &ranking.standings {
        ranked[standing.algorithm] = standing.adjusted.value;
    }
    let significant = ranking.comparisons.iter().map(|pair| ((pair.first, pair.second), pair.significant));
    RunLeaderboard { scores: ranked, significant: significant.collect() }
}

impl RunLeaderboard {
    /// Returns 1 if the first is significantly better, -1 if the second is, and 0 otherwise.
    fn verdict(&self, pair: (usize, usize)) -> i8 {
        let is_pair = |entry: &&((usize, usize), bool)| entry.0 == pair || entry.0 == (pair.1, pair.0);
        let is_significant = self.significant.iter().find(is_pair).is_some_and(|entry| entry.1);
        if is_significant { self.order(pair) } else { 0 }
    }

    fn order(&self, (first, second): (usize, usize)) -> i8 {
        match self.scores[first].total_cmp(&self.scores[second]) {
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => 1,
        }
    }
}

fn compare_pair(a: &RunLeaderboard, b: &RunLeaderboard, names: &[&str]) -> RankAgreementRow {
    let pairs: Vec<(usize, usize)> =
        (0..names.len()).flat_map(|first| (first + 1..names.len()).map(move |second| (first, second))).collect();
    let count =
        |is_counted: &dyn Fn((usize, usize)) -> bool| pairs.iter().filter(|&&pair| is_counted(pair)).count() as u64;
    let reversed: Vec<String> = pairs
        .iter()
        .filter(|&&pair| a.verdict(pair) * b.verdict(pair) < 0)
        .map(|&(first, second)| {
            let (first, second) = if a.order((first, second)) > 0 { (first, second) } else { (second, first) };
            format!("{} > {}", names[first], names[second])
        })
        .collect();
    RankAgreementRow {
        dataset: String::new(),
        run_a: String::new(),
        run_b: String::new(),
        algorithms: names.len() as u64,
        srcc: stats::srcc(&a.scores, &b.scores),
        krcc: stats::krcc(&a.scores, &b.scores),
        pairs: pairs.len() as u64,
        pairs_reversed: count(&|pair| a.order(pair) * b.order(pair) < 0),
        reversed_significantly: (!reversed.is_empty()).then(|| reversed.join("; ")),
        significant_in_a_only: count(&|pair| a.verdict(pair) != 0 && b.verdict(pair) == 0),
        significant_in_b_only: count(&|pair| a.verdict(pair) == 0 && b.verdict(pair) != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaderboard(scores: &[f64], significant: &[(usize, usize)]) -> RunLeaderboard {
        RunLeaderboard { scores: scores.to_vec(), significant: significant.iter().map(|&pair| (pair, true)).collect() }
    }

    #[test]
    fn orders_and_verdicts_are_counted() {
        let a = leaderboard(&[0.9, 0.5, 0.4, 0.1], &[(0, 1), (0, 3), (1, 3)]);
        let b = leaderboard(&[0.2, 0.6, 0.7, 0.1], &[(1, 0), (2, 3)]);
        let row = compare_pair(&a, &b, &["w", "x", "y", "z"]);
        assert_eq!((row.pairs, row.pairs_reversed), (6, 3), "w and x, w and y, x and y");
        assert_eq!(row.reversed_significantly.as_deref(), Some("w > x"));
        let alike = compare_pair(&a, &a, &["w", "x", "y", "z"]);
        assert_eq!(alike.reversed_significantly, None);
        assert_eq!((row.significant_in_a_only, row.significant_in_b_only), (2, 1));
        // scipy.stats.spearmanr and kendalltau of the two lists: 0.2 and 0.0.
        assert!((row.srcc.unwrap() - 0.2).abs() < 1e-12, "{row:?}");
        assert_eq!(row.krcc, Some(0.0));
    }
}
