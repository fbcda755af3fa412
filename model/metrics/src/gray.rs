//! MATLAB's gray of a picture, as `rgb2gray` makes it of 8 bits. All metrics but the coloured ones take their levels from
//! here: other weights move NIQE and BRISQUE.

use crate::plane::Plane;
use crate::rgb_view::RgbView;

/// First row of the inverse of `[1 .956 .621; 1 -.272 -.647; 1 -1.106 1.703]`, with which MATLAB defines luma.
const WEIGHTS: [f64; 3] = [0.298936021293775, 0.587043074451121, 0.114020904255103];

/// `2^52`: adding it rounds to an integer, which then lies in the lowest bits. Unlike a cast it becomes vector instructions.
const ROUNDING: f64 = 4_503_599_627_370_496.0;

/// Returns the gray levels of a picture, 0 to 255, rounded half up, in row-major order.
#[inline(always)]
pub(crate) fn gray_levels(picture: &RgbView<'_>) -> Vec<u8> {
    let mut levels = vec![0; picture.width() * picture.height()];
    // No colour is nearer to a half than 4.6e-6, so neither the order of the additions nor the rounding of halves matters.
    for (level, [red, green, blue]) in levels.iter_mut().zip(picture.pixels()) {
        let luma = WEIGHTS[0] * f64::from(red) + WEIGHTS[1] * f64::from(green) + WEIGHTS[2] * f64::from(blue);
        *level = (luma + ROUNDING).to_bits() as u8;
    }
    levels
}

/// Returns gray levels, `width` in a row, as doubles.
#[inline(always)]
pub(crate) fn level_plane(levels: &[u8], width: usize) -> Plane {
    let mut values = vec![0.0; levels.len()];
    for (value, level) in values.iter_mut().zip(levels) {
        *value = f64::from(*level);
    }
    Plane::new(values, width, levels.len() / width)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every red and blue with every fifth green.
    #[test]
    fn levels_are_rounded_half_up() {
        let samples: Vec<u8> = (0..=255_u8)
            .flat_map(|red| {
                (0..=255_u8).step_by(5).flat_map(move |green| (0..=255).map(move |blue| [red, green, blue]))
            })
            .flatten()
            .collect();
        let levels = gray_levels(&RgbView::new(&samples, samples.len() / 3, 1));
        for (pixel, level) in samples.as_chunks::<3>().0.iter().zip(levels) {
            let luma: f64 = pixel.iter().zip(WEIGHTS).map(|(sample, weight)| weight * f64::from(*sample)).sum();
            assert_eq!(f64::from(level), (luma + 0.5).floor(), "{pixel:?}");
        }
    }
}
