//! A leaderboard's statistics: which algorithm has the higher mean score, and which of the differences are more than
//! chance over scenes.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::bootstrap::Bootstrap;
use super::estimate::{Estimate, IntervalMethod};
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
    /// Standard deviation of `effect` by chance alone.
    pub effect_deviation: f64,
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
    let mut comparisons = compare(scores);
    judge(&mut comparisons, bootstrap.level);
    let scenes = |algorithm| scores.of(algorithm).iter().filter(|score| !score.is_nan()).count() as u64;
    let scenes: Vec<u64> = (0..scores.algorithms).map(scenes).collect();
    place(&means(scores, bootstrap), &scenes, comparisons)
}

/// Algorithms in the order of their means; `scenes` are those that each has.
pub(super) fn place(means: &[Option<Estimate>], scenes: &[u64], comparisons: Vec<Comparison>) -> Ranking {
    let mut order: Vec<usize> = (0..means.len()).collect();
    let value = |algorithm: usize| means[algorithm].map_or(f64::NEG_INFINITY, |mean| mean.value);
    order.sort_by(|&a, &b| value(b).total_cmp(&value(a)));
    let mut groups = letters(&order, &comparisons);
    let standing = |(place, &algorithm): (usize, &usize)| {
        let others = |better: &dyn Fn(&Comparison, usize) -> bool| {
            let all = (0..means.len()).filter(|&other| comparisons.iter().any(|pair| better(pair, other)));
            all.count() as u32
        };
        Standing {
            algorithm,
            rank: place as u32 + 1,
            rank_best: 1 + others(&|pair, other| pair.beats(other, algorithm)),
            rank_worst: means.len() as u32 - others(&|pair, other| pair.beats(algorithm, other)),
            scenes: scenes[algorithm],
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
        let interval = bootstrap.interval(of_replicates, units, IntervalMethod::Bootstrap);
        value.map(|value| Estimate { value, interval })
    };
    point.into_iter().enumerate().map(estimate).collect()
}

fn compare(scores: &SceneScores<'_>) -> Vec<Comparison> {
    let of_first = |first: usize| (first + 1..scores.algorithms).map(move |second| (first, second));
    let pairs: Vec<(usize, usize)> = (0..scores.algorithms).flat_map(of_first).collect();
    let compare = |(first, second): (usize, usize)| {
        let both = scores.of(first).iter().zip(scores.of(second)).map(|(first, second)| first - second);
        let differences: Vec<f64> = both.filter(|difference| !difference.is_nan()).collect();
        let SignedRank { p, effect, effect_deviation } = signed_rank(&differences);
        let scenes = differences.len() as u64;
        let mean_difference = (scenes > 0).then(|| differences.iter().sum::<f64>() / scenes as f64);
        Comparison {
            first,
            second,
            scenes,
            mean_difference,
            effect,
            effect_deviation,
            p,
            p_holm: p,
            significant: false,
        }
    };
    pairs.into_par_iter().map(compare).collect()
}

/// Corrects all pairs' p and says which are significant.
pub(super) fn judge(comparisons: &mut [Comparison], level: f64) {
    correct(comparisons);
    for pair in comparisons {
        pair.significant = pair.p_holm < 1.0 - level;
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three algorithms over 40 scenes: the first two alike but for noise, the third lower throughout.
    fn scores() -> Vec<f64> {
        let noise = |algorithm: usize, scene: usize| ((scene * 37 + algorithm * 11) % 41) as f64 / 41.0;
        let of = |algorithm: usize| {
            (0..40)
                .map(move |scene| [0.50, 0.49, 0.30][algorithm] + 0.1 * noise(algorithm, scene) + scene as f64 / 100.0)
        };
        (0..3).flat_map(of).collect()
    }

    #[test]
    fn ranks_that_are_noise_share_a_letter() {
        let scores = scores();
        let table = SceneScores { algorithms: 3, scenes: 40, scores: &scores };
        let ranking = rank(&table, &Bootstrap { replicates: 200, ..Bootstrap::default() });
        let seen: Vec<_> = ranking
            .standings
            .iter()
            .map(|of| (of.algorithm, of.rank, of.rank_best, of.rank_worst, of.groups.as_str()))
            .collect();
        assert_eq!(seen, [(0, 1, 1, 2, "a"), (1, 2, 1, 2, "a"), (2, 3, 3, 3, "b")]);
        let mean = ranking.standings[0].mean.unwrap();
        assert!(mean.interval.unwrap().low < mean.value && mean.value < mean.interval.unwrap().high);
        assert_eq!(ranking.comparisons.len(), 3);
        assert!(ranking.comparisons[1].p_holm < 1e-9 && ranking.comparisons[1].effect == 1.0);
    }

    #[test]
    fn an_algorithm_without_scores_is_last_and_compared_to_none() {
        let mut scores = scores();
        scores[..40].fill(f64::NAN);
        scores[40] = f64::NAN;
        let table = SceneScores { algorithms: 3, scenes: 40, scores: &scores };
        let ranking = rank(&table, &Bootstrap { replicates: 50, ..Bootstrap::default() });
        let last = &ranking.standings[2];
        assert_eq!((last.algorithm, last.scenes, last.mean), (0, 0, None));
        assert_eq!(ranking.standings[0].scenes, 39);
        assert_eq!(ranking.comparisons[0].mean_difference, None);
        assert_eq!(ranking.comparisons[2].scenes, 39);
        assert_eq!(rank(&SceneScores { algorithms: 0, scenes: 0, scores: &[] }, &Bootstrap::default()).standings, []);
    }

    #[test]
    fn holms_p_never_falls() {
        let pair = |p| Comparison {
            first: 0,
            second: 1,
            scenes: 9,
            mean_difference: None,
            effect: 0.0,
            effect_deviation: 0.0,
            p,
            p_holm: 0.0,
            significant: false,
        };
        let mut pairs = [0.01, 0.04, 0.03, 0.005].map(pair);
        correct(&mut pairs);
        // As R's p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") has it.
        for (pair, wanted) in pairs.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((pair.p_holm - wanted).abs() < 1e-15);
        }
    }

    proptest! {
        #[test]
        fn letters_are_shared_if_and_only_if_pairs_do_not_differ(
            differ in prop::collection::vec(any::<bool>(), 28), turned in any::<bool>()
        ) {
            let order: Vec<usize> = if turned { (0..8).rev().collect() } else { (0..8).collect() };
            let pairs = (0..8).flat_map(|first| (first + 1..8).map(move |second| (first, second)));
            let pair = |((first, second), &significant)| Comparison {
                first, second, scenes: 1, mean_difference: None, effect: 0.0, effect_deviation: 0.0, p: 0.0, p_holm: 0.0, significant,
            };
            let comparisons: Vec<Comparison> = pairs.zip(&differ).map(pair).collect();
            let letters = letters(&order, &comparisons);
            for pair in &comparisons {
                let shared = letters[pair.first].chars().any(|letter| letters[pair.second].contains(letter));
                prop_assert_eq!(shared, !pair.significant);
            }
            prop_assert!(letters.iter().all(|letters| !letters.is_empty()));
        }
    }
}
