//! Dehazers that know no haze: contrast-limited adaptive histogram equalisation of luma, and multi-scale retinex.

use crate::filters::{gaussian, wide_gaussian};
use crate::plane::{Plane, Rgb, mix};

const LEVELS: usize = 256;

/// Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) over 8 x 8 tiles; colour differences stay.
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
            curves.push(curve(&counts, limit));
        }
    }
    // Between the middles of tiles their curves are mixed.
    let place = |at: usize, side: usize| {
        let at = ((at as f32 + 0.5) * TILES as f32 / side as f32 - 0.5).clamp(0.0, (TILES - 1) as f32);
        let first = (at as usize).min(TILES - 2);
        (first, at - first as f32)
    };
    let equalised = Plane::from_fn(luma.width, luma.height, |x, y| {
        let ((column, right), (row, down)) = (place(x, luma.width), place(y, luma.height));
        let level = level(luma.data[y * luma.width + x]);
        let of = |row: usize, column: usize| curves[row * TILES + column][level];
        let above = mix(of(row, column), of(row, column + 1), right);
        mix(above, mix(of(row + 1, column), of(row + 1, column + 1), right), down)
    });
    hazy.channels(|_, plane| plane.zip(&equalised.zip(&luma, |new, old| new - old), |value, more| value + more))
}

/// The share of what is darker, where no level counts for more than `limit` times its fair share.
fn curve(counts: &[f32; LEVELS], limit: f32) -> [f32; LEVELS] {
    let total: f32 = counts.iter().sum();
    let most = (limit * total / LEVELS as f32).max(1.0);
    let over: f32 = counts.iter().map(|count| (count - most).max(0.0)).sum();
    let mut sum = 0.0;
    counts.map(|count| {
        sum += count.min(most) + over / LEVELS as f32;
        (sum / total.max(1.0)).min(1.0)
    })
}

/// Multi-scale retinex (Jobson, Rahman, Woodell 1997) of luma, stretched between its 1st and 99th percentiles; colours in
/// proportion; then a gamma.
pub(super) fn retinex(hazy: &Rgb, gamma: f32) -> Rgb {
    let luma = hazy.luma();
    let log = |plane: &Plane| plane.map(|value| libm::logf(value.max(0.0) + 0.01));
    let side = luma.width.min(luma.height) as f32;
    let mut detail = log(&luma);
    // 15, 80 and 250 pixels of the authors' 512.
    for sigma in [0.03, 0.16, 0.5] {
        let around = log(&wide_gaussian(&luma, side * sigma));
        detail = detail.zip(&around, |detail, around| detail - around / 3.0);
    }
    let (low, high) = (detail.quantile(0.01), detail.quantile(0.99));
    let new = detail.map(|value| libm::powf(((value - low) / (high - low).max(1e-3)).clamp(0.0, 1.0), gamma));
    let gain = new.zip(&luma, |new, old| (new / old.max(0.02)).min(4.0));
    hazy.channels(|_, plane| plane.zip(&gain, |value, gain| value * gain))
}

/// Away from gray by `saturation`, and from the middle by an S-curve of `contrast`.
pub(super) fn exaggerated(picture: &Rgb, contrast: f32, saturation: f32) -> Rgb {
    picture.map(|pixel| {
        let gray = crate::plane::luma(pixel);
        pixel.map(|value| {
            let value = (gray + (value - gray) * saturation).clamp(0.0, 1.0);
            let curved = value * value * (3.0 - 2.0 * value);
            value + (curved - value) * contrast - 0.08 * contrast
        })
    })
}

/// By what luma differs from its blurred self, times `gain`: seams as wide as `sigma` along edges.
pub(super) fn sharpened(picture: &Rgb, sigma: f32, gain: f32) -> Rgb {
    let luma = picture.luma();
    let more = luma.zip(&gaussian(&luma, sigma), |value, around| gain * (value - around));
    picture.channels(|_, plane| plane.zip(&more, |value, more| value + more))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equalising_keeps_the_order_of_levels(counts in prop::collection::vec(0_u16..500, LEVELS), limit in 1.0_f32..6.0) {
            let counts: [f32; LEVELS] = std::array::from_fn(|level| f32::from(counts[level]));
            let curve = curve(&counts, limit);
            prop_assert!(curve.windows(2).all(|pair| pair[0] <= pair[1]));
            // No level is stretched over more than the limit, and its share of what others had too much.
            prop_assert!(curve.windows(2).all(|pair| pair[1] - pair[0] < (limit + 1.0) / LEVELS as f32 + 1e-4));
        }
    }

    #[test]
    fn a_flat_picture_is_not_stretched() {
        let flat = Rgb([0.3, 0.5, 0.4].map(|value| Plane::filled(32, 32, value)));
        let colours = |picture: &Rgb| picture.pixels().next().map(|[r, g, b]| [g - r, b - r]).expect("it has pixels");
        let same = |picture: &Rgb| picture.0.iter().all(|plane| plane.data.iter().all(|value| *value == plane.data[0]));
        let (equalised, seen) = (clahe(&flat, 2.0), retinex(&flat, 1.0));
        assert!(same(&equalised) && same(&seen));
        assert!(colours(&equalised).iter().zip(colours(&flat)).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
