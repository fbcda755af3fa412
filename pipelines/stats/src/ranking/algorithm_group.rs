//! The ranking of a group of algorithms that are comparable with each other, over one or several data sets.

use super::compact_letter_display::compact_letter_display;
use super::comparison::Comparison;
use super::component_statistics::{ComponentStatistics, PairStatistics, student_estimate};
use super::pair_tests::test_pairs;
use super::rank_options::RankOptions;
use super::standing::{Rank, Standing};
use crate::estimate::{Estimate, Interval, IntervalMethod, NoInterval, Scale, StandardError, combine_standard_errors};

/// Algorithms that are ranked against each other: common scenes connect them on every data set.
pub(super) struct AlgorithmGroup<'a> {
    /// The component of each data set that contains the algorithms.
    pub(super) components: &'a [&'a ComponentStatistics],
    pub(super) algorithms: &'a [usize],
    pub(super) hazy: Option<usize>,
    /// The group's number in the standings.
    pub(super) number: u32,
}

impl AlgorithmGroup<'_> {
    /// Returns the standings, best first, and the comparisons of all pairs of ranked algorithms.
    pub(super) fn rank(&self, options: &RankOptions) -> (Vec<Standing>, Vec<Comparison>) {
        let mean = |estimates: fn(&ComponentStatistics) -> &[Estimate], algorithm: usize| {
            let select = |component: &&ComponentStatistics| estimates(component)[component.index(algorithm)];
            mean_over_data_sets(&self.components.iter().map(select).collect::<Vec<_>>(), options.level)
        };
        let adjusted = |algorithm: usize| mean(|component| &component.adjusted, algorithm);
        let mut order: Vec<(usize, Estimate)> =
            self.algorithms.iter().map(|&algorithm| (algorithm, adjusted(algorithm))).collect();
        order.sort_by(|a, b| b.1.value.total_cmp(&a.1.value).then(a.0.cmp(&b.0)));
        let ranked: Vec<usize> =
            order.iter().map(|(algorithm, _)| *algorithm).filter(|algorithm| self.hazy != Some(*algorithm)).collect();
        let comparisons = self.compare(&ranked, options);
        let mut ranks = ranks(&ranked, &comparisons).into_iter();
        let hazy = self.hazy.filter(|hazy| self.algorithms.contains(hazy));
        let standing = |(algorithm, adjusted): (usize, Estimate)| {
            let own = comparisons.iter().filter(|pair| pair.first == algorithm || pair.second == algorithm);
            let scenes = self.components.iter().map(|component| component.scenes[component.index(algorithm)]);
            Standing {
                algorithm,
                rank: if self.hazy == Some(algorithm) { None } else { ranks.next() },
                component: self.number,
                scenes: scenes.sum(),
                common_scenes: own.map(|pair| pair.scenes).min(),
                mean: mean(|component| &component.means, algorithm),
                adjusted,
                gain: (hazy.filter(|&hazy| hazy != algorithm))
                    .map(|hazy| self.difference(algorithm, hazy, options.level)),
            }
        };
        let standings = order.into_iter().map(standing).collect();
        (standings, comparisons)
    }

    fn difference(&self, first: usize, second: usize, level: f64) -> Estimate {
        let data_set_difference = |component: &&ComponentStatistics| {
            let (pair, sign) = component.pair(first, second);
            student_estimate(sign * pair.flips.difference, pair.error, pair.common.scenes, level)
        };
        let estimates: Vec<Estimate> = self.components.iter().map(data_set_difference).collect();
        mean_over_data_sets(&estimates, level)
    }

    /// Compares all pairs of `ranked`, which is in order, best first.
    fn compare(&self, ranked: &[usize], options: &RankOptions) -> Vec<Comparison> {
        let mut comparisons: Vec<Comparison> = (0..ranked.len())
            .flat_map(|first| (first + 1..ranked.len()).map(move |second| (first, second)))
            .map(|(first, second)| self.untested_comparison(ranked[first], ranked[second], options.level))
            .collect();
        test_pairs(self.components, &mut comparisons, options);
        comparisons
    }

    fn untested_comparison(&self, first: usize, second: usize, level: f64) -> Comparison {
        let pairs: Vec<(&PairStatistics, f64)> =
            self.components.iter().map(|component| component.pair(first, second)).collect();
        let with_scenes = || pairs.iter().filter(|(pair, _)| pair.common.scenes > 0);
        let count = with_scenes().count() as f64;
        let mean = |effect: &dyn Fn(&PairStatistics, f64) -> f64| {
            (count > 0.0).then(|| with_scenes().map(|(pair, sign)| effect(pair, *sign)).sum::<f64>() / count)
        };
        let superiority = |pair: &PairStatistics, sign: f64| 0.5 + sign * (pair.common.superiority - 0.5);
        Comparison {
            first,
            second,
            scenes: pairs.iter().map(|(pair, _)| pair.common.scenes).sum(),
            difference: self.difference(first, second, level),
            rank_biserial: mean(&|pair, sign| sign * pair.common.signed_rank.effect),
            probability_of_superiority: mean(&superiority),
            p: 1.0,
            p_corrected: None,
            p_smallest: 1.0,
            minimum_detectable_difference: None,
            equivalence: None,
            testable: false,
            significant: false,
        }
    }
}

/// Returns the mean over data sets, with their combined standard error and Satterthwaite's degrees of freedom.
fn mean_over_data_sets(estimates: &[Estimate], level: f64) -> Estimate {
    if let [single] = estimates {
        return *single;
    }
    let weight = 1.0 / estimates.len() as f64;
    let value = estimates.iter().map(|estimate| estimate.value).sum::<f64>() * weight;
    let errors: Result<Vec<(f64, StandardError)>, NoInterval> = (estimates.iter())
        .map(|estimate| match estimate.interval {
            Ok(Interval { standard_error: error, degrees_of_freedom, .. }) => {
                Ok((weight, StandardError { error, degrees_of_freedom }))
            }
            Err(_) => Err(NoInterval::MissingInDataset),
        })
        .collect();
    let interval = errors.map(|errors| {
        let combined = combine_standard_errors(errors.iter().copied());
        Interval::student(value, combined, Scale::Plain, level, IntervalMethod::StudentT)
    });
    Estimate { value, interval }
}

/// Returns the rank of each of `ranked`, which is in order, best first.
fn ranks(ranked: &[usize], comparisons: &[Comparison]) -> Vec<Rank> {
    let significant = comparisons.iter().filter(|pair| pair.significant);
    let letters =
        compact_letter_display(ranked, &significant.map(|pair| (pair.first, pair.second)).collect::<Vec<_>>());
    let rank = |(position, (&algorithm, groups)): (usize, (&usize, String))| {
        let significant = || comparisons.iter().filter(|pair| pair.significant);
        let mut own = comparisons.iter().filter(|pair| pair.first == algorithm || pair.second == algorithm);
        Rank {
            rank: position as u32 + 1,
            best: 1 + significant().filter(|pair| pair.second == algorithm).count() as u32,
            worst: ranked.len() as u32 - significant().filter(|pair| pair.first == algorithm).count() as u32,
            groups,
            testable: ranked.len() == 1 || own.any(|pair| pair.testable),
        }
    };
    ranked.iter().zip(letters).enumerate().map(rank).collect()
}
