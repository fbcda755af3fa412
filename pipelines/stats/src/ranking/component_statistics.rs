//! Statistics of one component of one data set: each algorithm's estimates and each pair's difference. Rankings within
//! a data set and across data sets are both computed from them.

use rand::seq::SliceRandom;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::additive_model::ComponentFit;
use super::comparison::{CommonScenes, compare_common_scenes};
use super::rank_options::RankOptions;
use super::scene_scores::SceneScores;
use super::sign_flip_test::{Stratum, StratumPair};
use crate::estimate::{
    Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError, mean_estimate,
};
use crate::scene_groups::stream_rng;

/// Up to this many scenes, each has its own sign; more are assigned at random to [`BLOCKS`], each of which has one
/// sign. A t of 1,023 degrees of freedom is as good as normal, and the time of flips does not grow with the number of
/// scenes.
const SCENES_MAX: usize = 4096;

/// The number of blocks of scenes if there are more than [`SCENES_MAX`].
const BLOCKS: usize = 1024;

/// The algorithms of a component of a data set, and all pairs of them.
#[derive(Clone, Debug)]
pub(super) struct ComponentStatistics {
    /// (members): the caller's numbers of the algorithms.
    pub(super) algorithms: Vec<usize>,
    /// (members): the number of scenes of which each algorithm has a score.
    pub(super) scenes: Vec<u64>,
    /// (members): the mean scores.
    pub(super) means: Vec<Estimate>,
    /// (members): the adjusted scores.
    pub(super) adjusted: Vec<Estimate>,
    pub(super) stratum: Stratum,
    /// The pooled variance of a score about its scene's mean.
    pub(super) variance: f64,
    /// The pairs by second and then by first member, the first having the smaller index.
    pairs: Vec<PairStatistics>,
}

/// The statistics of a pair of algorithms.
#[derive(Clone, Debug)]
pub(super) struct PairStatistics {
    pub(super) common: CommonScenes,
    pub(super) flips: StratumPair,
    /// The variance of the difference for scores with unit variance.
    pub(super) unit_variance: f64,
    /// The standard error of the difference; `None` with fewer than two common scenes.
    pub(super) error: Option<StandardError>,
}

impl ComponentStatistics {
    pub(super) fn new(scores: &SceneScores<'_>, fit: &ComponentFit, options: &RankOptions) -> ComponentStatistics {
        let stratum = stratum(scores, fit, options.seed);
        let known_scores = |row: usize| -> Vec<f64> {
            fit.scenes.iter().map(|&scene| scores.row(row)[scene]).filter(|score| !score.is_nan()).collect()
        };
        let means: Vec<Estimate> = (fit.members.iter())
            .map(|&row| mean_estimate(&known_scores(row), options.level).expect("a member has a score"))
            .collect();
        let scenes: Vec<u64> = fit.members.iter().map(|&row| known_scores(row).len() as u64).collect();
        let members = fit.members.len();
        let adjusted = (0..members)
            .map(|member| {
                if fit.complete {
                    return means[member];
                }
                student_estimate(fit.adjusted[member], fit.errors[member], scenes[member], options.level)
            })
            .collect();
        let pairs: Vec<(usize, usize)> =
            (0..members).flat_map(|second| (0..second).map(move |first| (first, second))).collect();
        let pairs = pairs.par_iter().map(|&pair| pair_statistics(scores, fit, &stratum, pair)).collect();
        let algorithms = fit.members.clone();
        ComponentStatistics { algorithms, scenes, means, adjusted, stratum, variance: fit.variance, pairs }
    }

    /// Returns the index of an algorithm of this component.
    pub(super) fn index(&self, algorithm: usize) -> usize {
        self.algorithms.iter().position(|&other| other == algorithm).expect("the algorithm is in this component")
    }

    /// Returns the statistics of a pair, and -1 as the sign if they hold for the second algorithm less the first.
    pub(super) fn pair(&self, first: usize, second: usize) -> (&PairStatistics, f64) {
        let (a, b) = (self.index(first), self.index(second));
        let (low, high) = (a.min(b), a.max(b));
        (&self.pairs[high * (high - 1) / 2 + low], if a < b { 1.0 } else { -1.0 })
    }
}

/// Returns the value with Student's interval, or why there is none.
pub(super) fn student_estimate(value: f64, error: Option<StandardError>, scenes: u64, level: f64) -> Estimate {
    let interval = match error {
        Some(error) if scenes >= SCENES_MIN as u64 => {
            if error.error > 0.0 {
                Ok(Interval::student(value, error, Scale::Plain, level, IntervalMethod::StudentT))
            } else {
                Err(NoInterval::Constant)
            }
        }
        _ => Err(NoInterval::TooFewScenes),
    };
    Estimate { value, interval }
}

fn stratum(scores: &SceneScores<'_>, fit: &ComponentFit, seed: u64) -> Stratum {
    let (members, scenes) = (fit.members.len(), fit.scenes.len());
    let units = if scenes > SCENES_MAX { BLOCKS } else { scenes };
    let mut unit_by_scene: Vec<usize> = (0..scenes).map(|scene| scene % units).collect();
    if scenes > SCENES_MAX {
        unit_by_scene.shuffle(&mut stream_rng(seed, 0));
    }
    let mut contributions = vec![0.0; units * members];
    let words = units.div_ceil(64);
    let mut presence = vec![0_u64; members * words];
    for (member, &row) in fit.members.iter().enumerate() {
        let own = &fit.contributions[member * scenes..][..scenes];
        for ((&unit, contribution), &scene) in unit_by_scene.iter().zip(own).zip(&fit.scenes) {
            contributions[unit * members + member] += contribution;
            if !scores.row(row)[scene].is_nan() {
                presence[member * words + unit / 64] |= 1 << (unit % 64);
            }
        }
    }
    Stratum { algorithms: members, units, contributions, presence: (!fit.complete).then_some(presence) }
}

fn pair_statistics(
    scores: &SceneScores<'_>,
    fit: &ComponentFit,
    stratum: &Stratum,
    (first, second): (usize, usize),
) -> PairStatistics {
    let scenes = fit.scenes.len();
    let common = compare_common_scenes(scores.row(fit.members[first]), scores.row(fit.members[second]));
    let difference = fit.adjusted[first] - fit.adjusted[second];
    let contributions = |member: usize| &fit.contributions[member * scenes..][..scenes];
    // If scores are missing, the contributions are residuals, whose mean is 0.
    let centre = if fit.complete { difference / scenes as f64 } else { 0.0 };
    let squares: f64 =
        contributions(first).iter().zip(contributions(second)).map(|(a, b)| (a - b - centre).powi(2)).sum();
    let n = common.scenes as f64;
    let error = (common.scenes > 1)
        .then(|| StandardError { error: (squares * n / (n - 1.0)).sqrt(), degrees_of_freedom: n - 1.0 });
    let units = stratum.common_units(first, second) as f64;
    // What the observed difference adds to the sum of squares when it is spread over the common units.
    let shares = if fit.complete || units == 0.0 { 0.0 } else { difference * difference / units };
    let unit_difference = |unit: usize| {
        let contribution = |member: usize| stratum.contributions[unit * stratum.algorithms + member];
        contribution(first) - contribution(second)
    };
    let is_common = |unit: usize| stratum.has_score(unit, first) && stratum.has_score(unit, second);
    let cross: f64 = (0..stratum.units).filter(|&unit| shares > 0.0 && is_common(unit)).map(unit_difference).sum();
    let sum_of_squares = (0..stratum.units).map(|unit| unit_difference(unit).powi(2)).sum::<f64>()
        + shares
        + if shares > 0.0 { 2.0 * cross * difference / units } else { 0.0 };
    let flips = StratumPair { first, second, difference, units, sum_of_squares };
    PairStatistics { common, flips, unit_variance: fit.difference_variance(first, second), error }
}
