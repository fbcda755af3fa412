//! Contrast energy: the response of a channel to the second derivative of a Gaussian, in rows and in columns, with a
//! gain that saturates towards the greatest response of the picture, above a threshold of noise.

use crate::fade::patch::{SIDE, mean, patch_at, places};
use crate::plane::{Plane, sum};

/// Number of taps, at -9.75, -8.75, ..., 9.25.
///
/// REFERENCE: the authors' taps are not symmetric.
const TAPS: usize = 20;

/// Rows and columns that are added at each end of the channel.
const MARGIN: usize = 10;

/// Standard deviation of the Gaussian.
const SIGMA: f64 = 3.25;

/// Share of the greatest response at which the gain is half of its greatest.
const SEMISATURATION: f64 = 0.1;

/// Responses up to this are 0.
const LEAST: f64 = 1e-7;

/// The filter, for channels of one size.
pub(super) struct ContrastFilter {
    weights: [f64; TAPS],
    /// A row with its margins.
    padded: Vec<f64>,
    /// The lengths of the vectors of both directions' responses.
    magnitudes: Plane,
}

impl ContrastFilter {
    #[inline(always)]
    pub(super) fn new(width: usize, height: usize) -> Self {
        let magnitudes = Plane::new(vec![0.0; width * height], width, height);
        Self { weights: reversed_kernel(), padded: vec![0.0; width + 2 * MARGIN], magnitudes }
    }

    /// Writes the mean contrast energy of each patch, row by row.
    #[inline(always)]
    pub(super) fn write_energies(&mut self, channel: &Plane, threshold: f64, energies: &mut [f64]) {
        self.write_magnitudes(channel);
        let greatest = greatest(&self.magnitudes.values);
        for (energy, place) in energies.iter_mut().zip(places(channel.width, channel.height)) {
            let mut patch = patch_at(&self.magnitudes, place);
            for value in patch.as_flattened_mut() {
                // Without any response this is NaN, which is not above.
                let response = *value * greatest / (*value + greatest * SEMISATURATION) - threshold;
                *value = if response > LEAST { response } else { 0.0 };
            }
            *energy = mean(&patch);
        }
    }

    #[inline(always)]
    fn write_magnitudes(&mut self, channel: &Plane) {
        let width = channel.width;
        for (y, magnitudes) in self.magnitudes.values.chunks_exact_mut(width).enumerate() {
            let row = channel.row(y);
            self.padded[..MARGIN].copy_from_slice(&row[..MARGIN]);
            self.padded[MARGIN..MARGIN + width].copy_from_slice(row);
            self.padded[MARGIN + width..].copy_from_slice(&row[width - MARGIN..]);
            let mut rows = [row; TAPS];
            for (tap, row) in rows.iter_mut().enumerate() {
                *row = channel.row(source(y + tap + 1, channel.height));
            }
            for (block, magnitudes) in magnitudes.as_chunks_mut::<SIDE>().0.iter_mut().enumerate() {
                let x = SIDE * block;
                let across = weigh_row(&self.padded[x + 1..], &self.weights);
                let down = weigh_column(&rows, x, &self.weights);
                for lane in 0..SIDE {
                    magnitudes[lane] = (across[lane] * across[lane] + down[lane] * down[lane]).sqrt();
                }
            }
        }
    }
}

/// Returns the weighted sums of the values from each of the first eight places on.
#[inline(always)]
fn weigh_row(row: &[f64], weights: &[f64; TAPS]) -> [f64; SIDE] {
    let row = &row[..TAPS + SIDE - 1];
    let mut sums = [0.0; SIDE];
    for tap in 0..TAPS {
        for lane in 0..SIDE {
            sums[lane] += weights[tap] * row[tap + lane];
        }
    }
    sums
}

/// Returns the weighted sums of the rows' values at eight places.
#[inline(always)]
fn weigh_column(rows: &[&[f64]; TAPS], x: usize, weights: &[f64; TAPS]) -> [f64; SIDE] {
    let mut sums = [0.0; SIDE];
    for tap in 0..TAPS {
        let row = &rows[tap][x..x + SIDE];
        for lane in 0..SIDE {
            sums[lane] += weights[tap] * row[lane];
        }
    }
    sums
}

/// Returns the row of the channel that a row of the padded channel shows.
///
/// REFERENCE: the first and the last ten rows are added once more in the same order; they are not mirrored.
fn source(padded: usize, height: usize) -> usize {
    if padded < MARGIN {
        padded
    } else if padded < MARGIN + height {
        padded - MARGIN
    } else {
        padded - 2 * MARGIN
    }
}

/// Returns the weights from the last tap to the first, as a convolution takes them.
#[inline(always)]
fn reversed_kernel() -> [f64; TAPS] {
    let variance = SIGMA * SIGMA;
    let places: [f64; TAPS] = std::array::from_fn(|tap| -9.75 + tap as f64);
    let gaussian = places.map(|x| libm::exp(-x * x / (2.0 * variance)));
    let total = sum(&gaussian);
    let derivative: [f64; TAPS] = std::array::from_fn(|tap| {
        let x = places[tap];
        (x * x / (variance * variance) - 1.0 / variance) * gaussian[tap] / total
    });
    let mean = sum(&derivative) / TAPS as f64;
    let centred = derivative.map(|weight| weight - mean);
    let halves: [f64; TAPS] = std::array::from_fn(|tap| 0.5 * places[tap] * places[tap] * centred[tap]);
    let gain = sum(&halves);
    std::array::from_fn(|tap| centred[TAPS - 1 - tap] / gain)
}

#[inline(always)]
fn greatest(values: &[f64]) -> f64 {
    let mut greatest = [0.0; SIDE];
    for values in values.as_chunks::<SIDE>().0 {
        for (greatest, value) in greatest.iter_mut().zip(values) {
            *greatest = if *value > *greatest { *value } else { *greatest };
        }
    }
    greatest.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_has_no_mean_and_the_gain_of_a_second_derivative() {
        let kernel = reversed_kernel();
        assert!(sum(&kernel).abs() < 1e-15);
        // A parabola x² / 2 has the second derivative 1.
        let parabola: f64 = (0..TAPS).map(|tap| kernel[TAPS - 1 - tap] * (tap as f64 - 9.75).powi(2) / 2.0).sum();
        assert!((parabola - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ends_are_copied_in_order() {
        let rows: Vec<usize> = (0..36).map(|padded| source(padded, 16)).collect();
        let expected: Vec<usize> = (0..10).chain(0..16).chain(6..16).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn filters_start_ten_taps_after_the_pixel() {
        // One bright pixel: its weights, in the order of a convolution, lie around it.
        let mut values = vec![0.0; 32 * 32];
        values[16 * 32 + 16] = 1.0;
        let mut filter = ContrastFilter::new(32, 32);
        filter.write_magnitudes(&Plane::new(values, 32, 32));
        let kernel = reversed_kernel();
        for x in 11..22 {
            // The pixel is at place 10 + 16 of the padded row, and tap `t` of the pixel x at place x + 1 + t.
            let tap = 25 - x;
            let down = if x == 16 { kernel[9] } else { 0.0 };
            let expected = (kernel[tap] * kernel[tap] + down * down).sqrt();
            assert!((filter.magnitudes.row(16)[x] - expected).abs() < 1e-15, "pixel {x}");
        }
    }

    #[test]
    fn a_channel_without_contrast_has_no_energy() {
        let mut energies = [f64::NAN; 4];
        ContrastFilter::new(16, 16).write_energies(&Plane::new(vec![0.0; 256], 16, 16), 0.1, &mut energies);
        assert_eq!(energies, [0.0; 4]);
    }
}
