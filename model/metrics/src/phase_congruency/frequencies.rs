//! The frequencies of a spectrum in polar coordinates, and the log-Gabor filters over them.

use std::f64::consts::{LN_2, PI};

use crate::elementary::exponential;

pub(super) const SCALES: usize = 4;
pub(super) const ORIENTATIONS: usize = 4;
/// Wavelength of the finest scale in pixels; each next one is twice as long.
const SHORTEST_WAVELENGTH: f64 = 6.0;
/// Deviation of a log-Gabor filter, as a share of its centre frequency.
const BANDWIDTH: f64 = 0.55;
/// Distance of the orientations over the deviation of the angle.
const ORIENTATION_OVERLAP: f64 = 1.2;
/// The low-pass filter before them: cutoff and order (Butterworth).
const CUTOFF: f64 = 0.45;
const ORDER: i32 = 15;

/// The polar coordinates of each frequency.
pub(super) struct Frequencies {
    /// Radius in cycles per pixel, 1 at frequency 0.
    radius: Vec<f64>,
    /// Natural logarithm of the radius.
    logarithm: Vec<f64>,
    /// Angle, -pi to pi, upwards.
    angle: Vec<f64>,
}

impl Frequencies {
    /// Computes a quadrant, which the others mirror.
    pub(super) fn new(width: usize, height: usize) -> Self {
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
    pub(super) fn scales(&self) -> [Vec<f64>; SCALES] {
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
    pub(super) fn spread(&self, direction: f64) -> Vec<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
