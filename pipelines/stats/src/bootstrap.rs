//! How sure a number is: scenes are drawn with replacement, all their rows with them, and the number is taken again.

use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::estimate::{Interval, IntervalMethod, NoInterval};

/// More scenes than this are dealt at random into this many blocks, which are drawn whole. It adds 1.1% of noise to an
/// interval's width, as much as that of 10,000 replicates, and replicates cost the same for any number of scenes.
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
        Bootstrap { replicates: 10_000, seed: 0, level: 0.95 }
    }
}

impl Bootstrap {
    /// Which unit each scene is drawn with, and the number of units: scenes themselves where they are few.
    pub(super) fn units(&self, scenes: usize) -> (Vec<u32>, usize) {
        deal(scenes, UNITS_MAX, self.seed)
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
        random(self.seed, stream)
    }

    /// The interval that holds the middle of the replicates; those without a value are left out.
    ///
    /// # Errors
    /// If fewer than half of the replicates have a value.
    pub(super) fn interval(
        &self,
        replicates: impl Iterator<Item = Option<f64>>,
        units: usize,
        method: IntervalMethod,
    ) -> Result<Interval, NoInterval> {
        let mut values: Vec<f64> = replicates.flatten().collect();
        if values.len() < 2 || values.len() * 2 < self.replicates as usize {
            return Err(NoInterval::Undefined);
        }
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - self.level) / 2.0;
        let (n, mean) = (values.len() as f64, values.iter().sum::<f64>() / values.len() as f64);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        // Of order statistics: the place of a quantile is binomial, so values one standard deviation of it away are one
        // standard error away.
        let places = (n * tail * (1.0 - tail)).sqrt() / (n - 1.0);
        let error_at = |share: f64| (quantile(&values, share + places) - quantile(&values, share - places)) / 2.0;
        Ok(Interval {
            low: quantile(&values, tail),
            high: quantile(&values, 1.0 - tail),
            error: (squares / (n - 1.0)).sqrt(),
            freedom: units as f64 - 1.0,
            monte_carlo_error: Some(error_at(tail).max(error_at(1.0 - tail))),
            method,
        })
    }
}

/// Scenes dealt at random into `most` groups whose sizes differ by one at most, and the number of groups; each scene is one of its
/// own where there are no more.
pub(super) fn deal(scenes: usize, most: usize, seed: u64) -> (Vec<u32>, usize) {
    let mut groups: Vec<u32> = (0..scenes).map(|scene| (scene % most) as u32).collect();
    if scenes > most {
        groups.shuffle(&mut random(seed, u64::MAX));
    }
    (groups, scenes.min(most))
}

pub(super) fn random(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(stream);
    random
}

/// Between the two nearest of `sorted`, by their distances.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
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
    fn more_draws_have_a_smaller_error() {
        let of = |draws: u32| {
            let bootstrap = Bootstrap { replicates: draws, ..Bootstrap::default() };
            let values = (0..draws).map(|draw| Some(f64::from(draw * 7919 % draws) / f64::from(draws)));
            bootstrap.interval(values, 9, IntervalMethod::Bootstrap).unwrap().monte_carlo_error.unwrap()
        };
        // Of a uniform distribution: sqrt(0.025 * 0.975 / draws).
        assert!((of(1000) - 0.004937).abs() < 1e-4 && (of(4000) / of(1000) - 0.5).abs() < 0.02, "{}", of(1000));
    }

    #[test]
    fn an_interval_needs_a_value_in_most_replicates() {
        let bootstrap = Bootstrap { replicates: 4, ..Bootstrap::default() };
        let of = |values: [Option<f64>; 4]| bootstrap.interval(values.into_iter(), 9, IntervalMethod::Bootstrap);
        assert_eq!(of([Some(1.0), None, None, None]), Err(NoInterval::Undefined));
        assert_eq!(of([Some(1.0), Some(1.0), None, None]).unwrap().low, 1.0);
    }
}
