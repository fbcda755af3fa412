//! A leaderboard over several data sets, each of which counts the same.

use std::f64::consts::SQRT_2;

use super::bootstrap::{Estimate, Interval, IntervalMethod};
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
        let square = |estimate: &Estimate| Some((of(&estimate.interval?) - estimate.value).powi(2));
        estimates.iter().map(square).sum::<Option<f64>>().map(|sum| sum.sqrt() / count)
    };
    let ends = distance(|interval| interval.low).zip(distance(|interval| interval.high));
    let interval = ends.map(|(below, above)| Interval {
        low: value - below,
        high: value + above,
        method: IntervalMethod::Bootstrap,
    });
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
