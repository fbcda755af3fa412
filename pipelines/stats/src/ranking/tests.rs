//! Tests of rankings against SciPy's numbers and against laws.

use proptest::prelude::*;

use super::*;
use crate::estimate::NoInterval;

const HOLE: f64 = f64::NAN;

fn ranked(algorithms: usize, scores: &[f64], test: SignificanceTest) -> Ranking {
    let options = RankOptions { test, draws: 999, ..RankOptions::default() };
    rank_algorithms(&SceneScores { algorithms, scenes: scores.len() / algorithms, scores }, None, &options)
}

/// Returns scores with the given means and noise of width 0.1.
fn noisy(means: &[f64], scenes: usize) -> Vec<f64> {
    let noise = |algorithm: usize, scene: usize| ((scene * 37 + 11) * (algorithm + 3) % 97) as f64 / 970.0;
    let row = |(algorithm, mean): (usize, &f64)| {
        (0..scenes).map(|scene| mean + noise(algorithm, scene) + scene as f64 / 100.0).collect::<Vec<f64>>()
    };
    means.iter().enumerate().flat_map(row).collect()
}

/// Returns (algorithm, rank, best, worst, letters) of each standing.
fn ranks(ranking: &Ranking) -> Vec<(usize, u32, u32, u32, String)> {
    let rank = |standing: &Standing| {
        let rank = standing.rank.clone().unwrap();
        (standing.algorithm, rank.rank, rank.best, rank.worst, rank.groups)
    };
    ranking.standings.iter().map(rank).collect()
}

#[test]
fn algorithms_that_differ_by_noise_share_a_letter() {
    for test in [SignificanceTest::MaxDifference, SignificanceTest::MaxT, SignificanceTest::Wilcoxon] {
        let ranking = ranked(3, &noisy(&[0.50, 0.49, 0.30], 40), test);
        let expected = [(0, 1, 1, 2, "a"), (1, 2, 1, 2, "a"), (2, 3, 3, 3, "b")];
        assert_eq!(ranks(&ranking), expected.map(|(a, b, c, d, e)| (a, b, c, d, e.to_owned())), "{test:?}");
        let significant = ranking.comparisons.iter().find(|pair| (pair.first, pair.second) == (0, 2)).unwrap();
        assert!(significant.p_corrected.unwrap() < 0.002, "{significant:?}");
        assert_eq!((significant.rank_biserial, significant.probability_of_superiority), (Some(1.0), Some(1.0)));
        assert!(significant.minimum_detectable_difference.unwrap() < 0.1, "{significant:?}");
    }
}

/// One algorithm is slightly better in 38 of 40 scenes and fails in the others, so that its mean is lower and its
/// signed ranks are higher. By Wilcoxon's test alone, the algorithm with the highest mean would have the range of ranks
/// 2 to 2.
#[test]
fn a_rank_lies_within_its_own_range_where_mean_and_signed_ranks_disagree() {
    let base = |scene: usize| 0.3 + 0.5 * ((scene * 7) % 40) as f64 / 40.0;
    let mut scores: Vec<f64> = (0..40).map(base).collect();
    scores.extend((0..40).map(|scene| if scene < 38 { base(scene) + 0.02 } else { base(scene) * 0.02 }));
    scores.extend((0..40).map(|scene| base(scene) - 0.15 + 0.001 * (scene % 7) as f64));
    for test in [SignificanceTest::MaxDifference, SignificanceTest::MaxT, SignificanceTest::Wilcoxon] {
        let ranking = ranked(3, &scores, test);
        assert_eq!(ranking.standings[0].algorithm, 0);
        for (algorithm, rank, best, worst, _) in ranks(&ranking) {
            assert!(best <= rank && rank <= worst, "{test:?} {algorithm}: {rank} in {best}-{worst}");
        }
        let pair = &ranking.comparisons[0];
        assert!((pair.first, pair.second) == (0, 1) && pair.rank_biserial.unwrap() < 0.0 && !pair.significant);
    }
}

#[test]
fn an_algorithm_with_only_easy_scenes_is_not_first() {
    // Algorithm 2 is the worst on every scene, and only has scores of the two easiest of 12.
    let mut scores = noisy(&[0.5, 0.4, 0.3], 12);
    scores[24..34].fill(HOLE);
    scores.iter_mut().enumerate().for_each(|(cell, score)| {
        if cell % 12 >= 10 {
            *score += 0.6
        }
    });
    let ranking = ranked(3, &scores, SignificanceTest::MaxDifference);
    let last = &ranking.standings[2];
    assert_eq!((last.algorithm, last.scenes, last.common_scenes), (2, 2, Some(2)));
    assert!(last.mean.value > ranking.standings[0].mean.value && last.adjusted.value < 0.6);
    assert_eq!(last.adjusted.interval, Err(NoInterval::TooFewScenes));
    assert_eq!(last.rank.as_ref().map(|rank| rank.testable), Some(false));
    assert_eq!(ranking.comparisons.iter().filter(|pair| pair.testable).count(), 1);
}

#[test]
fn five_scenes_yield_an_interval_and_no_test() {
    let ranking = ranked(2, &noisy(&[0.5, 0.1], 5), SignificanceTest::MaxDifference);
    let pair = &ranking.comparisons[0];
    assert_eq!((pair.testable, pair.p, pair.p_smallest, pair.p_corrected), (false, 0.0625, 0.0625, None));
    assert!(pair.difference.interval.is_ok() && pair.minimum_detectable_difference.is_none());
    assert!(ranked(2, &noisy(&[0.5, 0.1], 6), SignificanceTest::MaxDifference).comparisons[0].significant);
    let few = ranked(2, &noisy(&[0.5, 0.1], 4), SignificanceTest::MaxDifference);
    assert_eq!(few.standings[0].adjusted.interval, Err(NoInterval::TooFewScenes));
}

#[test]
fn the_difference_is_scipys_paired_t() {
    let a = [0.2, 0.5, 0.4, 0.9, 0.6, 0.1, 0.35];
    let b = [0.1, 0.45, 0.45, 0.7, 0.5, 0.12, 0.2];
    let ranking = ranked(2, &[a, b].concat(), SignificanceTest::MaxT);
    let pair = &ranking.comparisons[0];
    let interval = pair.difference.interval.unwrap();
    // scipy.stats.ttest_rel(a, b).confidence_interval(.95), and .pvalue is 0.0659
    assert!((pair.difference.value - 0.07571428571428572).abs() < 1e-12);
    assert!((interval.low - -0.0068092436426496206).abs() < 1e-9 && (interval.high - 0.15823781507122106).abs() < 1e-9);
    // itertools.product over the 128 assignments of signs: 12 have a mean at least as far from 0
    assert_eq!(pair.p, 12.0 / 128.0);
    assert_eq!(pair.p_corrected, Some(pair.p));
}

#[test]
fn unconnected_algorithms_are_not_ranked_together() {
    let mut scores = noisy(&[0.5, 0.4, 0.9, 0.2], 20);
    for algorithm in 0..4 {
        let holes = if algorithm < 2 { 12..20 } else { 0..12 };
        scores[algorithm * 20..][holes].fill(HOLE);
    }
    let ranking = ranked(4, &scores, SignificanceTest::MaxDifference);
    let standing = |standing: &Standing| {
        let rank = standing.rank.as_ref().unwrap();
        (standing.algorithm, standing.component, rank.rank, rank.worst)
    };
    let standings: Vec<_> = ranking.standings.iter().map(standing).collect();
    assert_eq!(standings, [(0, 1, 1, 1), (1, 1, 2, 2), (2, 2, 1, 1), (3, 2, 2, 2)]);
    assert_eq!(ranking.comparisons.len(), 2);
}

#[test]
fn the_hazy_input_is_ordered_but_not_ranked() {
    let scores = noisy(&[0.5, 0.4, 0.3], 30);
    let options = RankOptions::default();
    let table = SceneScores { algorithms: 3, scenes: 30, scores: &scores };
    let ranking = rank_algorithms(&table, Some(1), &options);
    assert_eq!(ranking.standings.iter().map(|standing| standing.algorithm).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(ranking.standings[1].rank, None);
    assert_eq!(ranking.standings[2].rank.as_ref().unwrap().rank, 2);
    assert_eq!(ranking.comparisons.len(), 1);
    let gain = ranking.standings[0].gain.unwrap();
    let unranked = rank_algorithms(&table, None, &options);
    let pair = unranked.comparisons.iter().find(|pair| (pair.first, pair.second) == (0, 1)).unwrap();
    assert_eq!(gain, pair.difference);
    assert!(ranking.standings[2].gain.unwrap().value < 0.0 && ranking.standings[1].gain.is_none());
}

#[test]
fn equivalence_is_shown_within_a_margin_only() {
    let scores = noisy(&[0.500, 0.499, 0.3], 60);
    let options = RankOptions { equivalence_margin: Some(0.03), ..RankOptions::default() };
    let ranking = rank_algorithms(&SceneScores { algorithms: 3, scenes: 60, scores: &scores }, None, &options);
    for pair in &ranking.comparisons {
        let equivalence = pair.equivalence.unwrap();
        assert_eq!(equivalence.p_corrected < 0.05, pair.second != 2, "{pair:?}");
    }
}

#[test]
fn without_scores_there_is_no_ranking() {
    let none = ranked(2, &[HOLE, HOLE, 0.5, 0.4], SignificanceTest::MaxDifference);
    assert_eq!(none.standings.len(), 1);
    let empty = SceneScores { algorithms: 0, scenes: 0, scores: &[] };
    assert_eq!(rank_algorithms(&empty, None, &RankOptions::default()).standings, []);
    assert_eq!(rank_across_data_sets(&[], &RankOptions::default()).standings, []);
    let constant = ranked(2, &[0.5; 20], SignificanceTest::MaxDifference);
    assert_eq!((constant.comparisons[0].p, constant.comparisons[0].significant), (1.0, false));
}

/// Ranks algorithms with the given numbers and means.
fn data_set(algorithms: &[(usize, f64)], scenes: usize) -> Ranking {
    let means: Vec<f64> = algorithms.iter().map(|(_, mean)| *mean).collect();
    let mut ranking = ranked(algorithms.len(), &noisy(&means, scenes), SignificanceTest::MaxDifference);
    ranking.renumber(|row| algorithms[row].0);
    ranking
}

#[test]
fn ranking_across_one_data_set_is_its_own() {
    let alone = data_set(&[(0, 0.0), (3, 0.02), (4, 0.5)], 97);
    let across = rank_across_data_sets(&[&alone], &RankOptions { draws: 999, ..RankOptions::default() });
    assert_eq!(across.standings, alone.standings);
    assert_eq!(across.comparisons, alone.comparisons);
}

#[test]
fn data_sets_of_any_size_have_equal_weight() {
    let (large, small) = (data_set(&[(0, 0.0), (1, 0.04)], 970), data_set(&[(0, 0.08), (1, 0.0)], 97));
    let across = rank_across_data_sets(&[&large, &small], &RankOptions::default());
    assert_eq!((across.standings[0].algorithm, across.standings[0].scenes), (0, 1067));
    assert!((across.comparisons[0].difference.value - 0.02).abs() < 0.002);
}

#[test]
fn two_agreeing_data_sets_are_stronger_evidence_than_one() {
    let one = data_set(&[(0, 0.0), (1, 0.006)], 40);
    let both = rank_across_data_sets(&[&one, &one], &RankOptions::default());
    assert!(both.comparisons[0].p < one.comparisons[0].p);
    let interval = |ranking: &Ranking| ranking.standings[0].adjusted.interval.unwrap();
    let (both, one) = (interval(&both), interval(&one));
    assert!((both.standard_error * 2.0_f64.sqrt() - one.standard_error).abs() < 1e-12);
    assert!((both.degrees_of_freedom - 2.0 * one.degrees_of_freedom).abs() < 1e-9);
}

#[test]
fn only_algorithms_of_all_data_sets_are_ranked_across_them() {
    let first = data_set(&[(0, 0.0), (1, 0.1), (5, 0.3)], 60);
    let second = data_set(&[(0, 0.0), (2, 0.1), (5, 0.3)], 60);
    let across = rank_across_data_sets(&[&first, &second], &RankOptions::default());
    assert_eq!(across.standings.iter().map(|standing| standing.algorithm).collect::<Vec<_>>(), [5, 0]);
    assert_eq!(across.comparisons.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whichever scores are missing and whichever test is used, a rank lies within its range and p-values are
    /// consistent.
    #[test]
    fn a_rank_lies_within_its_own_range(
        values in prop::collection::vec(-1.0..1.0_f64, 60),
        holes in prop::collection::vec(prop::bool::weighted(0.2), 60),
        skew in 0.0..3.0_f64, test in 0..3_usize, with_holes in any::<bool>()
    ) {
        let scores: Vec<f64> = (0..60)
            .map(|cell| {
                let score = values[cell] + (cell / 12) as f64 * 0.4 * skew - (skew * values[cell]).exp();
                if with_holes && holes[cell] { HOLE } else { score }
            })
            .collect();
        let test = [SignificanceTest::MaxDifference, SignificanceTest::MaxT, SignificanceTest::Wilcoxon][test];
        let ranking = ranked(5, &scores, test);
        for standing in &ranking.standings {
            let rank = standing.rank.as_ref().unwrap();
            prop_assert!(rank.best <= rank.rank && rank.rank <= rank.worst);
        }
        for pair in &ranking.comparisons {
            prop_assert!(pair.difference.value >= 0.0);
            prop_assert!(pair.p >= pair.p_smallest * (1.0 - 1e-12) && pair.p <= 1.0);
            prop_assert_eq!(pair.p_corrected.is_some(), pair.testable);
            prop_assert!(pair.p_corrected.is_none_or(|corrected| corrected >= pair.p && corrected <= 1.0));
        }
        if !with_holes {
            for standing in &ranking.standings {
                prop_assert_eq!(standing.mean, standing.adjusted);
            }
        }
    }
}
