//! A leaderboard over several data sets, each of which counts the same.

use std::f64::consts::SQRT_2;

use super::estimate::{Estimate, Interval, IntervalMethod, NoInterval};
use super::ranking::{Comparison, Ranking, judge, place};

/// Orders the algorithms that have a score on every data set by the mean of their means. Algorithms are numbered alike in
/// all of `rankings`, those of the data sets.
///
/// An interval's ends are as far from the mean as those of independent means are together (MOVER: Zou and Donner 2008). The
/// test of two algorithms is of the mean of their rank-biserial correlations, each data set's by its own signed ranks, by
/// the normal distribution; data sets on which they share no scene are left out.
pub fn rank_across(rankings: &[Ranking], level: f64) -> Ranking {
    let mut numbers: Vec<usize> = match rankings.first() {
        Some(ranking) => ranking.standings.iter().map(|standing| standing.algorithm).collect(),
        None => Vec::new(),
    };
    numbers.retain(|&algorithm| rankings.iter().all(|ranking| estimate(ranking, algorithm).is_some()));
    numbers.sort_unstable();
    let means: Vec<Option<Estimate>> = numbers.iter().map(|&algorithm| mean(rankings, algorithm)).collect();
    let scenes_of = |algorithm| {
        let standings = rankings.iter().flat_map(|ranking| &ranking.standings);
        standings.filter(|standing| standing.algorithm == algorithm).map(|standing| standing.scenes).sum()
    };
    let scenes: Vec<u64> = numbers.iter().map(|&algorithm| scenes_of(algorithm)).collect();
    let mut comparisons = Vec::new();
    for second in 0..numbers.len() {
        for first in 0..second {
            comparisons.push(compare(rankings, &numbers, (first, second)));
        }
    }
    judge(&mut comparisons, level);
    let mut ranking = place(&means, &scenes, comparisons);
    for standing in &mut ranking.standings {
        standing.algorithm = numbers[standing.algorithm];
    }
    for pair in &mut ranking.comparisons {
        (pair.first, pair.second) = (numbers[pair.first], numbers[pair.second]);
    }
    ranking
}

fn estimate(ranking: &Ranking, algorithm: usize) -> Option<Estimate> {
    ranking.standings.iter().find(|standing| standing.algorithm == algorithm)?.mean
}

fn mean(rankings: &[Ranking], algorithm: usize) -> Option<Estimate> {
    let estimates: Vec<Estimate> =
        rankings.iter().map(|ranking| estimate(ranking, algorithm)).collect::<Option<_>>()?;
    let count = estimates.len() as f64;
    let value = estimates.iter().map(|estimate| estimate.value).sum::<f64>() / count;
    // None where a data set's is not known.
    let distance = |of: fn(&Interval) -> f64| {
        let square = |estimate: &Estimate| Some((of(&estimate.interval.ok()?) - estimate.value).powi(2));
        estimates.iter().map(square).sum::<Option<f64>>().map(|sum| sum.sqrt() / count)
    };
    let ends = distance(|interval| interval.low).zip(distance(|interval| interval.high));
    let interval = ends.map(|(below, above)| Interval {
        low: value - below,
        high: value + above,
        error: (below + above) / 2.0 / 1.96,
        freedom: f64::INFINITY,
        monte_carlo_error: None,
        method: IntervalMethod::Bootstrap,
    });
    let interval = interval.ok_or(NoInterval::MissingInDataset);
    Some(Estimate { value, interval })
}

/// `first` and `second` are places in `numbers`.
fn compare(rankings: &[Ranking], numbers: &[usize], (first, second): (usize, usize)) -> Comparison {
    let of_pair =
        |pair: &&Comparison| (pair.first, pair.second) == (numbers[first], numbers[second]) && pair.scenes > 0;
    let pairs: Vec<&Comparison> =
        rankings.iter().filter_map(|ranking| ranking.comparisons.iter().find(of_pair)).collect();
    let mean = |of: fn(&Comparison) -> f64| pairs.iter().map(|pair| of(pair)).sum::<f64>() / pairs.len().max(1) as f64;
    let effect = mean(|pair| pair.effect);
    let variance = mean(|pair| pair.effect_deviation.powi(2));
    let effect_deviation = (variance / pairs.len().max(1) as f64).sqrt();
    let differ = effect_deviation > 0.0;
    let p = if differ { libm::erfc((effect / effect_deviation).abs() / SQRT_2) } else { 1.0 };
    Comparison {
        first,
        second,
        scenes: pairs.iter().map(|pair| pair.scenes).sum(),
        mean_difference: (!pairs.is_empty()).then(|| mean(|pair| pair.mean_difference.unwrap_or(0.0))),
        effect,
        effect_deviation,
        p,
        p_holm: p,
        significant: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bootstrap, SceneScores, rank};
    use super::*;

    const BOOTSTRAP: Bootstrap = Bootstrap { replicates: 200, seed: 1, level: 0.95 };

    /// Algorithms `of` by their numbers, each with its mean and noise of its own.
    fn dataset(of: &[(usize, f64)], scenes: usize) -> Ranking {
        let noise = |algorithm: usize, scene: usize| ((scene * 37 + algorithm * 101) % 97) as f64 / 97.0;
        let score = |&(algorithm, mean): &(usize, f64)| (0..scenes).map(move |scene| mean + noise(algorithm, scene));
        let scores: Vec<f64> = of.iter().flat_map(score).collect();
        let mut ranking = rank(&SceneScores { algorithms: of.len(), scenes, scores: &scores }, &BOOTSTRAP);
        ranking.standings.iter_mut().for_each(|standing| standing.algorithm = of[standing.algorithm].0);
        let number = |pair: &mut Comparison| (pair.first, pair.second) = (of[pair.first].0, of[pair.second].0);
        ranking.comparisons.iter_mut().for_each(number);
        ranking
    }

    #[test]
    fn one_data_set_stays_as_it_is() {
        let alone = dataset(&[(0, 0.0), (3, 0.1), (4, 0.5)], 97);
        let across = rank_across(std::slice::from_ref(&alone), 0.95);
        for (standing, wanted) in across.standings.iter().zip(&alone.standings) {
            let (mean, wanted_mean) = (standing.mean.unwrap(), wanted.mean.unwrap());
            assert_eq!(
                (standing.algorithm, standing.rank, &standing.groups),
                (wanted.algorithm, wanted.rank, &wanted.groups)
            );
            assert!((mean.value - wanted_mean.value).abs() < 1e-12);
            assert!((mean.interval.unwrap().low - wanted_mean.interval.unwrap().low).abs() < 1e-12);
        }
        for pair in &across.comparisons {
            let wanted =
                alone.comparisons.iter().find(|of| (of.first, of.second) == (pair.first, pair.second)).unwrap();
            // More than 50 scenes: the data set's own test is by the normal distribution too.
            assert!((pair.p - wanted.p).abs() <= 1e-9 * wanted.p, "{} {}", pair.p, wanted.p);
        }
    }

    #[test]
    fn a_large_data_set_counts_no_more_than_a_small_one() {
        let across = rank_across(&[dataset(&[(0, 0.0), (1, 0.4)], 970), dataset(&[(0, 0.8), (1, 0.0)], 97)], 0.95);
        assert_eq!(across.standings[0].algorithm, 0);
        assert_eq!(across.standings[0].scenes, 1067);
        let by_first = across.comparisons[0].mean_difference.unwrap();
        assert!((by_first - 0.2).abs() < 0.02, "{by_first}");
    }

    #[test]
    fn two_data_sets_that_agree_say_more_than_one() {
        let one = dataset(&[(0, 0.0), (1, 0.06)], 97);
        let both = rank_across(&[one.clone(), one.clone()], 0.95);
        assert!(both.comparisons[0].p < one.comparisons[0].p);
        let width = |ranking: &Ranking| {
            let interval = ranking.standings[0].mean.unwrap().interval.unwrap();
            interval.high - interval.low
        };
        assert!((width(&both) * 2.0_f64.sqrt() - width(&one)).abs() < 1e-12);
    }

    #[test]
    fn what_is_not_on_all_data_sets_has_no_place() {
        let first = dataset(&[(0, 0.0), (1, 0.1), (5, 0.3)], 60);
        let second = dataset(&[(0, 0.0), (2, 0.1), (5, 0.3)], 60);
        let across = rank_across(&[first, second], 0.95);
        let order: Vec<usize> = across.standings.iter().map(|standing| standing.algorithm).collect();
        assert_eq!(order, [5, 0]);
        assert_eq!(across.comparisons.len(), 1);
        assert_eq!(rank_across(&[], 0.95).standings, []);
    }
}
