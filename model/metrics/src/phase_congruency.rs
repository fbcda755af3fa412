//! Phase congruency (Kovesi 1999) with the constants of FSIM's `phasecong2`: log-Gabor filters of 4 scales and 4
//! orientations, less the noise that the finest scale shows. The sum of the noise over the filters is taken in the frequency
//! domain (Parseval), where the authors transform each filter.

mod filter_bank;
mod frequencies;
mod strip_energy;

use std::f64::consts::{LN_2, PI};

use crate::fourier::{LANES, Lanes, Rows, Workspace};
use crate::plane::Plane;
use filter_bank::Orientation;
pub(crate) use filter_bank::{FilterBank, FilterCache};
use frequencies::SCALES;
use strip_energy::StripEnergy;

/// The threshold is the mean of the noise and this number of deviations, divided by an empirical 1.7.
const NOISE_DEVIATIONS: f64 = 2.0;
const NOISE_SHARE: f64 = 1.7;

impl FilterBank {
    /// Returns the phase congruency of two planes of the filters' size, 0 to 1. Not a number where no filter responds.
    pub(crate) fn phase_congruency(&self, planes: [&Plane; 2]) -> [Plane; 2] {
        let mut workspace = self.fourier.workspace();
        let mut maps = Maps::new(self);
        self.fourier.forward(planes).map(|spectrum| {
            maps.energy.fill(Lanes::ZERO);
            maps.amplitude.fill(Lanes::ZERO);
            for orientation in &self.orientations {
                self.add_orientation(orientation, &spectrum, &mut workspace, &mut maps);
            }
            maps.quotient(self.width, self.height)
        })
    }

    /// Adds the energy of one orientation above the noise, and the sum of its amplitudes.
    fn add_orientation(
        &self,
        orientation: &Orientation,
        spectrum: &Rows,
        workspace: &mut Workspace<SCALES>,
        maps: &mut Maps,
    ) {
        let filters = orientation.filters.each_ref().map(Vec::as_slice);
        self.fourier.inverse_of_products(spectrum, filters, workspace, |index, responses| {
            let rows = index * self.height..(index + 1) * self.height;
            self.instructions.dispatch(StripEnergy {
                responses,
                congruent: &mut maps.congruent[rows.clone()],
                amplitude: &mut maps.amplitude[rows.clone()],
                squares: &mut maps.squares[rows],
            });
        });
        let threshold = noise_threshold(maps.pixel_squares(self.width, self.height), orientation.noise_gain);
        for (energy, congruent) in maps.energy.iter_mut().zip(&maps.congruent) {
            for (energy, congruent) in energy.0.iter_mut().zip(&congruent.0) {
                *energy += (congruent - threshold).max(0.0);
            }
        }
    }
}

/// What is known of each pixel, in strips of columns.
struct Maps {
    /// The energy of the orientations so far, and the sum of their amplitudes.
    energy: Vec<Lanes>,
    amplitude: Vec<Lanes>,
    /// The energy of one orientation, with its noise.
    congruent: Vec<Lanes>,
    /// The squared amplitude of its finest scale.
    squares: Vec<Lanes>,
    /// The same without the lanes beyond the last column.
    pixel_squares: Vec<f64>,
}

impl Maps {
    fn new(filters: &FilterBank) -> Self {
        let zeros = || vec![Lanes::ZERO; filters.width.div_ceil(LANES) * filters.height];
        Self { energy: zeros(), amplitude: zeros(), congruent: zeros(), squares: zeros(), pixel_squares: Vec::new() }
    }

    /// Returns the squares of the pixels, in any order.
    fn pixel_squares(&mut self, width: usize, height: usize) -> &mut [f64] {
        self.pixel_squares.clear();
        for (strip, rows) in self.squares.chunks_exact(height).enumerate() {
            let count = LANES.min(width - strip * LANES);
            for row in rows {
                self.pixel_squares.extend_from_slice(&row.0[..count]);
            }
        }
        &mut self.pixel_squares
    }

    /// Returns the energy over the amplitudes.
    fn quotient(&self, width: usize, height: usize) -> Plane {
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            for left in (0..width).step_by(LANES) {
                let row = left / LANES * height + y;
                let (energy, amplitude) = (&self.energy[row].0, &self.amplitude[row].0);
                let count = LANES.min(width - left);
                values.extend(energy.iter().zip(amplitude).take(count).map(|(energy, amplitude)| energy / amplitude));
            }
        }
        Plane::new(values, width, height)
    }
}

/// Returns the energy that noise reaches in one orientation: the finest responses are mostly noise, whose squares have an
/// exponential distribution with this median; sums of it have a Rayleigh distribution.
fn noise_threshold(squares: &mut [f64], noise_gain: f64) -> f64 {
    let mean_square = median(squares) / LN_2;
    let scale = (mean_square * noise_gain).sqrt();
    let (mean, deviation) = ((PI / 2.0).sqrt(), (2.0 - PI / 2.0).sqrt());
    scale * (mean + NOISE_DEVIATIONS * deviation) / NOISE_SHARE
}

/// Returns the median, and changes the order of the values.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if !is_even {
        return *upper;
    }
    let lower = below.iter().copied().fold(0.0, f64::max);
    0.5 * (lower + *upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction_set::InstructionSet;

    #[test]
    fn the_median_of_an_even_number_is_the_middle_of_two() {
        assert_eq!(median(&mut [9.0, 1.0, 4.0, 2.0]), 3.0);
        assert_eq!(median(&mut [9.0, 1.0, 4.0]), 4.0);
    }

    /// At an edge the phases of all scales agree, a few pixels beside it they do not.
    #[test]
    fn a_step_is_congruent_at_its_edge() {
        let values = (0..64 * 64).map(|i| if (16..48).contains(&(i % 64)) { 200.0 } else { 50.0 }).collect();
        let plane = Plane::new(values, 64, 64);
        let [found, _] = FilterBank::new(InstructionSet::detect(), 64, 64).phase_congruency([&plane, &plane]);
        assert!(found.row(30)[16] > 0.75 && found.row(30)[15] > 0.75, "{:?}", found.row(30));
        assert!(found.row(30)[24] < 0.25, "{:?}", found.row(30));
    }
}
