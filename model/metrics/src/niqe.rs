//! NIQE, the naturalness image quality evaluator (Mittal 2013), as in the release of LIVE: how far the statistics of a
//! picture's blocks are from those of undistorted photographs.

use crate::generalized_gaussian::Moments;
use crate::half::half;
use crate::mscn::{Border, Windows, count_flat_windows, mscn};
use crate::neighbour_products::{Block, neighbour_moments};
use crate::parameters::{FEATURES, GaussianModel};
use crate::plane::Plane;
use crate::pseudo_inverse::inverse_form;
use crate::undefined::Undefined;

/// Side of a block at full size.
const BLOCK: usize = 96;

/// Features of a block at one scale.
const FEATURES_OF_SCALE: usize = FEATURES / 2;

/// Repeats the edge pixel; differences that are rounding noise count as 0.
const WINDOWS: Windows = Windows { border: Border::Replicate, balanced: 0.0 };

type Features = [f64; FEATURES];

/// Returns the distance of a picture, given its gray levels, from the model.
///
/// # Errors
/// [`Undefined::TooSmall`] if it has fewer than two blocks, [`Undefined::Degenerate`] if fewer than two have values on both
/// sides of zero.
#[inline(always)]
pub(crate) fn niqe(levels: &[u8], width: usize, model: &GaussianModel<FEATURES>) -> Result<f64, Undefined> {
    let (levels, width) = whole_blocks(levels, width);
    if levels.len() < 2 * BLOCK * BLOCK {
        return Err(Undefined::TooSmall("two blocks of 96x96 pixels"));
    }
    let blocks = features(&Plane::from_levels(&levels, width));
    let complete: Vec<Features> = blocks.iter().filter(|block| !block.iter().any(|f| f.is_nan())).copied().collect();
    if complete.len() < 2 {
        return Err(Undefined::Degenerate("fewer than two blocks have contrast on both sides of their means"));
    }
    let mut covariance = covariance(&complete);
    for (row, model) in covariance.iter_mut().zip(&model.covariance) {
        for (value, model) in row.iter_mut().zip(model) {
            *value = (*value + model) / 2.0;
        }
    }
    let means = means(&blocks);
    let difference = std::array::from_fn(|feature| model.mean[feature] - means[feature]);
    let distance = inverse_form(&covariance, &difference).sqrt();
    if distance.is_nan() {
        Err(Undefined::Degenerate("the covariance of the blocks is not positive"))
    } else {
        Ok(distance)
    }
}

/// Returns the share of flat windows in the part that is measured, or nothing if that is empty.
#[inline(always)]
pub(crate) fn flat_share(levels: &[u8], width: usize) -> Option<f64> {
    let (levels, width) = whole_blocks(levels, width);
    if levels.is_empty() {
        return None;
    }
    Some(count_flat_windows(&levels, width, WINDOWS.border) as f64 / levels.len() as f64)
}

/// Returns the levels of the whole blocks, counted from the top left, and their width.
fn whole_blocks(levels: &[u8], width: usize) -> (Vec<u8>, usize) {
    let (blocks, height) = (width / BLOCK * BLOCK, levels.len() / width / BLOCK * BLOCK);
    let mut cut = Vec::with_capacity(blocks * height);
    for row in levels.chunks_exact(width).take(height) {
        cut.extend_from_slice(&row[..blocks]);
    }
    (cut, blocks)
}

/// Returns the features of each block, row by row.
#[inline(always)]
fn features(picture: &Plane) -> Vec<Features> {
    let blocks_in_row = picture.width / BLOCK;
    let mut features = vec![[0.0; FEATURES]; blocks_in_row * (picture.height / BLOCK)];
    let full = mscn(picture, WINDOWS);
    for (place, features) in features.iter_mut().enumerate() {
        let block = block(place, blocks_in_row, BLOCK);
        features[..FEATURES_OF_SCALE].copy_from_slice(&features_of_scale(&full, &block));
    }
    drop(full);
    let half = mscn(&half(picture), WINDOWS);
    for (place, features) in features.iter_mut().enumerate() {
        let block = block(place, blocks_in_row, BLOCK / 2);
        features[FEATURES_OF_SCALE..].copy_from_slice(&features_of_scale(&half, &block));
    }
    features
}

fn block(place: usize, blocks_in_row: usize, side: usize) -> Block {
    let (top, left) = (place / blocks_in_row * side, place % blocks_in_row * side);
    Block { rows: top..top + side, columns: left..left + side }
}

#[inline(always)]
fn features_of_scale(mscn: &Plane, block: &Block) -> [f64; FEATURES_OF_SCALE] {
    let moments = neighbour_moments(mscn, block);
    let mut features = [0.0; FEATURES_OF_SCALE];
    let fit = moments.values.fit_asymmetric();
    features[0] = fit.shape.alpha;
    features[1] = (fit.left * fit.shape.scale + fit.right * fit.shape.scale) / 2.0;
    for (features, products) in features[2..].chunks_exact_mut(4).zip(&moments.products) {
        features.copy_from_slice(&features_of_products(products));
    }
    features
}

/// Returns the shape, the mean and the two scales of a distribution of products.
fn features_of_products(products: &Moments) -> [f64; 4] {
    let fit = products.fit_asymmetric();
    let (left, right) = (fit.left * fit.shape.scale, fit.right * fit.shape.scale);
    [fit.shape.alpha, (right - left) * fit.shape.mean, left, right]
}

/// Returns the mean of each feature over the blocks in which it is a number.
fn means(blocks: &[Features]) -> Features {
    std::array::from_fn(|feature| {
        let numbers = || blocks.iter().map(|block| block[feature]).filter(|value| !value.is_nan());
        numbers().fold(0.0, |sum, value| sum + value) / numbers().count() as f64
    })
}

/// Returns the covariance of blocks without NaN.
#[inline(always)]
fn covariance(blocks: &[Features]) -> [Features; FEATURES] {
    let means = means(blocks);
    let mut covariance = [[0.0; FEATURES]; FEATURES];
    for block in blocks {
        let deviations: Features = std::array::from_fn(|feature| block[feature] - means[feature]);
        for (row, deviation) in covariance.iter_mut().zip(&deviations) {
            for (sum, other) in row.iter_mut().zip(&deviations) {
                *sum += deviation * other;
            }
        }
    }
    let freedom = (blocks.len() - 1) as f64;
    covariance.map(|row| row.map(|sum| sum / freedom))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aids::{SIDE, aids, assert_near};

    #[test]
    fn blocks_have_the_known_features() {
        let Some((aids, levels)) = aids() else { return };
        let (levels, width) = whole_blocks(&levels, SIDE);
        let found = features(&Plane::from_levels(&levels, width));
        assert_eq!(found.len(), 4);
        // The known blocks go down the columns.
        for (place, known) in [(0, 0), (1, 2), (2, 1), (3, 3)] {
            assert_near(&found[place], &aids["niqe_features"]["blocks"][known], 1e-9);
        }
    }

    #[test]
    fn covariance_is_that_of_a_sample() {
        let mut blocks = [[0.0; FEATURES]; 3];
        for (block, (a, b)) in blocks.iter_mut().zip([(1.0, 2.0), (2.0, 4.0), (6.0, 0.0)]) {
            (block[0], block[1]) = (a, b);
        }
        let found = covariance(&blocks);
        assert_eq!((found[0][0], found[0][1], found[1][0], found[1][1], found[2][0]), (7.0, -4.0, -4.0, 4.0, 0.0));
    }

    #[test]
    fn a_mean_leaves_missing_numbers_out() {
        let mut blocks = [[1.0; FEATURES]; 3];
        blocks[1][4] = f64::NAN;
        blocks[2][4] = 4.0;
        assert_eq!(means(&blocks)[3..6], [1.0, 2.5, 1.0]);
    }

    #[test]
    fn only_whole_blocks_count() {
        let levels: Vec<u8> = (0..200 * 100).map(|place| (place % 200) as u8).collect();
        let (cut, width) = whole_blocks(&levels, 200);
        assert_eq!((cut.len(), width), (192 * 96, 192));
        assert_eq!(cut[192], 0);
        assert_eq!(flat_share(&levels[..200 * 95], 200), None);
    }

    #[test]
    fn a_picture_without_contrast_has_no_value() {
        let model = crate::parameters::Parameters::default().niqe;
        assert!(matches!(niqe(&[128; 192 * 192], 192, &model), Err(Undefined::Degenerate(_))));
        assert!(matches!(niqe(&[128; 96 * 180], 96, &model), Err(Undefined::TooSmall(_))));
        assert_eq!(flat_share(&[128; 192 * 192], 192), Some(1.0));
    }
}
