//! How sure a number is: scenes are drawn with replacement, all their rows with them, and the number is taken again.

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// More scenes than this are dealt at random into this many blocks, which are drawn whole. It adds 1.1% of noise to an
/// interval's width, a quarter of that of 1,000 replicates, and replicates cost the same for any number of scenes.
const UNITS_MAX: usize = 4096;

/// A draw of scenes with replacement, repeated. Each replicate has a seed of its own.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    /// Draws.
    pub replicates: u32,
    /// Of all draws.
    pub seed: u64,
    /// Share of the replicates within an interval: 0.95.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { replicates: 1000, seed: 0, level: 0.95 }
    }
}

/// How a replicate's value was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalMethod {
    /// The measure itself, of the scenes that were drawn.
    Bootstrap,
    /// The measure of all rows, plus what the drawn rows would move it by to first order: for tables that are too large
    /// to be ranked anew in each replicate.
    LinearisedBootstrap,
}

impl IntervalMethod {
    /// As tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            IntervalMethod::Bootstrap => "bootstrap",
            IntervalMethod::LinearisedBootstrap => "linearised_bootstrap",
        }
    }
}

/// From and to a percentile of the replicates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// With a level of 0.95, the 2.5th percentile.
    pub low: f64,
    /// With a level of 0.95, the 97.5th percentile.
    pub high: f64,
    /// How the replicates were come by.
    pub method: IntervalMethod,
}

/// A number and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Of all rows.
    pub value: f64,
    /// None with fewer than two scenes, and where it is not defined in most replicates.
    pub interval: Option<Interval>,
}

impl Bootstrap {
    /// Which unit each scene is drawn with, and the number of units: scenes themselves where they are few.
    pub(super) fn units(&self, scenes: usize) -> (Vec<u32>, usize) {
        let mut units: Vec<u32> = (0..scenes).map(|scene| (scene % UNITS_MAX) as u32).collect();
        if scenes > UNITS_MAX {
            units.shuffle(&mut self.random(u64::MAX));
        }
        (units, scenes.min(UNITS_MAX))
    }

    /// `of` each draw: how many times each of `units` is in it. `S` is memory that a thread's draws share.
    pub(super) fn replicates<S, T: Send>(&self, units: usize, of: impl Fn(&mut S, &[u32]) -> T + Send + Sync) -> Vec<T>
    where
        S: Default + Send,
    {
        // One unit can only be drawn as it is: that says nothing of how sure the number is.
        if units < 2 {
            return Vec::new();
        }
        let uniform = Uniform::new(0, units as u32).expect("there are units");
        let replicate = |(scratch, counts): &mut (S, Vec<u32>), replicate: u32| {
            counts.clear();
            counts.resize(units, 0);
            let mut random = self.random(replicate.into());
            for _ in 0..units {
                counts[uniform.sample(&mut random) as usize] += 1;
            }
            of(scratch, counts)
        };
        (0..self.replicates).into_par_iter().map_init(Default::default, replicate).collect()
    }

    fn random(&self, stream: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(stream);
        random
    }

    /// The interval that holds the middle of the replicates; those without a value are left out.
    pub(super) fn interval(
        &self,
        replicates: impl Iterator<Item = Option<f64>>,
        method: IntervalMethod,
    ) -> Option<Interval> {
        let mut values: Vec<f64> = replicates.flatten().collect();
        if values.is_empty() || values.len() * 2 < self.replicates as usize {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        Some(Interval { low: quantile(&values, tail), high: quantile(&values, 1.0 - tail), method })
    }
}

/// Between the two nearest of `sorted`, by their distances.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_has_as_many_scenes_as_there_are_and_its_own_seed() {
        let bootstrap = Bootstrap { replicates: 50, ..Bootstrap::default() };
        let draws = bootstrap.replicates(100, |(): &mut (), counts: &[u32]| counts.to_vec());
        assert!(draws.iter().all(|counts| counts.iter().sum::<u32>() == 100));
        assert!((1..50).all(|i| draws[i] != draws[i - 1]));
        let other = Bootstrap { seed: 1, ..bootstrap };
        assert_ne!(other.replicates(100, |(): &mut (), counts: &[u32]| counts.to_vec()), draws);
    }

    #[test]
    fn many_scenes_are_dealt_evenly_into_blocks() {
        let (units, len) = Bootstrap::default().units(10_000);
        assert_eq!(len, UNITS_MAX);
        let mut sizes = vec![0; len];
        units.iter().for_each(|&unit| sizes[unit as usize] += 1);
        assert!(sizes.iter().all(|size| (2..=3).contains(size)));
        assert_eq!(Bootstrap::default().units(3), (vec![0, 1, 2], 3));
    }

    #[test]
    fn quantiles_lie_between_values() {
        let values = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(&values, share)), [1.0, 1.5, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn an_interval_needs_a_value_in_most_replicates() {
        let bootstrap = Bootstrap { replicates: 4, ..Bootstrap::default() };
        let of = |values: [Option<f64>; 4]| bootstrap.interval(values.into_iter(), IntervalMethod::Bootstrap);
        assert_eq!(of([Some(1.0), None, None, None]), None);
        assert_eq!(of([Some(1.0), Some(1.0), None, None]).unwrap().low, 1.0);
    }
}
