//! A leaderboard's statistics: which algorithm has the higher mean score, and which of the differences are more than
//! chance over scenes.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::bootstrap::{Bootstrap, Estimate, IntervalMethod};
use super::wilcoxon::{SignedRank, signed_rank};

/// Algorithms' mean scores of scenes.
#[derive(Clone, Copy, Debug)]
pub struct SceneScores<'a> {
    /// Rows.
    pub algorithms: usize,
    /// Columns.
    pub scenes: usize,
    /// (algorithms, scenes), row-major; NaN where an algorithm has no score of a scene.
    pub scores: &'a [f64],
}

impl SceneScores<'_> {
    fn of(&self, algorithm: usize) -> &[f64] {
        &self.scores[algorithm * self.scenes..][..self.scenes]
    }
}

/// An algorithm's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its row in [`SceneScores`].
    pub algorithm: usize,
    /// By mean score; 1 is best.
    pub rank: u32,
    /// The best rank that is not ruled out: 1 more than the algorithms that are significantly better.
    pub rank_best: u32,
    /// The worst rank that is not ruled out: the last one, less the algorithms that are significantly worse.
    pub rank_worst: u32,
    /// Scenes that it has a score of.
    pub scenes: u64,
    /// Over its scenes, each counting the same; None where it has none.
    pub mean: Option<Estimate>,
    /// Letters, `a` first. Two algorithms share one if and only if they do not differ significantly.
    pub groups: String,
}

/// Two algorithms over the scenes that both have: Wilcoxon's signed-rank test.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// A row in [`SceneScores`].
    pub first: usize,
    /// A later row.
    pub second: usize,
    /// Scenes that both have.
    pub scenes: u64,
    /// First less second; None where they share no scene.
    pub mean_difference: Option<f64>,
    /// Rank-biserial correlation, -1 to 1: above 0 where the first is better.
    pub effect: f64,
    /// Two-sided: exact up to 50 scenes that differ, by the normal distribution above.
    pub p: f64,
    /// Corrected by Holm's method for the number of pairs.
    pub p_holm: f64,
    /// Whether the corrected p is below 1 less the bootstrap's level.
    pub significant: bool,
}

impl Comparison {
    /// Whether one of them is significantly better than the other.
    fn beats(&self, winner: usize, loser: usize) -> bool {
        self.significant
            && ((self.first, self.second) == (winner, loser) && self.effect > 0.0
                || (self.second, self.first) == (winner, loser) && self.effect < 0.0)
    }
}

/// Algorithms in order, and every pair of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Best first; those without a score last.
    pub standings: Vec<Standing>,
    /// Each pair once, by row.
    pub comparisons: Vec<Comparison>,
}

/// Orders algorithms by mean score and tests all pairs.
///
/// # Panics
/// Where there are not algorithms x scenes scores.
pub fn rank(scores: &SceneScores<'_>, bootstrap: &Bootstrap) -> Ranking {
    assert_eq!(scores.scores.len(), scores.algorithms * scores.scenes, "a score or a hole for each scene");
    let comparisons = compare(scores, 1.0 - bootstrap.level);
    let means = means(scores, bootstrap);
    let mut order: Vec<usize> = (0..scores.algorithms).collect();
    let value = |algorithm: usize| means[algorithm].map_or(f64::NEG_INFINITY, |mean| mean.value);
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    let mut groups = letters(&order, &comparisons);
    let standing = |(place, &algorithm): (usize, &usize)| {
        let others = |better: &dyn Fn(&Comparison, usize) -> bool| {
            let all = (0..scores.algorithms).filter(|&other| comparisons.iter().any(|pair| better(pair, other)));
            all.count() as u32
        };
        Standing {
            algorithm,
            rank: place as u32 + 1,
            rank_best: 1 + others(&|pair, other| pair.beats(other, algorithm)),
            rank_worst: scores.algorithms as u32 - others(&|pair, other| pair.beats(algorithm, other)),
            scenes: scores.of(algorithm).iter().filter(|score| !score.is_nan()).count() as u64,
            mean: means[algorithm],
            groups: std::mem::take(&mut groups[algorithm]),
        }
    };
    let standings = order.iter().enumerate().map(standing).collect();
    Ranking { standings, comparisons }
}

fn means(scores: &SceneScores<'_>, bootstrap: &Bootstrap) -> Vec<Option<Estimate>> {
    #[derive(Clone, Copy, Default)]
    struct Sum {
        score: f64,
        scenes: f64,
    }
    let mean = |sum: &Sum| (sum.scenes > 0.0).then(|| sum.score / sum.scenes);
    let (unit_of, units) = bootstrap.units(scores.scenes);
    // (units, algorithms): a replicate reads them in order.
    let mut sums = vec![Sum::default(); units * scores.algorithms];
    for algorithm in 0..scores.algorithms {
        for (&unit, &score) in unit_of.iter().zip(scores.of(algorithm)).filter(|(_, score)| !score.is_nan()) {
            let sum = &mut sums[unit as usize * scores.algorithms + algorithm];
            sum.score += score;
            sum.scenes += 1.0;
        }
    }
    let add_up = |counts: &[u32]| {
        let mut totals = vec![Sum::default(); scores.algorithms];
        for (unit, &count) in sums.chunks(scores.algorithms.max(1)).zip(counts) {
            for (total, sum) in totals.iter_mut().zip(unit) {
                total.score += f64::from(count) * sum.score;
                total.scenes += f64::from(count) * sum.scenes;
            }
        }
        totals.iter().map(mean).collect::<Vec<_>>()
    };
    let point = add_up(&vec![1; units]);
    let replicates = bootstrap.replicates(units, |(): &mut (), counts: &[u32]| add_up(counts));
    let estimate = |(algorithm, value): (usize, Option<f64>)| {
        let of_replicates = replicates.iter().map(|means| means[algorithm]);
        let interval = bootstrap.interval(of_replicates, IntervalMethod::Bootstrap);
        value.map(|value| Estimate { value, interval })
    };
    point.into_iter().enumerate().map(estimate).collect()
}

fn compare(scores: &SceneScores<'_>, error_rate: f64) -> Vec<Comparison> {
    let of_first = |first: usize| (first + 1..scores.algorithms).map(move |second| (first, second));
    let pairs: Vec<(usize, usize)> = (0..scores.algorithms).flat_map(of_first).collect();
    let compare = |(first, second): (usize, usize)| {
        let both = scores.of(first).iter().zip(scores.of(second)).map(|(first, second)| first - second);
        let differences: Vec<f64> = both.filter(|difference| !difference.is_nan()).collect();
        let SignedRank { p, effect } = signed_rank(&differences);
        let scenes = differences.len() as u64;
        let mean_difference = (scenes > 0).then(|| differences.iter().sum::<f64>() / scenes as f64);
        Comparison { first, second, scenes, mean_difference, effect, p, p_holm: p, significant: false }
    };
    let mut comparisons: Vec<Comparison> = pairs.into_par_iter().map(compare).collect();
    correct(&mut comparisons);
    for pair in &mut comparisons {
        pair.significant = pair.p_holm < error_rate;
    }
    comparisons
}

/// Holm's method: the least p is taken times the number of pairs, the next times one less, and none falls below one
/// before it.
fn correct(comparisons: &mut [Comparison]) {
    let mut order: Vec<usize> = (0..comparisons.len()).collect();
    order.sort_by(|&a, &b| comparisons[a].p.total_cmp(&comparisons[b].p));
    let mut before = 0.0;
    for (place, &pair) in order.iter().enumerate() {
        before = (comparisons[pair].p * (order.len() - place) as f64).min(1.0).max(before);
        comparisons[pair].p_holm = before;
    }
}

/// Of each algorithm, by its number: the letters of the groups that it is in (Piepho 2004, "An algorithm for a letter-based
/// representation of all-pairwise comparisons"). A group that holds a significant pair is split in two, one without each;
/// a group within another is dropped.
fn letters(order: &[usize], comparisons: &[Comparison]) -> Vec<String> {
    // Groups as places in the order.
    let place =
        |algorithm: usize| order.iter().position(|&other| other == algorithm).expect("every algorithm is in order");
    let mut groups: Vec<Vec<usize>> = vec![(0..order.len()).collect()];
    for pair in comparisons.iter().filter(|pair| pair.significant) {
        let (first, second) = (place(pair.first), place(pair.second));
        let (split, mut kept): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|group| group.contains(&first) && group.contains(&second));
        for group in split {
            for without in [first, second] {
                let part: Vec<usize> = group.iter().copied().filter(|&member| member != without).collect();
                if !kept.iter().any(|other| is_within(&part, other)) {
                    kept.retain(|other| !is_within(other, &part));
                    kept.push(part);
                }
            }
        }
        groups = kept;
    }
    groups.sort();
    let mut letters = vec![String::new(); order.len()];
    for (group, members) in groups.iter().enumerate() {
        for &member in members {
            letters[order[member]] += &letter(group);
        }
    }
    letters
}

fn is_within(group: &[usize], other: &[usize]) -> bool {
    group.iter().all(|member| other.contains(member))
}

/// a to z, A to Z, then (53) and so on.
fn letter(group: usize) -> String {
    match group {
        0..26 => char::from(b'a' + group as u8).into(),
        26..52 => char::from(b'A' + (group - 26) as u8).into(),
        _ => format!("({})", group + 1),
    }
}
