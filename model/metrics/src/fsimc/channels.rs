//! Luma and the chromatic channels I and Q, downsampled. Levels are summed as integers, so that no order of sums matters.

use crate::plane::Plane;
use crate::rgb_view::RgbView;

/// Luma and the chromatic channels I and Q. Luma is not rounded here.
const CHANNELS: [[f64; 3]; 3] = [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]];

/// The downsampling aims at this length of the shorter side.
const AIMED_SIDE: usize = 256;

/// Returns luma, I and Q, downsampled by `round(shorter side / 256)`.
#[inline(always)]
pub(super) fn channels(picture: &RgbView<'_>) -> [Plane; 3] {
    let factor = ((picture.width().min(picture.height()) + AIMED_SIDE / 2) / AIMED_SIDE).max(1);
    downsampled(picture, factor)
}

/// Returns the means of `factor` by `factor` pixels, of which every `factor`-th from the first is kept. An even square
/// reaches right and down; there are zeros beyond the border (MATLAB's `conv2(..., 'same')`).
#[inline(always)]
fn downsampled(picture: &RgbView<'_>, factor: usize) -> [Plane; 3] {
    let (width, height) = (picture.width().div_ceil(factor), picture.height().div_ceil(factor));
    let share = 1.0 / (factor * factor) as f64;
    let mut planes = CHANNELS.map(|_| Plane::new(vec![0.0; width * height], width, height));
    let mut columns = vec![0; width * factor * 3];
    for y in 0..height {
        sum_rows(picture, y * factor, factor, &mut columns);
        for (x, square) in columns.chunks_exact(factor * 3).enumerate() {
            let mut sums = [0; 3];
            for pixel in square.as_chunks::<3>().0 {
                for (sum, column) in sums.iter_mut().zip(pixel) {
                    *sum += column;
                }
            }
            let [r, g, b] = sums.map(f64::from);
            for (plane, [red, green, blue]) in planes.iter_mut().zip(CHANNELS) {
                plane.values[y * width + x] = (red * r + green * g + blue * b) * share;
            }
        }
    }
    planes
}

/// Sums the levels of `factor` rows of the picture that has `(factor - 1) / 2` rows and columns of zeros above and at its
/// left, from row `top` on.
#[inline(always)]
fn sum_rows(picture: &RgbView<'_>, top: usize, factor: usize, columns: &mut [u32]) {
    let before = (factor - 1) / 2;
    columns.fill(0);
    let columns = &mut columns[before * 3..];
    let rows = top.saturating_sub(before)..picture.height().min(top + factor - before);
    for row in picture.samples().chunks_exact(picture.width() * 3).take(rows.end).skip(rows.start) {
        for (sum, level) in columns.iter_mut().zip(row) {
            *sum += u32::from(*level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the luma of gray levels, which is the level within rounding.
    fn luma(levels: &[u8], width: usize, factor: usize) -> Vec<f64> {
        let samples: Vec<u8> = levels.iter().flat_map(|level| [*level; 3]).collect();
        let [luma, ..] = downsampled(&RgbView::new(&samples, width, levels.len() / width), factor);
        luma.values.iter().map(|value| (value * 1e9).round() / 1e9).collect()
    }

    #[test]
    fn an_even_square_reaches_right_and_down() {
        assert_eq!(luma(&[4, 8, 12, 16], 4, 2), [3.0, 7.0]);
        assert_eq!(luma(&[4, 8, 12, 16], 1, 2), [3.0, 7.0]);
    }

    #[test]
    fn zeros_beyond_the_border_darken_it() {
        assert_eq!(luma(&[4; 9], 3, 2), [4.0, 2.0, 2.0, 1.0]);
        assert_eq!(luma(&[9; 12], 4, 3), [4.0, 4.0]);
    }

    #[test]
    fn colours_have_the_channels_of_ntsc() {
        let planes = channels(&RgbView::new(&[200, 100, 50], 1, 1));
        assert_eq!(planes.map(|plane| (plane.values[0] * 10.0).round() / 10.0), [124.2, 75.7, 5.5]);
    }
}
