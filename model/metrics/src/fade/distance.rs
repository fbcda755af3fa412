//! The distance of a patch's features from a normal distribution: `sqrt(d' (C / 2)⁻¹ d)` with `C = C0 + s 1 1'`, where
//! `C0` is the distribution's covariance and `s` the variance of the patch's own features.
//!
//! REFERENCE: the authors add the one number `s` to all elements of the matrix, as if it were the covariance of the
//! patch.
//!
//! With `C0 = L L'`, `y = L⁻¹ d` and `u = L⁻¹ 1`, the part of `y` along `u` is divided by `1 + s |u|²`, the other is as
//! without `s`. So no patch needs a matrix of its own.

use crate::cholesky::cholesky;
use crate::parameters::{FOG_FEATURES, GaussianModel};

/// Patches that are computed together, each in a lane.
const LANES: usize = 8;

/// One number of each of several patches.
type Lanes = [f64; LANES];

/// A distribution, prepared for many patches.
pub(super) struct FeatureDistance {
    mean: [f64; FOG_FEATURES],
    /// `L`.
    lower: [[f64; FOG_FEATURES]; FOG_FEATURES],
    /// `u / |u|`.
    direction: [f64; FOG_FEATURES],
    /// `|u|²`.
    square: f64,
}

impl FeatureDistance {
    #[inline(always)]
    pub(super) fn new(model: &GaussianModel<FOG_FEATURES>) -> Self {
        let lower = cholesky(&model.covariance).expect("the covariance was checked when it was read");
        let ones = [[1.0; LANES]; FOG_FEATURES];
        let u = solve_lower(&lower, ones).map(|lanes| lanes[0]);
        let square = u.iter().fold(0.0, |sum, value| sum + value * value);
        let length = square.sqrt();
        Self { mean: model.mean, lower, direction: u.map(|value| value / length), square }
    }

    /// Returns the distance of each patch: NaN if one of its features is.
    #[inline(always)]
    pub(super) fn of_patches(&self, features: &[[f64; FOG_FEATURES]]) -> Vec<f64> {
        let mut distances = Vec::with_capacity(features.len());
        for patches in features.chunks(LANES) {
            let mut lanes = [[0.0; LANES]; FOG_FEATURES];
            for (lane, features) in patches.iter().enumerate() {
                for (lanes, feature) in lanes.iter_mut().zip(features) {
                    lanes[lane] = *feature;
                }
            }
            distances.extend_from_slice(&self.of_lanes(&lanes)[..patches.len()]);
        }
        distances
    }

    #[inline(always)]
    fn of_lanes(&self, features: &[Lanes; FOG_FEATURES]) -> Lanes {
        let mut difference = *features;
        for (difference, mean) in difference.iter_mut().zip(self.mean) {
            for value in difference {
                *value -= mean;
            }
        }
        let y = solve_lower(&self.lower, difference);
        let mut along = [0.0; LANES];
        for (y, direction) in y.iter().zip(self.direction) {
            for lane in 0..LANES {
                along[lane] += y[lane] * direction;
            }
        }
        let spread = variance(features);
        let mut squares = [0.0; LANES];
        for (y, direction) in y.iter().zip(self.direction) {
            for lane in 0..LANES {
                let across = y[lane] - along[lane] * direction;
                squares[lane] += across * across;
            }
        }
        for lane in 0..LANES {
            squares[lane] += along[lane] * along[lane] / (1.0 + spread[lane] * self.square);
            squares[lane] = (2.0 * squares[lane]).sqrt();
        }
        squares
    }
}

/// Returns `L⁻¹ values`.
#[inline(always)]
fn solve_lower(lower: &[[f64; FOG_FEATURES]; FOG_FEATURES], values: [Lanes; FOG_FEATURES]) -> [Lanes; FOG_FEATURES] {
    let mut solved = values;
    for row in 0..FOG_FEATURES {
        let mut rest = solved[row];
        for column in 0..row {
            for lane in 0..LANES {
                rest[lane] -= lower[row][column] * solved[column][lane];
            }
        }
        for value in &mut rest {
            *value /= lower[row][row];
        }
        solved[row] = rest;
    }
    solved
}

/// Returns the variance of each patch's features, with 11 as its divisor.
#[inline(always)]
fn variance(features: &[Lanes; FOG_FEATURES]) -> Lanes {
    let mut mean = [0.0; LANES];
    for feature in features {
        for lane in 0..LANES {
            mean[lane] += feature[lane];
        }
    }
    for mean in &mut mean {
        *mean /= FOG_FEATURES as f64;
    }
    let mut squares = [0.0; LANES];
    for feature in features {
        for lane in 0..LANES {
            let deviation = feature[lane] - mean[lane];
            squares[lane] += deviation * deviation;
        }
    }
    for square in &mut squares {
        *square /= (FOG_FEATURES - 1) as f64;
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    /// Returns `d' (C / 2)⁻¹ d` by elimination in the whole matrix.
    fn square_by_elimination(model: &GaussianModel<FOG_FEATURES>, features: &[f64; FOG_FEATURES]) -> f64 {
        let mean = features.iter().sum::<f64>() / 12.0;
        let spread = features.iter().map(|feature| (feature - mean).powi(2)).sum::<f64>() / 11.0;
        let mut matrix = model.covariance.map(|row| row.map(|value| (value + spread) / 2.0));
        let difference: [f64; FOG_FEATURES] = std::array::from_fn(|index| features[index] - model.mean[index]);
        let mut right = difference;
        for pivot in 0..FOG_FEATURES {
            for row in pivot + 1..FOG_FEATURES {
                let factor = matrix[row][pivot] / matrix[pivot][pivot];
                let pivots = matrix[pivot];
                for (value, pivot) in matrix[row].iter_mut().zip(pivots) {
                    *value -= factor * pivot;
                }
                right[row] -= factor * right[pivot];
            }
        }
        for row in (0..FOG_FEATURES).rev() {
            let known: f64 = (row + 1..FOG_FEATURES).map(|column| matrix[row][column] * right[column]).sum();
            right[row] = (right[row] - known) / matrix[row][row];
        }
        difference.iter().zip(right).map(|(difference, solved)| difference * solved).sum()
    }

    #[test]
    fn distances_are_those_of_each_patchs_own_matrix() {
        let fade = Parameters::default().fade;
        let patch = |index: usize| std::array::from_fn(|feature| ((index * 12 + feature) * 37 % 101) as f64 / 25.0);
        let mut features: Vec<[f64; FOG_FEATURES]> = (0..11).map(patch).collect();
        features[3] = [1.5; FOG_FEATURES];
        for model in [&fade.fog_free, &fade.foggy] {
            let distances = FeatureDistance::new(model).of_patches(&features);
            assert_eq!(distances.len(), features.len());
            for (distance, features) in distances.iter().zip(&features) {
                let expected = square_by_elimination(model, features).sqrt();
                assert!((distance / expected - 1.0).abs() < 1e-9, "{distance} {expected}");
            }
        }
    }

    #[test]
    fn a_patch_without_a_feature_has_no_distance() {
        let mut features = [[1.0; FOG_FEATURES]; 2];
        features[1][2] = f64::NAN;
        let distances = FeatureDistance::new(&Parameters::default().fade.foggy).of_patches(&features);
        assert!(distances[0].is_finite() && distances[1].is_nan());
    }
}
