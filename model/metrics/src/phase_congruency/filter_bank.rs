//! The filters of phase congruency for planes of one size, and the share of noise that passes them. Building them takes as
//! long as a third of their use, so that the bank of the last size is kept.

use std::f64::consts::PI;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::frequencies::{Frequencies, ORIENTATIONS, SCALES};
use crate::fourier::{Fourier, Lanes, transposed_strips};
use crate::instruction_set::InstructionSet;
use crate::plane::{Plane, sum};

/// The filters for planes of one size.
pub(crate) struct FilterBank {
    pub(super) instructions: InstructionSet,
    pub(super) fourier: Fourier,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) orientations: [Orientation; ORIENTATIONS],
}

/// The filters of one orientation.
pub(super) struct Orientation {
    /// For each scale, in the strips of a spectrum, divided by the number of pixels.
    pub(super) filters: [Vec<Lanes>; SCALES],
    /// The noise's power over the mean squared response of the finest scale.
    pub(super) noise_gain: f64,
}

impl FilterBank {
    pub(crate) fn new(instructions: InstructionSet, width: usize, height: usize) -> Self {
        let frequencies = Frequencies::new(width, height);
        let scales = instructions.run(
            #[inline(always)]
            || frequencies.scales(),
        );
        let orientations = std::array::from_fn(|index| {
            let spread = instructions.run(
                #[inline(always)]
                || frequencies.spread(index as f64 * PI / ORIENTATIONS as f64),
            );
            let noise_gain = instructions.run(
                #[inline(always)]
                || noise_gain(&scales, &spread, width),
            );
            let filters = scales.each_ref().map(|scale| filter(scale, &spread, width, height));
            Orientation { filters, noise_gain }
        });
        Self { instructions, fourier: Fourier::new(instructions, width, height), width, height, orientations }
    }
}

/// Returns the product of both parts of a filter, divided by the number of pixels, in the strips of a spectrum.
fn filter(scale: &[f64], spread: &[f64], width: usize, height: usize) -> Vec<Lanes> {
    let share = 1.0 / (width * height) as f64;
    let product = scale.iter().zip(spread).map(|(scale, spread)| scale * share * spread).collect();
    transposed_strips(&Plane::new(product, width, height))
}

/// Keeps the filters of the size that was last asked for: the pictures of a data set mostly have one size.
#[derive(Default)]
pub(crate) struct FilterCache(Mutex<Option<Arc<FilterBank>>>);

impl FilterCache {
    /// Returns the filters for planes of this size, from the cache if they are there. One cache has one instruction set.
    pub(crate) fn get(&self, instructions: InstructionSet, width: usize, height: usize) -> Arc<FilterBank> {
        let last = || self.0.lock().expect("no thread panics with the lock");
        let kept = last().clone().filter(|bank| (bank.width, bank.height) == (width, height));
        kept.unwrap_or_else(|| {
            // Built without the lock, so that a thread with the old size does not wait.
            let bank = Arc::new(FilterBank::new(instructions, width, height));
            *last() = Some(Arc::clone(&bank));
            bank
        })
    }
}

impl fmt::Debug for FilterCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterCache").finish_non_exhaustive()
    }
}

/// Returns the sum of squares of the filters' even impulse responses together, over that of the finest filter. The
/// transform of an even response is the even part of the filter.
#[inline(always)]
fn noise_gain(scales: &[Vec<f64>; SCALES], spread: &[f64], width: usize) -> f64 {
    let mut finest = vec![0.0; spread.len()];
    let mut all = vec![0.0; spread.len()];
    for index in 0..spread.len() {
        finest[index] = scales[0][index] * scales[0][index] * spread[index] * spread[index];
        all[index] = (scales[0][index] + scales[1][index] + scales[2][index] + scales[3][index]) * spread[index];
    }
    let height = spread.len() / width;
    let mut squares = vec![0.0; spread.len()];
    for y in 0..height {
        let opposite_row = &all[(height - y) % height * width..][..width];
        for x in 0..width {
            let even = 0.5 * (all[y * width + x] + opposite_row[(width - x) % width]);
            squares[y * width + x] = even * even;
        }
    }
    sum(&squares) / sum(&finest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_the_last_size_are_kept() {
        let (cache, set) = (FilterCache::default(), InstructionSet::detect());
        let first = cache.get(set, 9, 5);
        assert!(Arc::ptr_eq(&first, &cache.get(set, 9, 5)));
        assert_eq!((cache.get(set, 5, 9).width, cache.get(set, 5, 9).height), (5, 9));
        assert!(!Arc::ptr_eq(&first, &cache.get(set, 9, 5)));
    }
}
