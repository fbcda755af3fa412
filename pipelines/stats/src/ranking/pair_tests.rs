//! The tests of all pairs of a group of algorithms, over one or several data sets: significance and equivalence.

use super::comparison::{
    CommonScenes, Comparison, Equivalence, SignificanceTest, detectable_difference, equivalence_p, power_quantile,
};
use super::component_statistics::ComponentStatistics;
use super::rank_options::RankOptions;
use super::sign_flip_test::{Contrast, Draws, Statistic, Stratum, StratumPair, flip_count, test_contrasts};
use crate::estimate::{StandardError, combine_standard_errors};
use crate::multiple_testing::{holm, testable};
use crate::student_t::t_from_normal_deviate;

/// Tests all pairs; `components` has one component of each data set.
pub(super) fn test_pairs(components: &[&ComponentStatistics], comparisons: &mut [Comparison], options: &RankOptions) {
    match options.test {
        SignificanceTest::Wilcoxon => test_signed_ranks(components, comparisons, options),
        SignificanceTest::MaxDifference | SignificanceTest::MaxT => {
            test_sign_flips(components, comparisons, options);
        }
    }
    if let Some(margin) = options.equivalence_margin {
        test_equivalence(comparisons, margin);
    }
}

/// Tests pairs by sign flips. The testable pairs are corrected together; a pair without enough common scenes only has a
/// p-value of its own.
fn test_sign_flips(components: &[&ComponentStatistics], comparisons: &mut [Comparison], options: &RankOptions) {
    let alpha = 1.0 - options.level;
    let draws = Draws { count: options.draws, seed: options.seed };
    let strata: Vec<&Stratum> = components.iter().map(|component| &component.stratum).collect();
    let flips = flip_count(strata.iter().map(|stratum| stratum.units).sum(), options.draws);
    let contrasts: Vec<Contrast> =
        comparisons.iter().map(|pair| contrast(components, (pair.first, pair.second), options.test)).collect();
    for (comparison, contrast) in comparisons.iter_mut().zip(&contrasts) {
        let units: f64 = contrast.pairs.iter().map(|pair| pair.units).sum();
        comparison.p_smallest = (2.0_f64.powf(1.0 - units)).max(1.0 / flips as f64).min(1.0);
        comparison.testable = comparison.p_smallest < alpha;
    }
    let (tested, others): (Vec<usize>, Vec<usize>) =
        (0..comparisons.len()).partition(|&pair| comparisons[pair].testable);
    let select = |pairs: &[usize]| pairs.iter().map(|&pair| contrasts[pair].clone()).collect::<Vec<Contrast>>();
    let result = test_contrasts(&strata, &select(&tested), options.level, draws);
    for (position, &pair) in tested.iter().enumerate() {
        let comparison = &mut comparisons[pair];
        // Scenes of which only one algorithm has a score affect the estimate, but are no evidence about this pair.
        comparison.p = result.p[position].max(comparison.p_smallest);
        let p_corrected = result.p_corrected[position].max(comparison.p);
        comparison.p_corrected = Some(p_corrected);
        // Equal adjusted scores do not differ, whatever the draws.
        comparison.significant = p_corrected < alpha && comparison.difference.value > 0.0;
        let Some(error) = difference_error(components, (comparison.first, comparison.second)) else { continue };
        let critical = match contrasts[pair].statistic {
            Statistic::Difference { deviation } => result.critical * deviation / components.len() as f64,
            Statistic::T { degrees_of_freedom } => {
                t_from_normal_deviate(result.critical, degrees_of_freedom) * error.error
            }
        };
        comparison.minimum_detectable_difference =
            Some(critical + power_quantile(error.degrees_of_freedom) * error.error);
    }
    let result = test_contrasts(&strata, &select(&others), options.level, draws);
    for (&pair, p) in others.iter().zip(result.p) {
        comparisons[pair].p = p.max(comparisons[pair].p_smallest);
    }
}

fn contrast(components: &[&ComponentStatistics], (first, second): (usize, usize), test: SignificanceTest) -> Contrast {
    let mut pairs = Vec::with_capacity(components.len());
    let mut variance = 0.0;
    for component in components {
        let (pair, sign) = component.pair(first, second);
        let flips = pair.flips;
        let (a, b) = if sign > 0.0 { (flips.first, flips.second) } else { (flips.second, flips.first) };
        pairs.push(StratumPair { first: a, second: b, difference: sign * flips.difference, ..flips });
        variance += component.variance * pair.unit_variance;
    }
    let degrees_of_freedom = pairs.iter().map(|pair| pair.units - 1.0).sum::<f64>().max(1.0);
    let statistic = match test {
        SignificanceTest::MaxT => Statistic::T { degrees_of_freedom },
        // Without any deviation all differences are 0, and the divisor does not matter.
        _ => Statistic::Difference { deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } },
    };
    Contrast { pairs, statistic }
}

/// Returns the standard error of the mean difference over the data sets; `None` if a data set has fewer than two common
/// scenes.
fn difference_error(components: &[&ComponentStatistics], (first, second): (usize, usize)) -> Option<StandardError> {
    let weight = 1.0 / components.len() as f64;
    let errors = components.iter().map(|component| component.pair(first, second).0.error.map(|error| (weight, error)));
    let errors: Vec<(f64, StandardError)> = errors.collect::<Option<_>>()?;
    Some(combine_standard_errors(errors.iter().copied())).filter(|combined| combined.error > 0.0)
}

/// Tests pairs by Wilcoxon's signed ranks with Holm's correction over the testable pairs.
fn test_signed_ranks(components: &[&ComponentStatistics], comparisons: &mut [Comparison], options: &RankOptions) {
    let alpha = 1.0 - options.level;
    for comparison in comparisons.iter_mut() {
        let with_scenes: Vec<&CommonScenes> = (components.iter())
            .map(|component| &component.pair(comparison.first, comparison.second).0.common)
            .filter(|common| common.scenes > 0)
            .collect();
        let effect = comparison.rank_biserial.unwrap_or(0.0);
        (comparison.p, comparison.p_smallest) = signed_rank_p(&with_scenes, effect);
    }
    let smallest: Vec<f64> = comparisons.iter().map(|pair| pair.p_smallest).collect();
    let testable = testable(&smallest, alpha);
    let tested: Vec<usize> = (0..comparisons.len()).filter(|&pair| testable[pair]).collect();
    let corrected = holm(&tested.iter().map(|&pair| comparisons[pair].p).collect::<Vec<_>>());
    for (&pair, p) in tested.iter().zip(corrected) {
        let comparison = &mut comparisons[pair];
        comparison.testable = true;
        comparison.p_corrected = Some(p);
        // If ranks and adjusted scores disagree about which algorithm is better, the pair is not significant.
        let agree = comparison.rank_biserial.unwrap_or(0.0) > 0.0 && comparison.difference.value > 0.0;
        comparison.significant = p < alpha && agree;
        let error = difference_error(components, (comparison.first, comparison.second));
        comparison.minimum_detectable_difference =
            error.map(|error| detectable_difference(error, alpha / tested.len() as f64));
    }
}

/// Returns the p-value of the mean rank-biserial correlation `effect` over data sets, and the smallest p-value that
/// their numbers of scenes allow: for one data set by the signed-rank test, for several by the normal approximation.
fn signed_rank_p(data_sets: &[&CommonScenes], effect: f64) -> (f64, f64) {
    let normal_p = |z: f64| libm::erfc(z.abs() / std::f64::consts::SQRT_2);
    match data_sets {
        [] => (1.0, 1.0),
        [single] => (single.signed_rank.p(), 2.0_f64.powf(1.0 - single.scenes as f64).min(1.0)),
        _ => {
            let variance: f64 = data_sets.iter().map(|common| common.signed_rank.effect_deviation.powi(2)).sum();
            let deviation = variance.sqrt() / data_sets.len() as f64;
            if deviation > 0.0 { (normal_p(effect / deviation), normal_p(1.0 / deviation)) } else { (1.0, 1.0) }
        }
    }
}

/// Adds the equivalence test to the pairs that have an interval.
fn test_equivalence(comparisons: &mut [Comparison], margin: f64) {
    let p_of_pair = |(index, pair): (usize, &Comparison)| {
        let interval = pair.difference.interval.ok()?;
        let error = StandardError { error: interval.standard_error, degrees_of_freedom: interval.degrees_of_freedom };
        Some((index, equivalence_p(pair.difference.value, error, margin)))
    };
    let (tested, p): (Vec<usize>, Vec<f64>) = comparisons.iter().enumerate().filter_map(p_of_pair).unzip();
    for ((pair, p), p_corrected) in tested.into_iter().zip(p.iter().copied()).zip(holm(&p)) {
        comparisons[pair].equivalence = Some(Equivalence { margin, p, p_corrected });
    }
}
