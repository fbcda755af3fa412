//! Whether runs rank the algorithms of a data set alike: each run's leaderboard is made of the pictures that all have scored.

use super::pictures::Matched;
use super::{BoardsRow, Head};
use crate::report::ReportOptions;
use dqa_stats::{self as stats, SceneScores};

/// A run's leaderboard.
struct Board {
    /// What each algorithm is ranked by, by its place among those that are compared.
    scores: Vec<f64>,
    /// Of each pair of algorithms, earlier before later: whether they differ significantly.
    significant: Vec<((usize, usize), bool)>,
}

/// A row for each pair of runs; none where there are fewer than two algorithms.
pub(super) fn rows(matched: &Matched, head: &Head<'_>) -> Vec<BoardsRow> {
    let hazy: Vec<&str> = head.specs().filter_map(|spec| Some(spec.hazy.as_ref()?.as_str())).collect();
    let is_ranked = |number: &u32| {
        let name = matched.algorithms[*number as usize].as_str();
        !hazy.contains(&name) && matched.algorithm.contains(number)
    };
    let algorithms: Vec<u32> = (0..matched.algorithms.len() as u32).filter(is_ranked).collect();
    if algorithms.len() < 2 {
        return Vec::new();
    }
    let boards: Vec<Board> = matched.scores.iter().map(|scores| board(matched, scores, &algorithms)).collect();
    let names: Vec<&str> = algorithms.iter().map(|&number| matched.algorithms[number as usize].as_str()).collect();
    let row = |(a, b): (usize, usize)| {
        let row = BoardsRow {
            dataset: head.dataset.to_string(),
            run_a: head.run(a),
            run_b: head.run(b),
            ..side_by_side(&boards[a], &boards[b], &names)
        };
        Some(row)
    };
    head.pairs().into_iter().filter_map(row).collect()
}

/// The leaderboard of one column of scores.
fn board(matched: &Matched, scores: &[f64], algorithms: &[u32]) -> Board {
    let scenes = matched.scenes.len();
    let mut sums = vec![(0.0, 0.0); algorithms.len() * scenes];
    for (row, score) in scores.iter().enumerate() {
        let Ok(place) = algorithms.binary_search(&matched.algorithm[row]) else { continue };
        let (sum, count) = &mut sums[place * scenes + matched.scene[row] as usize];
        *sum += score;
        *count += 1.0;
    }
    // 0 / 0 is the NaN that a hole is.
    let means: Vec<f64> = sums.into_iter().map(|(sum, count)| sum / count).collect();
    let matrix = SceneScores { algorithms: algorithms.len(), scenes, scores: &means };
    let ranking = stats::rank(&matrix, None, &ReportOptions::default().ranking());
    let mut ranked = vec![f64::NAN; algorithms.len()];
    for standing in &ranking.standings {
        ranked[standing.algorithm] = standing.adjusted.value;
    }
    let significant = ranking.comparisons.iter().map(|pair| ((pair.first, pair.second), pair.significant));
    Board { scores: ranked, significant: significant.collect() }
}

impl Board {
    /// 1: the first is significantly better, -1: the second, 0: neither.
    fn verdict(&self, pair: (usize, usize)) -> i8 {
        let is_pair = |of: &&((usize, usize), bool)| of.0 == pair || of.0 == (pair.1, pair.0);
        let is_significant = self.significant.iter().find(is_pair).is_some_and(|of| of.1);
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

fn side_by_side(a: &Board, b: &Board, names: &[&str]) -> BoardsRow {
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
    BoardsRow {
        dataset: String::new(),
        run_a: String::new(),
        run_b: String::new(),
        algorithms: names.len() as u64,
        srcc: stats::srcc(&a.scores, &b.scores),
        krcc: stats::krcc(&a.scores, &b.scores),
        pairs: pairs.len() as u64,
        pairs_reversed: count(&|pair| a.order(pair) * b.order(pair) < 0),
        reversed_significantly: reversed.join("; "),
        significant_in_a_only: count(&|pair| a.verdict(pair) != 0 && b.verdict(pair) == 0),
        significant_in_b_only: count(&|pair| a.verdict(pair) == 0 && b.verdict(pair) != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(scores: &[f64], significant: &[(usize, usize)]) -> Board {
        Board { scores: scores.to_vec(), significant: significant.iter().map(|&pair| (pair, true)).collect() }
    }

    #[test]
    fn orders_and_verdicts_are_counted() {
        let a = board(&[0.9, 0.5, 0.4, 0.1], &[(0, 1), (0, 3), (1, 3)]);
        let b = board(&[0.2, 0.6, 0.7, 0.1], &[(1, 0), (2, 3)]);
        let row = side_by_side(&a, &b, &["w", "x", "y", "z"]);
        assert_eq!((row.pairs, row.pairs_reversed), (6, 3), "w and x, w and y, x and y");
        assert_eq!(row.reversed_significantly, "w > x");
        assert_eq!((row.significant_in_a_only, row.significant_in_b_only), (2, 1));
        // scipy.stats.spearmanr and kendalltau of the two lists: 0.2 and 0.0.
        assert!((row.srcc.unwrap() - 0.2).abs() < 1e-12, "{row:?}");
        assert_eq!(row.krcc, Some(0.0));
    }
}
