//! Contrast enhancement without a model of haze: contrast-limited adaptive histogram equalisation of luma, multi-scale
//! retinex, and the exaggeration and sharpening of deliberate failures.

use crate::filters::{gaussian, wide_gaussian};
use crate::pixels::{Plane, Rgb, mix};

const LEVELS: usize = 256;

/// Applies contrast-limited adaptive histogram equalisation (Zuiderveld 1994) to luma over 8 x 8 tiles, and keeps colour
/// differences.
pub(super) fn clahe(hazy: &Rgb, limit: f32) -> Rgb {
    const TILES: usize = 8;
    let luma = hazy.luma();
    let level = |value: f32| ((value * (LEVELS - 1) as f32).round() as usize).min(LEVELS - 1);
    let bounds = |tile: usize, side: usize| tile * side / TILES..(tile + 1) * side / TILES;
    let mut curves = Vec::with_capacity(TILES * TILES);
    for row in 0..TILES {
        for column in 0..TILES {
            let mut counts = [0.0_f32; LEVELS];
            for y in bounds(row, luma.height) {
                for x in bounds(column, luma.width) {
                    counts[level(luma.data[y * luma.width + x])] += 1.0;
                }
            }
            curves.push(equalisation_curve(&counts, limit));
        }
    }
    // Between the centres of tiles, their curves are interpolated.
    let tile_position = |pixel: usize, side: usize| {
        let position = ((pixel as f32 + 0.5) * TILES as f32 / side as f32 - 0.5).clamp(0.0, (TILES - 1) as f32);
        let first = (position as usize).min(TILES - 2);
        (first, position - first as f32)
    };
    let equalised = Plane::from_fn(luma.width, luma.height, |x, y| {
        let ((column, right), (row, down)) = (tile_position(x, luma.width), tile_position(y, luma.height));
        let level = level(luma.data[y * luma.width + x]);
        let tile_value = |row: usize, column: usize| curves[row * TILES + column][level];
        let above = mix(tile_value(row, column), tile_value(row, column + 1), right);
        mix(above, mix(tile_value(row + 1, column), tile_value(row + 1, column + 1), right), down)
    });
    hazy.map_channels(|_, plane| plane.zip(&equalised.zip(&luma, |new, old| new - old), |value, more| value + more))
}

/// Returns the cumulative share of each level, where no level counts for more than `limit` times the mean.
fn equalisation_curve(counts: &[f32; LEVELS], limit: f32) -> [f32; LEVELS] {
    let total: f32 = counts.iter().sum();
    let count_max = (limit * total / LEVELS as f32).max(1.0);
    let excess: f32 = counts.iter().map(|count| (count - count_max).max(0.0)).sum();
    let mut sum = 0.0;
    counts.map(|count| {
        sum += count.min(count_max) + excess / LEVELS as f32;
        (sum / total.max(1.0)).min(1.0)
    })
}

/// Applies multi-scale retinex (Jobson, Rahman, Woodell 1997) to luma, stretches it between its 1st and 99th percentiles,
/// applies a gamma and scales colours in proportion.
pub(super) fn retinex(hazy: &Rgb, gamma: f32) -> Rgb {
    let luma = hazy.luma();
    let log = |plane: &Plane| plane.map(|value| libm::logf(value.max(0.0) + 0.01));
    let side = luma.width.min(luma.height) as f32;
    let mut detail = log(&luma);
    // The authors' 15, 80 and 250 pixels at a size of 512.
    for sigma in [0.03, 0.16, 0.5] {
        let surround = log(&wide_gaussian(&luma, side * sigma));
        detail = detail.zip(&surround, |detail, surround| detail - surround / 3.0);
    }
    let (low, high) = (detail.quantile(0.01), detail.quantile(0.99));
    let new = detail.map(|value| libm::powf(((value - low) / (high - low).max(1e-3)).clamp(0.0, 1.0), gamma));
    let gain = new.zip(&luma, |new, old| (new / old.max(0.02)).min(4.0));
    hazy.map_channels(|_, plane| plane.zip(&gain, |value, gain| value * gain))
}

/// Multiplies the saturation, and raises the contrast by an S-curve.
pub(super) fn exaggerate(picture: &Rgb, contrast: f32, saturation: f32) -> Rgb {
    picture.map(|pixel| {
        let gray = crate::pixels::luma(pixel);
        pixel.map(|value| {
            let value = (gray + (value - gray) * saturation).clamp(0.0, 1.0);
            let curved = value * value * (3.0 - 2.0 * value);
            value + (curved - value) * contrast - 0.08 * contrast
        })
    })
}

/// Adds the difference of luma to its blurred version, times `gain`, which leaves halos as wide as `sigma` along edges.
pub(super) fn sharpen(picture: &Rgb, sigma: f32, gain: f32) -> Rgb {
    let luma = picture.luma();
    let detail = luma.zip(&gaussian(&luma, sigma), |value, blurred| gain * (value - blurred));
    picture.map_channels(|_, plane| plane.zip(&detail, |value, detail| value + detail))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equalising_keeps_the_order_of_levels(counts in prop::collection::vec(0_u16..500, LEVELS), limit in 1.0_f32..6.0) {
            let counts: [f32; LEVELS] = std::array::from_fn(|level| f32::from(counts[level]));
            let curve = equalisation_curve(&counts, limit);
            prop_assert!(curve.windows(2).all(|pair| pair[0] <= pair[1]));
            // No level is stretched over more than the limit plus its share of the excess of others.
            prop_assert!(curve.windows(2).all(|pair| pair[1] - pair[0] < (limit + 1.0) / LEVELS as f32 + 1e-4));
        }
    }

    #[test]
    fn a_flat_picture_is_not_stretched() {
        let flat = Rgb([0.3, 0.5, 0.4].map(|value| Plane::filled(32, 32, value)));
        let colours =
            |picture: &Rgb| picture.pixels().next().map(|[r, g, b]| [g - r, b - r]).expect("the picture has pixels");
        let same = |picture: &Rgb| picture.0.iter().all(|plane| plane.data.iter().all(|value| *value == plane.data[0]));
        let (equalised, retinexed) = (clahe(&flat, 2.0), retinex(&flat, 1.0));
        assert!(same(&equalised) && same(&retinexed));
        assert!(colours(&equalised).iter().zip(colours(&flat)).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
