//! The sign-flip test of all pairwise differences: the signs of the scenes' deviations are flipped at random, those of
//! all algorithms of a scene together, and each difference is compared with the largest statistic of all pairs in each
//! flip (step-down: Westfall and Young 1993, algorithm 2.8). If two algorithms are equal, a scene's difference is as
//! likely as its negative; the test assumes that the deviations are symmetric.
//!
//! All flips are enumerated if there are few, and otherwise drawn from a seed. The time of a flip is proportional to
//! algorithms times units plus pairs.

use rand::RngCore;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::scene_groups::stream_rng;
use crate::student_t::normal_deviate;

/// Up to this many units, all flips are enumerated, which are no more than the draws otherwise.
const UNITS_ENUMERATED_MAX: usize = 14;

/// Statistics count as equal if they differ by this share of their value, which is rounding.
const TOLERANCE: f64 = 1e-9;

/// The number of flips that a thread tallies at a time.
const CHUNK: u64 = 128;

/// The scenes of one data set, or blocks of them.
#[derive(Clone, Debug)]
pub(super) struct Stratum {
    /// The number of columns of `contributions`.
    pub(super) algorithms: usize,
    /// The number of scenes, or of blocks of scenes, that are flipped together.
    pub(super) units: usize,
    /// (units, algorithms): what a unit adds to the algorithms' estimates.
    pub(super) contributions: Vec<f64>,
    /// (algorithms, words): a bit for each unit in which the algorithm has a score; `None` if no score is missing.
    pub(super) presence: Option<Vec<u64>>,
}

impl Stratum {
    fn words(&self) -> usize {
        self.units.div_ceil(64)
    }

    /// Returns whether an algorithm has a score in a unit.
    pub(super) fn has_score(&self, unit: usize, algorithm: usize) -> bool {
        let word = |presence: &Vec<u64>| presence[algorithm * self.words() + unit / 64];
        self.presence.as_ref().is_none_or(|presence| word(presence) >> (unit % 64) & 1 == 1)
    }

    /// Returns the number of units in which both algorithms have a score.
    pub(super) fn common_units(&self, first: usize, second: usize) -> usize {
        self.presence.as_ref().map_or(self.units, |presence| {
            let words = self.words();
            let bits = |algorithm: usize| &presence[algorithm * words..][..words];
            bits(first).iter().zip(bits(second)).map(|(a, b)| (a & b).count_ones() as usize).sum()
        })
    }
}

/// A pair of algorithms in one stratum.
#[derive(Clone, Copy, Debug)]
pub(super) struct StratumPair {
    /// The column of the first algorithm.
    pub(super) first: usize,
    /// The column of the second algorithm.
    pub(super) second: usize,
    /// The difference of the estimates.
    pub(super) difference: f64,
    /// The number of units in which both have a score.
    pub(super) units: f64,
    /// The sum of squares of what the units contribute to the difference.
    pub(super) sum_of_squares: f64,
}

/// The statistic of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statistic {
    /// The difference divided by its standard deviation if the deviations of all algorithms had the same variance.
    /// Flips do not change this standard deviation.
    Difference { deviation: f64 },
    /// Student's t with these degrees of freedom, as a normal deviate: so that pairs over few scenes, whose t has
    /// longer tails, do not outweigh the others.
    T { degrees_of_freedom: f64 },
}

/// A pair of algorithms in all strata.
#[derive(Clone, Debug)]
pub(super) struct Contrast {
    /// The pair in each stratum.
    pub(super) pairs: Vec<StratumPair>,
    pub(super) statistic: Statistic,
}

/// The number of random flips and their seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draws {
    pub(super) count: u32,
    pub(super) seed: u64,
}

/// The result of the test.
#[derive(Clone, Debug)]
pub(super) struct FlipTest {
    /// (contrasts): the two-sided p-values without correction.
    pub(super) p: Vec<f64>,
    /// (contrasts): the p-values corrected for all contrasts.
    pub(super) p_corrected: Vec<f64>,
    /// The statistic that a contrast must exceed to be significant among all of them if all algorithms are equal: flips
    /// of the contributions without the observed differences.
    pub(super) critical: f64,
}

impl Contrast {
    /// Returns the statistic for the given differences in the strata. `is_centred` says that they were flipped without
    /// the observed differences.
    fn statistic(&self, differences: impl Iterator<Item = f64>, is_centred: bool) -> f64 {
        match self.statistic {
            Statistic::Difference { deviation } => differences.sum::<f64>().abs() / deviation,
            Statistic::T { degrees_of_freedom } => {
                let (mut sum, mut variance) = (0.0, 0.0);
                for (pair, difference) in self.pairs.iter().zip(differences) {
                    let n = pair.units.max(2.0);
                    let observed = if is_centred { pair.difference * pair.difference / n } else { 0.0 };
                    let squares = pair.sum_of_squares - observed - difference * difference / n;
                    // Equal differences have no spread: the statistic is then very large instead of infinite.
                    variance += n / (n - 1.0) * squares.max(1e-12 * pair.sum_of_squares);
                    sum += difference;
                }
                let t_squared = if variance > 0.0 { sum * sum / variance } else { 0.0 };
                normal_deviate(t_squared, degrees_of_freedom)
            }
        }
    }

    fn observed_statistic(&self) -> f64 {
        self.statistic(self.pairs.iter().map(|pair| pair.difference), false)
    }
}

/// Returns the number of flips of this many units, including the one that flips nothing. The smallest possible p-value
/// is its inverse.
pub(super) fn flip_count(units: usize, draws: u32) -> u64 {
    if units <= UNITS_ENUMERATED_MAX { 1 << units.saturating_sub(1) } else { u64::from(draws) + 1 }
}

/// Tests all contrasts together. `level` is 1 less the significance level.
pub(super) fn test_contrasts(strata: &[&Stratum], contrasts: &[Contrast], level: f64, draws: Draws) -> FlipTest {
    let observed: Vec<f64> = contrasts.iter().map(Contrast::observed_statistic).collect();
    let mut order: Vec<usize> = (0..contrasts.len()).collect();
    order.sort_by(|&a, &b| observed[b].total_cmp(&observed[a]));
    if contrasts.is_empty() {
        return FlipTest { p: Vec::new(), p_corrected: Vec::new(), critical: f64::INFINITY };
    }
    let units: usize = strata.iter().map(|stratum| stratum.units).sum();
    let count = flip_count(units, draws.count);
    let tally_chunk = |chunk: u64| {
        let mut tally = Tally::new(contrasts.len());
        let mut flip = Flip::new(strata);
        for number in chunk * CHUNK..(chunk * CHUNK + CHUNK).min(count) {
            flip.draw_signs(strata, number, units, draws.seed);
            flip.compute_statistics(strata, contrasts);
            tally.add(&flip, &observed, &order);
        }
        tally
    };
    let tally = (0..count.div_ceil(CHUNK))
        .into_par_iter()
        .map(tally_chunk)
        .reduce(|| Tally::new(contrasts.len()), Tally::merge);
    tally.into_result(&order, count, level)
}

/// Counts over flips.
struct Tally {
    /// (contrasts): the flips whose statistic of the contrast is at least the observed one.
    as_large: Vec<u32>,
    /// (contrasts): the flips in which the contrast's statistic, or that of a contrast with a smaller observed
    /// statistic, is at least the contrast's observed statistic.
    as_large_in_rest: Vec<u32>,
    /// (flips): the largest centred statistic.
    maxima: Vec<f64>,
}

impl Tally {
    fn new(contrasts: usize) -> Tally {
        Tally { as_large: vec![0; contrasts], as_large_in_rest: vec![0; contrasts], maxima: Vec::new() }
    }

    /// Adds a flip. `order` is the descending order of the observed statistics.
    fn add(&mut self, flip: &Flip, observed: &[f64], order: &[usize]) {
        let mut largest = 0.0_f64;
        for &contrast in order.iter().rev() {
            let least = observed[contrast] * (1.0 - TOLERANCE);
            largest = largest.max(flip.statistics[contrast]);
            self.as_large[contrast] += u32::from(flip.statistics[contrast] >= least);
            self.as_large_in_rest[contrast] += u32::from(largest >= least);
        }
        self.maxima.push(flip.largest_centred);
    }

    fn merge(mut self, other: Tally) -> Tally {
        for (sum, more) in [(&mut self.as_large, other.as_large), (&mut self.as_large_in_rest, other.as_large_in_rest)]
        {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.maxima.extend(other.maxima);
        self
    }

    fn into_result(self, order: &[usize], flips: u64, level: f64) -> FlipTest {
        let flips = flips as f64;
        let share = |&count: &u32| f64::from(count) / flips;
        let mut p_corrected = vec![1.0; order.len()];
        let mut previous = 0.0_f64;
        for &contrast in order {
            previous = previous.max(share(&self.as_large_in_rest[contrast]));
            p_corrected[contrast] = previous;
        }
        let mut maxima = self.maxima;
        maxima.sort_unstable_by(|a, b| b.total_cmp(a));
        let position = (maxima.len() as f64 * (1.0 - level) + 1e-9) as usize;
        let critical = maxima.get(position.min(maxima.len().saturating_sub(1))).copied().unwrap_or(f64::INFINITY);
        FlipTest { p: self.as_large.iter().map(share).collect(), p_corrected, critical }
    }
}

/// The signs of one flip, and its sums and statistics. Threads use it again for each flip.
struct Flip {
    /// (strata, words): a bit for each unit whose sign is flipped.
    flipped: Vec<Vec<u64>>,
    /// (strata): the number of units whose sign is flipped.
    flipped_units: Vec<u32>,
    /// (strata, algorithms): the sums of the contributions with their signs.
    sums: Vec<Vec<f64>>,
    /// (contrasts): the statistics.
    statistics: Vec<f64>,
    /// The largest statistic without the observed differences.
    largest_centred: f64,
}

impl Flip {
    fn new(strata: &[&Stratum]) -> Flip {
        Flip {
            flipped: strata.iter().map(|stratum| vec![0; stratum.words()]).collect(),
            flipped_units: vec![0; strata.len()],
            sums: strata.iter().map(|stratum| vec![0.0; stratum.algorithms]).collect(),
            statistics: Vec::new(),
            largest_centred: 0.0,
        }
    }

    /// Draws the signs of flip `number` and adds up the contributions. Flip 0 flips nothing. If flips are enumerated,
    /// the last unit keeps its sign, because flipping all units does not change the statistics.
    fn draw_signs(&mut self, strata: &[&Stratum], number: u64, units: usize, seed: u64) {
        let is_enumerated = units <= UNITS_ENUMERATED_MAX;
        let mut rng = stream_rng(seed, number);
        let mut remaining_bits = number;
        for ((stratum, flipped), sums) in strata.iter().zip(&mut self.flipped).zip(&mut self.sums) {
            for (word, bits) in flipped.iter_mut().enumerate() {
                let word_units = (stratum.units - word * 64).min(64);
                let mask = if word_units == 64 { u64::MAX } else { (1 << word_units) - 1 };
                *bits = match (is_enumerated, number) {
                    (true, _) => remaining_bits & mask,
                    (false, 0) => 0,
                    (false, _) => rng.next_u64() & mask,
                };
                remaining_bits = if word_units == 64 { 0 } else { remaining_bits >> word_units };
            }
            sums.fill(0.0);
            for (unit, contributions) in stratum.contributions.chunks(stratum.algorithms.max(1)).enumerate() {
                let sign = if flipped[unit / 64] >> (unit % 64) & 1 == 1 { -1.0 } else { 1.0 };
                sums.iter_mut().zip(contributions).for_each(|(sum, contribution)| *sum += sign * contribution);
            }
        }
    }

    fn compute_statistics(&mut self, strata: &[&Stratum], contrasts: &[Contrast]) {
        self.statistics.clear();
        self.largest_centred = 0.0;
        for (units, flipped) in self.flipped_units.iter_mut().zip(&self.flipped) {
            *units = flipped.iter().map(|flipped| flipped.count_ones()).sum();
        }
        let mut sums = Vec::new();
        for contrast in contrasts {
            // For each stratum: the flipped sum without the observed difference, and the flipped observed difference.
            sums.clear();
            sums.extend(contrast.pairs.iter().enumerate().map(|(stratum, pair)| {
                let sum = self.sums[stratum][pair.first] - self.sums[stratum][pair.second];
                let observed = self.flipped_difference(strata[stratum], stratum, pair);
                if strata[stratum].presence.is_some() { (sum, observed) } else { (sum - observed, observed) }
            }));
            let centred = contrast.statistic(sums.iter().map(|(rest, _)| *rest), true);
            let statistic = contrast.statistic(sums.iter().map(|(rest, observed)| rest + observed), false);
            self.largest_centred = self.largest_centred.max(centred);
            self.statistics.push(statistic);
        }
    }

    /// Returns the observed difference with the signs of the units. It is spread evenly over the units in which both
    /// algorithms have a score.
    fn flipped_difference(&self, stratum: &Stratum, index: usize, pair: &StratumPair) -> f64 {
        let flipped = &self.flipped[index];
        let count: u32 = match &stratum.presence {
            None => self.flipped_units[index],
            Some(presence) => {
                let words = stratum.words();
                let bits = |algorithm: usize| &presence[algorithm * words..][..words];
                let both = bits(pair.first).iter().zip(bits(pair.second)).zip(flipped);
                both.map(|((a, b), flipped)| (a & b & flipped).count_ones()).sum()
            }
        };
        if pair.units > 0.0 { pair.difference * (1.0 - 2.0 * f64::from(count) / pair.units) } else { 0.0 }
    }
}
