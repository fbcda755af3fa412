//! Which differences are more than chance: the signs of scenes' deviations are flipped, all algorithms' of a scene together, and
//! the largest statistic of all pairs is taken (step-down: Westfall and Young 1993, algorithm 2.8). Were two algorithms equal,
//! a scene's difference would be as likely as its negative; that the deviations are symmetric is the test's assumption. Pure.
//!
//! All flips are counted out where they are few, and drawn from a seed elsewhere. A flip costs algorithms times units and pairs.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// As many flips as draws or fewer are counted out: that is up to 14 scenes.
const UNITS_COUNTED_OUT_MAX: usize = 14;

/// Statistics that are equal but for rounding count as equal.
const TOLERANCE: f64 = 1e-9;

/// The scenes of one data set, or blocks of them.
#[derive(Clone, Debug)]
pub(super) struct Stratum {
    /// Columns of `contributions`.
    pub(super) algorithms: usize,
    /// Scenes, or blocks of scenes that are flipped together.
    pub(super) units: usize,
    /// (units, algorithms): what a unit adds to the algorithms' estimates.
    pub(super) contributions: Vec<f64>,
    /// (algorithms, words): in which units an algorithm has a score, as bits; None where each has one in each.
    pub(super) presence: Option<Vec<u64>>,
}

impl Stratum {
    pub(super) fn words(&self) -> usize {
        self.units.div_ceil(64)
    }

    /// Whether an algorithm has a score in a unit.
    pub(super) fn has(&self, unit: usize, algorithm: usize) -> bool {
        let word = |presence: &Vec<u64>| presence[algorithm * self.words() + unit / 64];
        self.presence.as_ref().is_none_or(|presence| word(presence) >> (unit % 64) & 1 == 1)
    }

    /// Units in which both have a score.
    pub(super) fn common(&self, first: usize, second: usize) -> usize {
        self.presence.as_ref().map_or(self.units, |presence| {
            let words = self.words();
            let of = |algorithm: usize| &presence[algorithm * words..][..words];
            of(first).iter().zip(of(second)).map(|(a, b)| (a & b).count_ones() as usize).sum()
        })
    }
}

/// A pair's part in one stratum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Columns of the stratum.
    pub(super) first: usize,
    pub(super) second: usize,
    /// Of the estimates.
    pub(super) difference: f64,
    /// Units in which both have a score.
    pub(super) units: f64,
    /// Of what the units contribute to the difference.
    pub(super) sum_of_squares: f64,
}

/// How a pair's difference is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statistic {
    /// By what it would vary by if all algorithms' deviations had one variance: this, which flips do not change.
    Difference { deviation: f64 },
    /// By its own standard error: Student's t with these degrees of freedom, as a normal deviate, so that pairs over few scenes
    /// with their longer tails do not outweigh the others.
    T { freedom: f64 },
}

/// A pair in all strata.
#[derive(Clone, Debug)]
pub(super) struct Contrast {
    /// In the strata's order.
    pub(super) parts: Vec<Part>,
    pub(super) statistic: Statistic,
}

/// What the flips say.
#[derive(Clone, Debug)]
pub(super) struct Flipped {
    /// Of each contrast alone, two-sided.
    pub(super) p: Vec<f64>,
    /// Corrected for all contrasts.
    pub(super) p_corrected: Vec<f64>,
    /// What the statistic of a contrast must exceed to be significant among all of them, were all algorithms equal: the flips are
    /// of what is left of the contributions without the differences that were seen.
    pub(super) critical: f64,
}

impl Contrast {
    /// Of differences in the strata; `centered`: of flips without what was seen.
    fn value(&self, differences: impl Iterator<Item = f64>, is_centered: bool) -> f64 {
        match self.statistic {
            Statistic::Difference { deviation } => differences.sum::<f64>().abs() / deviation,
            Statistic::T { freedom } => {
                let (mut sum, mut variance) = (0.0, 0.0);
                for (part, difference) in self.parts.iter().zip(differences) {
                    let n = part.units.max(2.0);
                    let seen = if is_centered { part.difference * part.difference / n } else { 0.0 };
                    let squares = part.sum_of_squares - seen - difference * difference / n;
                    // Equal differences have no spread: the statistic is very large, not infinite.
                    variance += n / (n - 1.0) * squares.max(1e-12 * part.sum_of_squares);
                    sum += difference;
                }
                let t_squared = if variance > 0.0 { sum * sum / variance } else { 0.0 };
                deviate(t_squared, freedom)
            }
        }
    }

    fn observed(&self) -> f64 {
        self.value(self.parts.iter().map(|part| part.difference), false)
    }
}

/// The normal deviate of the same tail (Wallace 1959).
fn deviate(t_squared: f64, freedom: f64) -> f64 {
    (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * (freedom * (t_squared / freedom).ln_1p()).sqrt()
}

/// The t that has this deviate.
pub(super) fn t_of_deviate(deviate: f64, freedom: f64) -> f64 {
    let plain = deviate * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0);
    (freedom * (plain * plain / freedom).exp_m1()).sqrt()
}

/// How many flips there are of so many units, that of no sign among them; the test's smallest p is no less than 1 in these.
pub(super) fn flips(units: usize, draws: u32) -> u64 {
    if units <= UNITS_COUNTED_OUT_MAX { 1 << units.saturating_sub(1) } else { u64::from(draws) + 1 }
}

/// Tests all contrasts together.
pub(super) fn test(strata: &[&Stratum], contrasts: &[Contrast], level: f64, (draws, seed): (u32, u64)) -> Flipped {
    let observed: Vec<f64> = contrasts.iter().map(Contrast::observed).collect();
    let mut order: Vec<usize> = (0..contrasts.len()).collect();
    order.sort_by(|&a, &b| observed[b].total_cmp(&observed[a]));
    if contrasts.is_empty() {
        return Flipped { p: Vec::new(), p_corrected: Vec::new(), critical: f64::INFINITY };
    }
    let units: usize = strata.iter().map(|stratum| stratum.units).sum();
    let count = flips(units, draws);
    let chunks = count.div_ceil(128);
    let tally = |chunk: u64| {
        let mut tally = Tally::new(contrasts.len());
        let mut scratch = Scratch::new(strata);
        for flip in chunk * 128..(chunk * 128 + 128).min(count) {
            scratch.draw(strata, flip, units, seed);
            scratch.fill(strata, contrasts);
            tally.add(&scratch, &observed, &order);
        }
        tally
    };
    let tally = (0..chunks).into_par_iter().map(tally).reduce(|| Tally::new(contrasts.len()), Tally::merge);
    let count_of_flips = count as f64;
    let share = |&count: &u32| f64::from(count) / count_of_flips;
    let mut p_corrected = vec![1.0; contrasts.len()];
    let mut before = 0.0_f64;
    for &pair in &order {
        before = before.max(share(&tally.as_large_in_rest[pair]));
        p_corrected[pair] = before;
    }
    let mut maxima = tally.maxima;
    maxima.sort_unstable_by(|a, b| b.total_cmp(a));
    let place = (maxima.len() as f64 * (1.0 - level) + 1e-9) as usize;
    let critical = maxima.get(place.min(maxima.len().saturating_sub(1))).copied().unwrap_or(f64::INFINITY);
    let p = tally.as_large.iter().map(share).collect();
    Flipped { p, p_corrected, critical }
}

/// Counts over flips.
struct Tally {
    /// Flips in which a contrast's statistic is as large as it was.
    as_large: Vec<u32>,
    /// Flips in which its own or that of a contrast that was smaller is as large.
    as_large_in_rest: Vec<u32>,
    /// The largest statistic of each flip without what was seen.
    maxima: Vec<f64>,
}

impl Tally {
    fn new(contrasts: usize) -> Tally {
        Tally { as_large: vec![0; contrasts], as_large_in_rest: vec![0; contrasts], maxima: Vec::new() }
    }

    fn add(&mut self, flip: &Scratch, observed: &[f64], order: &[usize]) {
        let mut largest = 0.0_f64;
        for &pair in order.iter().rev() {
            let least = observed[pair] * (1.0 - TOLERANCE);
            largest = largest.max(flip.statistics[pair]);
            self.as_large[pair] += u32::from(flip.statistics[pair] >= least);
            self.as_large_in_rest[pair] += u32::from(largest >= least);
        }
        self.maxima.push(flip.largest_centered);
    }

    fn merge(mut self, other: Tally) -> Tally {
        for (sum, more) in [(&mut self.as_large, other.as_large), (&mut self.as_large_in_rest, other.as_large_in_rest)]
        {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.maxima.extend(other.maxima);
        self
    }
}

/// A flip's signs and sums, for each stratum.
struct Scratch {
    /// Bits of units whose sign is turned.
    turned: Vec<Vec<u64>>,
    /// Their number.
    turned_units: Vec<u32>,
    /// Of the contributions with their signs.
    sums: Vec<Vec<f64>>,
    /// Of the contrasts.
    statistics: Vec<f64>,
    /// The largest statistic without the differences that were seen.
    largest_centered: f64,
}

impl Scratch {
    fn new(strata: &[&Stratum]) -> Scratch {
        Scratch {
            turned: strata.iter().map(|stratum| vec![0; stratum.words()]).collect(),
            turned_units: vec![0; strata.len()],
            sums: strata.iter().map(|stratum| vec![0.0; stratum.algorithms]).collect(),
            statistics: Vec::new(),
            largest_centered: 0.0,
        }
    }

    /// Flip 0 turns nothing. Where all are counted out, the last unit keeps its sign: statistics are the same with all turned.
    fn draw(&mut self, strata: &[&Stratum], flip: u64, units: usize, seed: u64) {
        let is_counted = units <= UNITS_COUNTED_OUT_MAX;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(flip);
        let mut left = flip;
        for ((stratum, turned), sums) in strata.iter().zip(&mut self.turned).zip(&mut self.sums) {
            for (word, bits) in turned.iter_mut().enumerate() {
                let here = (stratum.units - word * 64).min(64);
                let mask = if here == 64 { u64::MAX } else { (1 << here) - 1 };
                *bits = match (is_counted, flip) {
                    (true, _) => left & mask,
                    (false, 0) => 0,
                    (false, _) => random.next_u64() & mask,
                };
                left = if here == 64 { 0 } else { left >> here };
            }
            sums.fill(0.0);
            for (unit, contributions) in stratum.contributions.chunks(stratum.algorithms.max(1)).enumerate() {
                let sign = if turned[unit / 64] >> (unit % 64) & 1 == 1 { -1.0 } else { 1.0 };
                sums.iter_mut().zip(contributions).for_each(|(sum, contribution)| *sum += sign * contribution);
            }
        }
    }

    fn fill(&mut self, strata: &[&Stratum], contrasts: &[Contrast]) {
        self.statistics.clear();
        self.largest_centered = 0.0;
        for (units, turned) in self.turned_units.iter_mut().zip(&self.turned) {
            *units = turned.iter().map(|turned| turned.count_ones()).sum();
        }
        let mut parts = Vec::new();
        for contrast in contrasts {
            // Of each stratum: the flipped sum without what was seen, and what was seen with its signs.
            parts.clear();
            parts.extend(contrast.parts.iter().enumerate().map(|(place, part)| {
                let sum = self.sums[place][part.first] - self.sums[place][part.second];
                let seen = self.seen(strata[place], place, part);
                if strata[place].presence.is_some() { (sum, seen) } else { (sum - seen, seen) }
            }));
            let centered = contrast.value(parts.iter().map(|(rest, _)| *rest), true);
            let statistic = contrast.value(parts.iter().map(|(rest, seen)| rest + seen), false);
            self.largest_centered = self.largest_centered.max(centered);
            self.statistics.push(statistic);
        }
    }

    /// The difference that was seen lies in equal shares on the units that both have: with the units' signs.
    fn seen(&self, stratum: &Stratum, place: usize, part: &Part) -> f64 {
        let turned = &self.turned[place];
        let count: u32 = match &stratum.presence {
            None => self.turned_units[place],
            Some(presence) => {
                let words = stratum.words();
                let of = |algorithm: usize| &presence[algorithm * words..][..words];
                let both = of(part.first).iter().zip(of(part.second)).zip(turned);
                both.map(|((a, b), turned)| (a & b & turned).count_ones()).sum()
            }
        };
        if part.units > 0.0 { part.difference * (1.0 - 2.0 * f64::from(count) / part.units) } else { 0.0 }
    }
}
