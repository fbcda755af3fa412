//! A leaderboard's statistics: the order of the algorithms by their adjusted scores ([`super::additive`]), and which of
//! the differences of just these scores are more than chance over scenes. One estimand is ranked, tested and given with its
//! interval, so that a rank always lies within its own range. Pure.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::additive::{self, Component};
use super::comparing::{
    Comparison, Equivalence, Paired, Test, detectable, equivalence_p, holm, paired, power_quantile, testable,
};
use super::estimate::{
    Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError, combined, mean_estimate,
};
use super::flips::{self, Contrast, Part, Statistic, Stratum, t_of_deviate};
use super::letters::letters;

/// Up to so many scenes each has its sign; more are dealt at random into [`BLOCKS`], each of which has one. A t of 1,023 degrees
/// of freedom is as good as normal, and flips cost the same for any number of scenes.
const SCENES_MAX: usize = 4096;

/// Of scenes, where they are many.
const BLOCKS: usize = 1024;

/// Algorithms' mean scores of scenes.
#[derive(Clone, Copy, Debug)]
pub struct SceneScores<'a> {
    /// Rows.
    pub algorithms: usize,
    /// Columns, in an order that depends on nothing but the scenes' names: signs are drawn in it.
    pub scenes: usize,
    /// (algorithms, scenes), row-major; NaN where an algorithm has no score of a scene.
    pub scores: &'a [f64],
}

impl SceneScores<'_> {
    pub(super) fn row(&self, algorithm: usize) -> &[f64] {
        &self.scores[algorithm * self.scenes..][..self.scenes]
    }
}

/// How algorithms are compared.
#[derive(Clone, Copy, Debug)]
pub struct RankOptions {
    /// Of differences.
    pub test: Test,
    /// Of intervals; a corrected p below 1 less this is significant.
    pub level: f64,
    /// Flips that are drawn where there are too many to count out.
    pub draws: u32,
    /// Of the draws.
    pub seed: u64,
    /// The difference that does not matter, where equivalence is asked for.
    pub margin: Option<f64>,
}

impl Default for RankOptions {
    fn default() -> Self {
        RankOptions { test: Test::default(), level: 0.95, draws: 9_999, seed: 0, margin: None }
    }
}

/// An algorithm's place among those of its component.
#[derive(Clone, Debug, PartialEq)]
pub struct Rank {
    /// By adjusted score; 1 is best.
    pub rank: u32,
    /// The best rank that is not ruled out: 1 more than the algorithms that are significantly better.
    pub best: u32,
    /// The worst rank that is not ruled out: the last one, less the algorithms that are significantly worse.
    pub worst: u32,
    /// Letters, `a` first. Two algorithms share one if and only if they do not differ significantly.
    pub groups: String,
    /// Whether a difference to any other algorithm could have been significant; also where there is no other.
    pub testable: bool,
}

/// An algorithm in the order of adjusted scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its row in [`SceneScores`].
    pub algorithm: usize,
    /// None for the hazy input.
    pub rank: Option<Rank>,
    /// Common scenes connect the algorithms of a component; 1 is the largest.
    pub component: u32,
    /// Scenes that it has a score of.
    pub scenes: u64,
    /// The fewest scenes that it shares with another ranked algorithm of the component; None without another.
    pub common_scenes: Option<u64>,
    /// Over its scenes, each counting the same.
    pub mean: Estimate,
    /// Over all scenes of the component, as least squares has it.
    pub adjusted: Estimate,
    /// The adjusted score less that of the hazy input; None without one.
    pub gain: Option<Estimate>,
}

/// Algorithms in order, and every pair of those that are ranked.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// By component, best first. Algorithms without a score are not in it.
    pub standings: Vec<Standing>,
    /// Each pair of ranked algorithms of one component once.
    pub comparisons: Vec<Comparison>,
    /// What a ranking over several data sets is made of.
    bases: Vec<Basis>,
    hazy: Option<usize>,
}

impl Ranking {
    /// Gives the algorithms other numbers.
    pub fn renumber(&mut self, number: impl Fn(usize) -> usize) {
        self.standings.iter_mut().for_each(|standing| standing.algorithm = number(standing.algorithm));
        self.hazy = self.hazy.map(&number);
        for pair in &mut self.comparisons {
            (pair.first, pair.second) = (number(pair.first), number(pair.second));
        }
        for basis in &mut self.bases {
            basis.numbers.iter_mut().for_each(|algorithm| *algorithm = number(*algorithm));
        }
    }
}

/// The algorithms of a component of a data set, and all pairs of them.
#[derive(Clone, Debug)]
struct Basis {
    numbers: Vec<usize>,
    scenes: Vec<u64>,
    means: Vec<Estimate>,
    adjusted: Vec<Estimate>,
    stratum: Stratum,
    variance: f64,
    /// By second and then by first place, the first being the earlier.
    pairs: Vec<PairBasis>,
}

#[derive(Clone, Debug)]
struct PairBasis {
    paired: Paired,
    part: Part,
    /// Of the difference's variance, for deviations of unit variance.
    factor: f64,
    /// None under two common scenes.
    error: Option<StandardError>,
}

/// Orders the algorithms of a data set and tests all pairs. The row `hazy` stands in the order, but is not ranked and not in the
/// family of tests; the others have their gain over it.
///
/// # Panics
/// If there are not algorithms x scenes scores.
pub fn rank(scores: &SceneScores<'_>, hazy: Option<usize>, options: &RankOptions) -> Ranking {
    assert_eq!(scores.scores.len(), scores.algorithms * scores.scenes, "a score or a hole for each scene");
    let bases: Vec<Basis> = additive::fit(scores).iter().map(|component| basis(scores, component, options)).collect();
    let (mut standings, mut comparisons) = (Vec::new(), Vec::new());
    for (place, basis) in bases.iter().enumerate() {
        let class = Class { bases: &[basis], numbers: &basis.numbers, hazy, component: place as u32 + 1 };
        let (of_class, pairs) = class.rank(options);
        standings.extend(of_class);
        comparisons.extend(pairs);
    }
    Ranking { standings, comparisons, bases, hazy }
}

/// Orders the algorithms that have a score on every data set by the mean of their adjusted scores, each data set counting the same.
/// Algorithms are numbered alike in all of `rankings`, those of the data sets. Two of them are compared only where common
/// scenes connect them on every data set.
///
/// Tests flip the signs of all data sets' scenes: they are stratified by data set. So intervals and p are of these data sets, and
/// say nothing of others that might have been taken.
pub fn rank_across(rankings: &[&Ranking], options: &RankOptions) -> Ranking {
    let hazy = rankings.iter().find_map(|ranking| ranking.hazy);
    let mut classes: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    let mut numbers: Vec<usize> = rankings
        .first()
        .map_or_else(Vec::new, |ranking| ranking.standings.iter().map(|standing| standing.algorithm).collect());
    numbers.sort_unstable();
    for number in numbers {
        // The hazy input of one data set is no algorithm of another.
        if hazy == Some(number) && rankings.iter().any(|ranking| ranking.hazy != hazy) {
            continue;
        }
        let component = |ranking: &&Ranking| ranking.bases.iter().position(|basis| basis.numbers.contains(&number));
        let Some(components) = rankings.iter().map(component).collect::<Option<Vec<usize>>>() else { continue };
        match classes.iter_mut().find(|class| class.0 == components) {
            Some(class) => class.1.push(number),
            None => classes.push((components, vec![number])),
        }
    }
    classes.sort_by_key(|(_, numbers)| std::cmp::Reverse(numbers.len()));
    let (mut standings, mut comparisons) = (Vec::new(), Vec::new());
    for (place, (components, numbers)) in classes.iter().enumerate() {
        let bases: Vec<&Basis> =
            rankings.iter().zip(components).map(|(ranking, &component)| &ranking.bases[component]).collect();
        let class = Class { bases: &bases, numbers, hazy, component: place as u32 + 1 };
        let (of_class, pairs) = class.rank(options);
        standings.extend(of_class);
        comparisons.extend(pairs);
    }
    Ranking { standings, comparisons, bases: Vec::new(), hazy }
}

fn basis(scores: &SceneScores<'_>, component: &Component, options: &RankOptions) -> Basis {
    let stratum = stratum(scores, component, options.seed);
    let known = |row: usize| -> Vec<f64> {
        component.scenes.iter().map(|&scene| scores.row(row)[scene]).filter(|score| !score.is_nan()).collect()
    };
    let means: Vec<Estimate> = (component.members.iter())
        .map(|&row| mean_estimate(&known(row), options.level).expect("a member has a score"))
        .collect();
    let scenes: Vec<u64> = component.members.iter().map(|&row| known(row).len() as u64).collect();
    let adjusted = (0..component.members.len())
        .map(|member| {
            if component.complete {
                return means[member];
            }
            student(component.adjusted[member], component.errors[member], scenes[member], options.level)
        })
        .collect();
    let of_second = |second: usize| (0..second).map(move |first| (first, second));
    let pairs: Vec<(usize, usize)> = (0..component.members.len()).flat_map(of_second).collect();
    let pairs = pairs.par_iter().map(|&pair| pair_basis(scores, component, &stratum, pair)).collect();
    let numbers = component.members.clone();
    Basis { numbers, scenes, means, adjusted, stratum, variance: component.variance, pairs }
}

/// Student's interval, or why there is none.
fn student(value: f64, error: Option<StandardError>, scenes: u64, level: f64) -> Estimate {
    let interval = match error {
        Some(of) if scenes >= SCENES_MIN as u64 => {
            if of.error > 0.0 {
                Ok(Interval::student(value, of, Scale::Plain, level, IntervalMethod::StudentT))
            } else {
                Err(NoInterval::Constant)
            }
        }
        _ => Err(NoInterval::TooFewScenes),
    };
    Estimate { value, interval }
}

fn stratum(scores: &SceneScores<'_>, component: &Component, seed: u64) -> Stratum {
    let (members, scenes) = (component.members.len(), component.scenes.len());
    let units = if scenes > SCENES_MAX { BLOCKS } else { scenes };
    let mut unit_of: Vec<usize> = (0..scenes).map(|scene| scene % units).collect();
    if scenes > SCENES_MAX {
        unit_of.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    let mut contributions = vec![0.0; units * members];
    let words = units.div_ceil(64);
    let mut presence = vec![0_u64; members * words];
    for (member, &row) in component.members.iter().enumerate() {
        let own = &component.contributions[member * scenes..][..scenes];
        for ((&unit, contribution), &scene) in unit_of.iter().zip(own).zip(&component.scenes) {
            contributions[unit * members + member] += contribution;
            if !scores.row(row)[scene].is_nan() {
                presence[member * words + unit / 64] |= 1 << (unit % 64);
            }
        }
    }
    Stratum { algorithms: members, units, contributions, presence: (!component.complete).then_some(presence) }
}

fn pair_basis(
    scores: &SceneScores<'_>,
    component: &Component,
    stratum: &Stratum,
    (first, second): (usize, usize),
) -> PairBasis {
    let scenes = component.scenes.len();
    let paired = paired(scores.row(component.members[first]), scores.row(component.members[second]));
    let difference = component.adjusted[first] - component.adjusted[second];
    let of = |member: usize| &component.contributions[member * scenes..][..scenes];
    // Contributions are residuals where there are holes.
    let center = if component.complete { difference / scenes as f64 } else { 0.0 };
    let squares: f64 = of(first).iter().zip(of(second)).map(|(a, b)| (a - b - center).powi(2)).sum();
    let n = paired.scenes as f64;
    let error =
        (paired.scenes > 1).then(|| StandardError { error: (squares * n / (n - 1.0)).sqrt(), freedom: n - 1.0 });
    let units = stratum.common(first, second) as f64;
    let shares = if component.complete || units == 0.0 { 0.0 } else { difference * difference / units };
    let residual = |unit: usize| {
        let of = |member: usize| stratum.contributions[unit * stratum.algorithms + member];
        of(first) - of(second)
    };
    let both = |unit: usize| stratum.has(unit, first) && stratum.has(unit, second);
    let cross: f64 = (0..stratum.units).filter(|&unit| shares > 0.0 && both(unit)).map(residual).sum();
    let sum_of_squares = (0..stratum.units).map(|unit| residual(unit).powi(2)).sum::<f64>()
        + shares
        + if shares > 0.0 { 2.0 * cross * difference / units } else { 0.0 };
    let part = Part { first, second, difference, units, sum_of_squares };
    PairBasis { paired, part, factor: component.factor(first, second), error }
}

impl Basis {
    fn place(&self, number: usize) -> usize {
        self.numbers.iter().position(|&other| other == number).expect("the class is of this component")
    }

    /// The pair with its sign: -1 where the earlier place is the second.
    fn pair(&self, first: usize, second: usize) -> (&PairBasis, f64) {
        let (a, b) = (self.place(first), self.place(second));
        let (low, high) = (a.min(b), a.max(b));
        (&self.pairs[high * (high - 1) / 2 + low], if a < b { 1.0 } else { -1.0 })
    }
}

/// Algorithms that are ranked against each other: common scenes connect them on every data set.
struct Class<'a> {
    /// Of each data set.
    bases: &'a [&'a Basis],
    numbers: &'a [usize],
    hazy: Option<usize>,
    component: u32,
}

impl Class<'_> {
    fn rank(&self, options: &RankOptions) -> (Vec<Standing>, Vec<Comparison>) {
        let across = |of: fn(&Basis) -> &[Estimate], number: usize| {
            let estimates: Vec<Estimate> = self.bases.iter().map(|basis| of(basis)[basis.place(number)]).collect();
            mean_of(&estimates, options.level)
        };
        let adjusted = |number: usize| across(|basis| &basis.adjusted, number);
        let mut order: Vec<(usize, Estimate)> = self.numbers.iter().map(|&number| (number, adjusted(number))).collect();
        order.sort_by(|a, b| b.1.value.total_cmp(&a.1.value).then(a.0.cmp(&b.0)));
        let ranked: Vec<usize> =
            order.iter().map(|(number, _)| *number).filter(|number| self.hazy != Some(*number)).collect();
        let comparisons = self.compare(&ranked, options);
        let mut ranks = ranks(&ranked, &comparisons).into_iter();
        let hazy = self.hazy.filter(|hazy| self.numbers.contains(hazy));
        let standing = |(number, adjusted): (usize, Estimate)| {
            let own = comparisons.iter().filter(|pair| pair.first == number || pair.second == number);
            Standing {
                algorithm: number,
                rank: if self.hazy == Some(number) { None } else { ranks.next() },
                component: self.component,
                scenes: self.bases.iter().map(|basis| basis.scenes[basis.place(number)]).sum(),
                common_scenes: own.map(|pair| pair.scenes).min(),
                mean: across(|basis| &basis.means, number),
                adjusted,
                gain: hazy.filter(|&hazy| hazy != number).map(|hazy| self.difference(number, hazy, options.level)),
            }
        };
        let standings = order.into_iter().map(standing).collect();
        (standings, comparisons)
    }

    fn difference(&self, first: usize, second: usize, level: f64) -> Estimate {
        let of_data_set = |basis: &&Basis| {
            let (pair, sign) = basis.pair(first, second);
            student(sign * pair.part.difference, pair.error, pair.paired.scenes, level)
        };
        let estimates: Vec<Estimate> = self.bases.iter().map(of_data_set).collect();
        mean_of(&estimates, level)
    }

    /// All pairs of `ranked`, best first.
    fn compare(&self, ranked: &[usize], options: &RankOptions) -> Vec<Comparison> {
        let pairs: Vec<(usize, usize)> = (0..ranked.len())
            .flat_map(|first| (first + 1..ranked.len()).map(move |second| (first, second)))
            .map(|(first, second)| (ranked[first], ranked[second]))
            .collect();
        let mut comparisons: Vec<Comparison> =
            pairs.iter().map(|&(first, second)| self.described(first, second, options.level)).collect();
        match options.test {
            Test::Wilcoxon => self.test_signed_ranks(&mut comparisons, options),
            Test::MaxDifference | Test::MaxT => self.test_flips(&mut comparisons, options),
        }
        if let Some(margin) = options.margin {
            equate(&mut comparisons, margin);
        }
        comparisons
    }

    /// A pair without its test.
    fn described(&self, first: usize, second: usize, level: f64) -> Comparison {
        let parts: Vec<(&PairBasis, f64)> = self.bases.iter().map(|basis| basis.pair(first, second)).collect();
        let with_scenes = || parts.iter().filter(|(pair, _)| pair.paired.scenes > 0);
        let count = with_scenes().count() as f64;
        let mean = |of: &dyn Fn(&PairBasis, f64) -> f64| {
            (count > 0.0).then(|| with_scenes().map(|(pair, sign)| of(pair, *sign)).sum::<f64>() / count)
        };
        let superiority = |pair: &PairBasis, sign: f64| 0.5 + sign * (pair.paired.superiority - 0.5);
        Comparison {
            first,
            second,
            scenes: parts.iter().map(|(pair, _)| pair.paired.scenes).sum(),
            difference: self.difference(first, second, level),
            rank_biserial: mean(&|pair, sign| sign * pair.paired.signed.effect),
            superiority: mean(&superiority),
            p: 1.0,
            p_corrected: None,
            p_smallest: 1.0,
            detectable: None,
            equivalence: None,
            testable: false,
            significant: false,
        }
    }

    /// Where a pair shares no scene there is nothing of its own to flip.
    fn test_flips(&self, comparisons: &mut [Comparison], options: &RankOptions) {
        let alpha = 1.0 - options.level;
        let strata: Vec<&Stratum> = self.bases.iter().map(|basis| &basis.stratum).collect();
        let all = flips::flips(strata.iter().map(|stratum| stratum.units).sum(), options.draws);
        let contrasts: Vec<Contrast> =
            comparisons.iter().map(|pair| self.contrast(pair.first, pair.second, options.test)).collect();
        for (pair, contrast) in comparisons.iter_mut().zip(&contrasts) {
            let units: f64 = contrast.parts.iter().map(|part| part.units).sum();
            pair.p_smallest = (2.0_f64.powf(1.0 - units)).max(1.0 / all as f64).min(1.0);
            pair.testable = pair.p_smallest < alpha;
        }
        let tested: Vec<usize> = (0..comparisons.len()).filter(|&pair| comparisons[pair].testable).collect();
        let of_tested: Vec<Contrast> = tested.iter().map(|&pair| contrasts[pair].clone()).collect();
        let flipped = flips::test(&strata, &of_tested, options.level, (options.draws, options.seed));
        for (place, &pair) in tested.iter().enumerate() {
            let comparison = &mut comparisons[pair];
            // Scenes that only one of them has add to the estimate, and are no evidence of the pair's own.
            comparison.p = flipped.p[place].max(comparison.p_smallest);
            let p_corrected = flipped.p_corrected[place].max(comparison.p);
            comparison.p_corrected = Some(p_corrected);
            // Equal adjusted scores do not differ, whatever the draws.
            comparison.significant = p_corrected < alpha && comparison.difference.value > 0.0;
            let Some(of) = self.error(comparison.first, comparison.second) else { continue };
            let critical = match contrasts[pair].statistic {
                Statistic::Difference { deviation } => flipped.critical * deviation / self.bases.len() as f64,
                Statistic::T { freedom } => t_of_deviate(flipped.critical, freedom) * of.error,
            };
            comparison.detectable = Some(critical + power_quantile(of.freedom) * of.error);
        }
        let others: Vec<usize> = (0..comparisons.len()).filter(|&pair| !comparisons[pair].testable).collect();
        let of_others: Vec<Contrast> = others.iter().map(|&pair| contrasts[pair].clone()).collect();
        let flipped = flips::test(&strata, &of_others, options.level, (options.draws, options.seed));
        for (&pair, p) in others.iter().zip(flipped.p) {
            comparisons[pair].p = p.max(comparisons[pair].p_smallest);
        }
    }

    fn contrast(&self, first: usize, second: usize, test: Test) -> Contrast {
        let mut parts = Vec::with_capacity(self.bases.len());
        let mut variance = 0.0;
        for basis in self.bases {
            let (pair, sign) = basis.pair(first, second);
            let (a, b) =
                if sign > 0.0 { (pair.part.first, pair.part.second) } else { (pair.part.second, pair.part.first) };
            parts.push(Part { first: a, second: b, difference: sign * pair.part.difference, ..pair.part });
            variance += basis.variance * pair.factor;
        }
        let freedom = parts.iter().map(|part| part.units - 1.0).sum::<f64>().max(1.0);
        let statistic = match test {
            Test::MaxT => Statistic::T { freedom },
            // Without any deviation all differences are 0: what they are divided by does not matter.
            _ => Statistic::Difference { deviation: if variance > 0.0 { variance.sqrt() } else { 1.0 } },
        };
        Contrast { parts, statistic }
    }

    /// Of the difference; None where a data set has fewer than two common scenes.
    fn error(&self, first: usize, second: usize) -> Option<StandardError> {
        let weight = 1.0 / self.bases.len() as f64;
        let errors = self.bases.iter().map(|basis| basis.pair(first, second).0.error.map(|of| (weight, of)));
        let errors: Vec<(f64, StandardError)> = errors.collect::<Option<_>>()?;
        Some(combined(errors.iter().copied())).filter(|of| of.error > 0.0)
    }

    fn test_signed_ranks(&self, comparisons: &mut [Comparison], options: &RankOptions) {
        let alpha = 1.0 - options.level;
        for pair in comparisons.iter_mut() {
            let bases = self.bases.iter();
            let parts: Vec<&Paired> = bases
                .map(|basis| &basis.pair(pair.first, pair.second).0.paired)
                .filter(|paired| paired.scenes > 0)
                .collect();
            (pair.p, pair.p_smallest) = signed_rank_p(&parts, pair.rank_biserial.unwrap_or(0.0));
        }
        let smallest: Vec<f64> = comparisons.iter().map(|pair| pair.p_smallest).collect();
        let testable = testable(&smallest, alpha);
        let tested: Vec<usize> = (0..comparisons.len()).filter(|&pair| testable[pair]).collect();
        let corrected = holm(&tested.iter().map(|&pair| comparisons[pair].p).collect::<Vec<_>>());
        for (&pair, p) in tested.iter().zip(corrected) {
            let comparison = &mut comparisons[pair];
            comparison.testable = true;
            comparison.p_corrected = Some(p);
            // Ranks and adjusted scores may disagree about who is better: then neither is.
            let agree = comparison.rank_biserial.unwrap_or(0.0) > 0.0 && comparison.difference.value > 0.0;
            comparison.significant = p < alpha && agree;
            let of = self.error(comparison.first, comparison.second);
            comparison.detectable = of.map(|of| detectable(of, alpha / tested.len() as f64));
        }
    }
}

/// Of the mean of the data sets' rank-biserial correlations: of one data set its own p, of several by the normal distribution. And
/// the smallest p that so many scenes can give.
fn signed_rank_p(parts: &[&Paired], effect: f64) -> (f64, f64) {
    let normal = |z: f64| libm::erfc(z.abs() / std::f64::consts::SQRT_2);
    match parts {
        [] => (1.0, 1.0),
        [alone] => (alone.signed.p(), 2.0_f64.powf(1.0 - alone.scenes as f64).min(1.0)),
        _ => {
            let variance: f64 = parts.iter().map(|of| of.signed.effect_deviation.powi(2)).sum();
            let deviation = variance.sqrt() / parts.len() as f64;
            if deviation > 0.0 { (normal(effect / deviation), normal(1.0 / deviation)) } else { (1.0, 1.0) }
        }
    }
}

/// Adds the tests of equivalence to the pairs that have an interval.
fn equate(comparisons: &mut [Comparison], margin: f64) {
    let error = |pair: &Comparison| {
        pair.difference.interval.ok().map(|interval| StandardError { error: interval.error, freedom: interval.freedom })
    };
    let with: Vec<usize> = (0..comparisons.len()).filter(|&pair| error(&comparisons[pair]).is_some()).collect();
    let p: Vec<f64> = (with.iter())
        .filter_map(|&pair| {
            error(&comparisons[pair]).map(|of| equivalence_p(comparisons[pair].difference.value, of, margin))
        })
        .collect();
    for ((&pair, &p), p_corrected) in with.iter().zip(&p).zip(holm(&p)) {
        comparisons[pair].equivalence = Some(Equivalence { margin, p, p_corrected });
    }
}

/// The mean over data sets, with the sum of their variances and Satterthwaite's degrees of freedom.
fn mean_of(estimates: &[Estimate], level: f64) -> Estimate {
    if let [alone] = estimates {
        return *alone;
    }
    let weight = 1.0 / estimates.len() as f64;
    let value = estimates.iter().map(|estimate| estimate.value).sum::<f64>() * weight;
    let errors: Result<Vec<(f64, StandardError)>, NoInterval> = (estimates.iter())
        .map(|estimate| match estimate.interval {
            Ok(of) => Ok((weight, StandardError { error: of.error, freedom: of.freedom })),
            Err(_) => Err(NoInterval::MissingInDataset),
        })
        .collect();
    let interval = errors.map(|errors| {
        let of = combined(errors.iter().copied());
        Interval::student(value, of, Scale::Plain, level, IntervalMethod::StudentT)
    });
    Estimate { value, interval }
}

/// Of `ranked`, best first.
fn ranks(ranked: &[usize], comparisons: &[Comparison]) -> Vec<Rank> {
    let groups = letters(ranked, comparisons);
    let rank = |(place, (&number, groups)): (usize, (&usize, String))| {
        let significant = || comparisons.iter().filter(|pair| pair.significant);
        let mut own = comparisons.iter().filter(|pair| pair.first == number || pair.second == number);
        Rank {
            rank: place as u32 + 1,
            best: 1 + significant().filter(|pair| pair.second == number).count() as u32,
            worst: ranked.len() as u32 - significant().filter(|pair| pair.first == number).count() as u32,
            groups,
            testable: ranked.len() == 1 || own.any(|pair| pair.testable),
        }
    };
    ranked.iter().zip(groups).enumerate().map(rank).collect()
}

#[cfg(test)]
mod tests;
