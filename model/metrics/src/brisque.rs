//! BRISQUE, the blind/referenceless image spatial quality evaluator (Mittal 2012), as in the release of LIVE: a support
//! vector regression on statistics of the whole picture at two scales. The score is not clamped.

use crate::generalized_gaussian::Moments;
use crate::half::half;
use crate::mscn::{Border, Windows, count_flat_windows, mscn};
use crate::neighbour_products::{Block, neighbour_moments};
use crate::parameters::{FEATURES, SupportVectorModel};
use crate::plane::Plane;
use crate::undefined::Undefined;

/// Features of one scale.
const FEATURES_OF_SCALE: usize = FEATURES / 2;

/// Zeros lie beyond the border; differences that are rounding noise count as 0.
const WINDOWS: Windows = Windows { border: Border::Zero, balanced: 0.0 };

type Features = [f64; FEATURES];

/// Returns the score of a picture, given its gray levels.
///
/// # Errors
/// [`Undefined::Degenerate`] if no coefficient, or no product of neighbours, is negative or none is positive.
#[inline(always)]
pub(crate) fn brisque(levels: &[u8], width: usize, model: &SupportVectorModel) -> Result<f64, Undefined> {
    let features = features(Plane::from_levels(levels, width));
    if features.iter().any(|feature| feature.is_nan()) {
        return Err(Undefined::Degenerate("its contrast lies on one side of the local means"));
    }
    Ok(score(&features, model))
}

/// Returns the share of flat windows. Those that reach beyond the border are flat only if they are black.
#[inline(always)]
pub(crate) fn flat_share(levels: &[u8], width: usize) -> f64 {
    count_flat_windows(levels, width, WINDOWS.border) as f64 / levels.len() as f64
}

#[inline(always)]
fn features(picture: Plane) -> Features {
    let mut features = [0.0; FEATURES];
    features[..FEATURES_OF_SCALE].copy_from_slice(&features_of_scale(&picture));
    features[FEATURES_OF_SCALE..].copy_from_slice(&features_of_scale(&half(&picture)));
    features
}

#[inline(always)]
fn features_of_scale(picture: &Plane) -> [f64; FEATURES_OF_SCALE] {
    let mscn = mscn(picture, WINDOWS);
    let moments = neighbour_moments(&mscn, &Block { rows: 0..mscn.height, columns: 0..mscn.width });
    let mut features = [0.0; FEATURES_OF_SCALE];
    features[0] = moments.values.fit_symmetric().alpha;
    features[1] = moments.values.mean_square();
    for (features, products) in features[2..].chunks_exact_mut(4).zip(&moments.products) {
        features.copy_from_slice(&features_of_products(products));
    }
    features
}

/// Returns the shape, the mean and the two variances of a distribution of products.
fn features_of_products(products: &Moments) -> [f64; 4] {
    let fit = products.fit_asymmetric();
    let mean = (fit.right - fit.left) * fit.shape.mean * fit.shape.scale;
    [fit.shape.alpha, mean, fit.left * fit.left, fit.right * fit.right]
}

/// Returns the regression's value. Features outside the ranges of the model are not clipped.
#[inline(always)]
fn score(features: &Features, model: &SupportVectorModel) -> f64 {
    let scaled: Features = std::array::from_fn(|place| {
        let (min, max) = (model.range_min[place], model.range_max[place]);
        -1.0 + 2.0 * (features[place] - min) / (max - min)
    });
    let mut sum = 0.0;
    for vector in &model.support_vectors {
        sum += vector.coefficient * libm::exp(-model.gamma * square_distance(&scaled, &vector.features));
    }
    sum - model.rho
}

#[inline(always)]
fn square_distance(a: &Features, b: &Features) -> f64 {
    const LANES: usize = 4;
    let mut partial = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            partial[lane] += (a[lane] - b[lane]) * (a[lane] - b[lane]);
        }
    }
    (partial[0] + partial[1]) + (partial[2] + partial[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aids::{SIDE, aids, assert_near};
    use crate::parameters::{Parameters, SupportVector};

    #[test]
    fn a_picture_has_the_known_features() {
        let Some((aids, levels)) = aids() else { return };
        assert_near(&features(Plane::from_levels(&levels, SIDE)), &aids["brisque_features"], 1e-9);
    }

    #[test]
    fn the_score_is_the_sum_of_kernels() {
        // A feature at the top of its range is scaled to 1, one a whole range above it to 3.
        let mut features = [0.0; FEATURES];
        (features[0], features[35]) = (1.0, 2.0);
        let vector = |coefficient, value| SupportVector { coefficient, features: [value; FEATURES] };
        let model = SupportVectorModel {
            gamma: 0.01,
            rho: -5.0,
            range_min: [-1.0; FEATURES],
            range_max: [1.0; FEATURES],
            support_vectors: vec![vector(2.0, 0.0), vector(-3.0, 1.0)],
        };
        // Distances: 1 + 4 from the zeros; 34 of 1, one of 0, one of 1 from the ones.
        let expected = 2.0 * libm::exp(-0.05) - 3.0 * libm::exp(-0.35) + 5.0;
        assert!((score(&features, &model) - expected).abs() < 1e-14);
    }

    #[test]
    fn pictures_of_one_level_have_no_value() {
        let model = Parameters::default().brisque;
        for (levels, share) in [([128; 400], 0.49), ([0; 400], 1.0)] {
            assert!(matches!(brisque(&levels, 20, &model), Err(Undefined::Degenerate(_))));
            assert_eq!(flat_share(&levels, 20), share);
        }
        assert!(brisque(&[7], 1, &model).is_err());
    }
}
