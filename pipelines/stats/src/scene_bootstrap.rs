//! The cluster bootstrap: scenes are drawn with replacement, each with all of its rows, and the measure is computed
//! again.

use rand::distr::{Distribution, Uniform};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::estimate::{Interval, IntervalMethod, NoInterval};
use crate::scene_groups::{assign_groups, stream_rng};

/// More scenes than this are assigned at random to this many blocks, which are drawn whole. This adds 1.1% of noise to
/// the width of an interval, as much as 10,000 replicates do, and a replicate costs the same for any number of scenes.
const UNITS_MAX: usize = 4096;

/// Parameters of a bootstrap over scenes. Each replicate has its own random stream, so results do not depend on the
/// number of threads.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    /// The number of bootstrap samples.
    pub replicates: u32,
    /// The seed of all samples.
    pub seed: u64,
    /// The nominal coverage of an interval, such as 0.95: the share of the replicates within it.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { replicates: 10_000, seed: 0, level: 0.95 }
    }
}

impl Bootstrap {
    /// Returns the resampling unit of each scene and the number of units. Up to [`UNITS_MAX`] scenes are units
    /// themselves.
    pub(crate) fn resampling_units(&self, scenes: usize) -> (Vec<u32>, usize) {
        assign_groups(scenes, UNITS_MAX, self.seed)
    }

    /// Calls `measure` for each replicate with the number of times that each of `units` was drawn. `S` is a buffer that
    /// the replicates of a thread share.
    pub(crate) fn replicates<S, T: Send>(
        &self,
        units: usize,
        measure: impl Fn(&mut S, &[u32]) -> T + Send + Sync,
    ) -> Vec<T>
    where
        S: Default + Send,
    {
        // A single unit is drawn in every replicate, which says nothing about the uncertainty.
        if units < 2 {
            return Vec::new();
        }
        let uniform = Uniform::new(0, units as u32).expect("there are at least two units");
        let replicate = |(scratch, counts): &mut (S, Vec<u32>), replicate: u32| {
            counts.clear();
            counts.resize(units, 0);
            let mut rng = stream_rng(self.seed, replicate.into());
            for _ in 0..units {
                counts[uniform.sample(&mut rng) as usize] += 1;
            }
            measure(scratch, counts)
        };
        (0..self.replicates).into_par_iter().map_init(Default::default, replicate).collect()
    }

    /// Returns the percentile interval of the replicates. Replicates without a value are left out.
    ///
    /// # Errors
    /// If fewer than half of the replicates have a value.
    pub(crate) fn interval(
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
        // The rank of a quantile among the replicates is binomial: the quantiles one standard deviation of that rank
        // below and above are two standard errors apart.
        let rank_deviation = (n * tail * (1.0 - tail)).sqrt() / (n - 1.0);
        let quantile_error = |probability: f64| {
            let above = sorted_quantile(&values, probability + rank_deviation);
            let below = sorted_quantile(&values, probability - rank_deviation);
            (above - below) / 2.0
        };
        Ok(Interval {
            low: sorted_quantile(&values, tail),
            high: sorted_quantile(&values, 1.0 - tail),
            standard_error: (squares / (n - 1.0)).sqrt(),
            degrees_of_freedom: units as f64 - 1.0,
            monte_carlo_error: Some(quantile_error(tail).max(quantile_error(1.0 - tail))),
            method,
        })
    }
}

/// Returns a quantile of ascending values, interpolated linearly between the two nearest values.
pub(crate) fn sorted_quantile(sorted: &[f64], probability: f64) -> f64 {
    let position = probability.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    low + (high - low) * position.fract()
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
    fn many_scenes_are_assigned_evenly_to_blocks() {
        let (units, len) = Bootstrap::default().resampling_units(10_000);
        assert_eq!(len, UNITS_MAX);
        let mut sizes = vec![0; len];
        units.iter().for_each(|&unit| sizes[unit as usize] += 1);
        assert!(sizes.iter().all(|size| (2..=3).contains(size)));
        assert_eq!(Bootstrap::default().resampling_units(3), (vec![0, 1, 2], 3));
    }

    #[test]
    fn quantiles_lie_between_values() {
        let values = [1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|share| sorted_quantile(&values, share)), [1.0, 1.5, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn more_draws_have_a_smaller_error() {
        let error = |draws: u32| {
            let bootstrap = Bootstrap { replicates: draws, ..Bootstrap::default() };
            let values = (0..draws).map(|draw| Some(f64::from(draw * 7919 % draws) / f64::from(draws)));
            bootstrap.interval(values, 9, IntervalMethod::Bootstrap).unwrap().monte_carlo_error.unwrap()
        };
        // Of a uniform distribution: sqrt(0.025 * 0.975 / draws).
        assert!(
            (error(1000) - 0.004937).abs() < 1e-4 && (error(4000) / error(1000) - 0.5).abs() < 0.02,
            "{}",
            error(1000)
        );
    }

    #[test]
    fn an_interval_needs_a_value_in_most_replicates() {
        let bootstrap = Bootstrap { replicates: 4, ..Bootstrap::default() };
        let interval = |values: [Option<f64>; 4]| bootstrap.interval(values.into_iter(), 9, IntervalMethod::Bootstrap);
        assert_eq!(interval([Some(1.0), None, None, None]), Err(NoInterval::Undefined));
        assert_eq!(interval([Some(1.0), Some(1.0), None, None]).unwrap().low, 1.0);
    }
}
