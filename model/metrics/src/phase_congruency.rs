//! Phase congruency (Kovesi 1999) with the constants of FSIM's `phasecong2`: log-Gabor filters of 4 scales and 4
//! orientations, less the noise that the finest scale shows. The sum of the noise over the filters is taken in the frequency
//! domain (Parseval), where the authors transform each filter.

use std::f64::consts::{LN_2, PI};

use crate::elementary::exponential;
use crate::fourier::{ComplexPlane, Fourier};
use crate::instruction_set::InstructionSet;
use crate::plane::{Plane, sum};

const SCALES: usize = 4;
const ORIENTATIONS: usize = 4;
/// Wavelength of the finest scale in pixels; each next one is twice as long.
const SHORTEST_WAVELENGTH: f64 = 6.0;
/// Deviation of a log-Gabor filter, as a share of its centre frequency.
const BANDWIDTH: f64 = 0.55;
/// Distance of the orientations over the deviation of the angle.
const ORIENTATION_OVERLAP: f64 = 1.2;
/// The low-pass filter before them: cutoff and order (Butterworth).
const CUTOFF: f64 = 0.45;
const ORDER: i32 = 15;
/// The threshold is the mean of the noise and this number of deviations, divided by an empirical 1.7.
const NOISE_DEVIATIONS: f64 = 2.0;
const NOISE_SHARE: f64 = 1.7;
const EPSILON: f64 = 1e-4;

/// The filters of one size.
pub(crate) struct FilterBank {
    instructions: InstructionSet,
    fourier: Fourier,
    width: usize,
    height: usize,
    /// `(height, width)`, frequency 0 first, divided by the number of pixels.
    scales: [Vec<f64>; SCALES],
    orientations: [Orientation; ORIENTATIONS],
}

struct Orientation {
    /// `(height, width)`, frequency 0 first.
    spread: Vec<f64>,
    /// The noise's power over the mean squared response of the finest scale.
    noise_gain: f64,
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
            Orientation { spread, noise_gain }
        });
        let share = 1.0 / (width * height) as f64;
        let scales = scales.map(|scale| scale.into_iter().map(|value| value * share).collect());
        Self { instructions, fourier: Fourier::new(instructions, width, height), width, height, scales, orientations }
    }

    /// Returns the phase congruency of a plane of the filters' size, 0 to 1. Not a number where no filter responds.
    pub(crate) fn phase_congruency(&self, plane: &Plane) -> Plane {
        let pixels = self.width * self.height;
        let spectrum = self.fourier.forward(&ComplexPlane { re: plane.values.clone(), im: vec![0.0; pixels] });
        let mut energy = vec![0.0; pixels];
        let mut amplitude = vec![0.0; pixels];
        for orientation in &self.orientations {
            let responses: [ComplexPlane; SCALES] =
                std::array::from_fn(|scale| self.respond(&spectrum, &self.scales[scale], &orientation.spread));
            let threshold = noise_threshold(&responses[0], orientation.noise_gain);
            self.instructions.run(
                #[inline(always)]
                || add_orientation(&responses, threshold, &mut energy, &mut amplitude),
            );
        }
        for (energy, amplitude) in energy.iter_mut().zip(&amplitude) {
            *energy /= amplitude;
        }
        Plane::new(energy, self.width, self.height)
    }

    /// Returns the response to the even filter (real) and the odd one (imaginary).
    fn respond(&self, spectrum: &ComplexPlane, scale: &[f64], spread: &[f64]) -> ComplexPlane {
        let mut product = spectrum.clone();
        self.instructions.run(
            #[inline(always)]
            || {
                multiply_by(&mut product.re, scale, spread);
                multiply_by(&mut product.im, scale, spread);
            },
        );
        self.fourier.inverse(product)
    }
}

#[inline(always)]
fn multiply_by(values: &mut [f64], scale: &[f64], spread: &[f64]) {
    for ((value, scale), spread) in values.iter_mut().zip(scale).zip(spread) {
        *value *= scale * spread;
    }
}

/// The polar coordinates of each frequency.
struct Frequencies {
    /// Radius in cycles per pixel, 1 at frequency 0.
    radius: Vec<f64>,
    /// Natural logarithm of the radius.
    logarithm: Vec<f64>,
    /// Angle, -pi to pi, upwards.
    angle: Vec<f64>,
}

impl Frequencies {
    /// Computes a quadrant, which the others mirror.
    fn new(width: usize, height: usize) -> Self {
        let pixels = width * height;
        let mut radius = vec![1.0; pixels];
        let mut logarithm = vec![0.0; pixels];
        let mut angle = vec![0.0; pixels];
        for row in 0..=height / 2 {
            for column in 0..=width / 2 {
                let (x, y) = (frequency(column, width), frequency(row, height));
                if row + column == 0 {
                    continue;
                }
                let length = (x * x + y * y).sqrt();
                let (length_logarithm, steepness) = (libm::log(length), libm::atan2(y.abs(), x.abs()));
                for index_y in [row, (height - row) % height] {
                    for index_x in [column, (width - column) % width] {
                        let index = index_y * width + index_x;
                        radius[index] = length;
                        logarithm[index] = length_logarithm;
                        let is_left = frequency(index_x, width) < 0.0;
                        let is_below = frequency(index_y, height) > 0.0;
                        let upwards = if is_left { PI - steepness } else { steepness };
                        angle[index] = if is_below { -upwards } else { upwards };
                    }
                }
            }
        }
        Self { radius, logarithm, angle }
    }

    /// Returns the log-Gabor filters, each after the low-pass filter: Gaussians of `ln r - ln f` with the centre frequency
    /// `f = 1 / (6 2^scale)`.
    #[inline(always)]
    fn scales(&self) -> [Vec<f64>; SCALES] {
        let mut scales: [Vec<f64>; SCALES] = std::array::from_fn(|_| vec![0.0; self.radius.len()]);
        let bandwidth = libm::log(BANDWIDTH);
        let sharpness = 0.5 / (bandwidth * bandwidth);
        let finest = libm::log(SHORTEST_WAVELENGTH);
        for (scale, filter) in scales.iter_mut().enumerate() {
            let offset = finest + scale as f64 * LN_2;
            for ((value, logarithm), radius) in filter.iter_mut().zip(&self.logarithm).zip(&self.radius) {
                let distance = logarithm + offset;
                *value = exponential(-sharpness * distance * distance) * low_pass(*radius);
            }
            filter[0] = 0.0;
        }
        scales
    }

    /// Returns the Gaussian of the angle's distance from a direction.
    #[inline(always)]
    fn spread(&self, direction: f64) -> Vec<f64> {
        let deviation = PI / ORIENTATIONS as f64 / ORIENTATION_OVERLAP;
        let sharpness = 0.5 / (deviation * deviation);
        let mut spread = vec![0.0; self.angle.len()];
        for (value, angle) in spread.iter_mut().zip(&self.angle) {
            let turn = (angle - direction).abs();
            let distance = turn.min(2.0 * PI - turn);
            *value = exponential(-sharpness * distance * distance);
        }
        spread
    }
}

/// Returns the frequency at an index in cycles per pixel. MATLAB's code divides an odd length less one.
fn frequency(index: usize, length: usize) -> f64 {
    let whole = if length.is_multiple_of(2) { length } else { (length - 1).max(1) };
    let signed = if index < length.div_ceil(2) { index as f64 } else { index as f64 - length as f64 };
    signed / whole as f64
}

#[inline(always)]
fn low_pass(radius: f64) -> f64 {
    let square = (radius / CUTOFF) * (radius / CUTOFF);
    let mut power = 1.0;
    for _ in 0..ORDER {
        power *= square;
    }
    1.0 / (1.0 + power)
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

/// Returns the energy that noise reaches in one orientation: the finest responses are mostly noise, whose squares have an
/// exponential distribution with this median; sums of it have a Rayleigh distribution.
fn noise_threshold(finest: &ComplexPlane, noise_gain: f64) -> f64 {
    let squares = finest.re.iter().zip(&finest.im).map(|(even, odd)| even * even + odd * odd).collect();
    let mean_square = median(squares) / LN_2;
    let scale = (mean_square * noise_gain).sqrt();
    let (mean, deviation) = ((PI / 2.0).sqrt(), (2.0 - PI / 2.0).sqrt());
    scale * (mean + NOISE_DEVIATIONS * deviation) / NOISE_SHARE
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if !is_even {
        return *upper;
    }
    let lower = below.iter().copied().fold(0.0, f64::max);
    0.5 * (lower + *upper)
}

/// Adds the energy of one orientation above the threshold, and the sum of its amplitudes.
#[inline(always)]
fn add_orientation(responses: &[ComplexPlane; SCALES], threshold: f64, energy: &mut [f64], amplitude: &mut [f64]) {
    let pixels = energy.len();
    let even = responses.each_ref().map(|response| &response.re[..pixels]);
    let odd = responses.each_ref().map(|response| &response.im[..pixels]);
    let amplitude = &mut amplitude[..pixels];
    for x in 0..pixels {
        let (mut even_sum, mut odd_sum, mut amplitude_sum) = (0.0, 0.0, 0.0);
        for scale in 0..SCALES {
            even_sum += even[scale][x];
            odd_sum += odd[scale][x];
            amplitude_sum += (even[scale][x] * even[scale][x] + odd[scale][x] * odd[scale][x]).sqrt();
        }
        let length = (even_sum * even_sum + odd_sum * odd_sum).sqrt() + EPSILON;
        let (mean_even, mean_odd) = (even_sum / length, odd_sum / length);
        let mut congruent = 0.0;
        for scale in 0..SCALES {
            let (even, odd) = (even[scale][x], odd[scale][x]);
            congruent += even * mean_even + odd * mean_odd - (even * mean_odd - odd * mean_even).abs();
        }
        energy[x] += (congruent - threshold).max(0.0);
        amplitude[x] += amplitude_sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_middle_of_two() {
        assert_eq!(median(vec![9.0, 1.0, 4.0, 2.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0, 4.0]), 4.0);
    }

    #[test]
    fn frequencies_are_those_of_matlab() {
        assert_eq!([0, 1, 2, 3].map(|index| frequency(index, 4)), [0.0, 0.25, -0.5, -0.25]);
        assert_eq!([0, 1, 2, 3, 4].map(|index| frequency(index, 5)), [0.0, 0.25, 0.5, -0.5, -0.25]);
    }

    #[test]
    fn angles_go_upwards() {
        let angles = Frequencies::new(4, 4).angle;
        let degrees: Vec<f64> = angles.iter().map(|angle| angle.to_degrees().round()).collect();
        // Rows: y = 0, 1/4 (downwards), -1/2, -1/4; columns: x = 0, 1/4, -1/2, -1/4.
        assert_eq!(degrees[..4], [0.0, 0.0, 180.0, 180.0]);
        assert_eq!(degrees[4..8], [-90.0, -45.0, -153.0, -135.0]);
        assert_eq!(degrees[12..], [90.0, 45.0, 153.0, 135.0]);
    }

    /// At an edge the phases of all scales agree, a few pixels beside it they do not.
    #[test]
    fn a_step_is_congruent_at_its_edge() {
        let values = (0..64 * 64).map(|i| if (16..48).contains(&(i % 64)) { 200.0 } else { 50.0 }).collect();
        let found = FilterBank::new(InstructionSet::detect(), 64, 64).phase_congruency(&Plane::new(values, 64, 64));
        assert!(found.row(30)[16] > 0.75 && found.row(30)[15] > 0.75, "{:?}", found.row(30));
        assert!(found.row(30)[24] < 0.25, "{:?}", found.row(30));
    }
}
