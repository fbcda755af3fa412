//! Gradient magnitude similarity deviation (Xue 2014) by the authors' `GMSD.m`. Everything before the root is a sum of
//! levels, so it is done in integers: four times the half-size picture, then twelve times the Prewitt gradient.

use crate::plane::sum;

/// The constant of the similarity, for levels of 0 to 255.
const CONSTANT: f64 = 170.0;

/// Twelve times: the half-size picture is a mean of four levels, the Prewitt filter has thirds.
const GRADIENT_SCALE: f64 = 12.0;

/// Returns the deviation of the gradients' similarity of two pictures' gray levels, with `width` levels in a row. One
/// pixel has the deviation 0.
#[inline(always)]
pub(crate) fn gmsd(picture: &[u8], clear: &[u8], width: usize) -> f64 {
    let (first, second) = (Halved::new(picture, width), Halved::new(clear, width));
    let mut map = vec![0.0; first.width * first.height];
    let mut squares = [vec![0; first.width], vec![0; first.width]];
    for (y, row) in map.chunks_exact_mut(first.width).enumerate() {
        first.write_gradients(y, &mut squares[0]);
        second.write_gradients(y, &mut squares[1]);
        for ((quality, a), b) in row.iter_mut().zip(&squares[0]).zip(&squares[1]) {
            *quality = similarity(*a, *b);
        }
    }
    deviation(map)
}

/// Returns the similarity of two gradients from the squares of their twelvefold magnitudes.
#[inline(always)]
fn similarity(first: i32, second: i32) -> f64 {
    let scale = 1.0 / (GRADIENT_SCALE * GRADIENT_SCALE);
    let (first, second) = (f64::from(first), f64::from(second));
    // The product is below 2^53, so its root is that of both gradients' product rounded once.
    let product = (first * second).sqrt();
    (2.0 * scale * product + CONSTANT) / (scale * (first + second) + CONSTANT)
}

/// Returns the standard deviation with `N - 1`.
#[inline(always)]
fn deviation(mut values: Vec<f64>) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let count = values.len() as f64;
    let mean = sum(&values) / count;
    for value in &mut values {
        *value = (*value - mean) * (*value - mean);
    }
    (sum(&values) / (count - 1.0)).sqrt()
}

/// Sums of two by two levels at every second pixel, between zeros: one row above and below, one column left and right.
struct Halved {
    sums: Vec<i32>,
    width: usize,
    height: usize,
}

impl Halved {
    /// Adds the level, its right and its lower neighbours; there are zeros beyond the border (`conv2(..., 'same')`).
    #[inline(always)]
    fn new(levels: &[u8], full_width: usize) -> Self {
        let (width, height) = (full_width.div_ceil(2), (levels.len() / full_width).div_ceil(2));
        let mut sums = vec![0; (width + 2) * (height + 2)];
        let mut columns = vec![0_i32; width * 2];
        for (y, rows) in levels.chunks(full_width * 2).enumerate() {
            columns.fill(0);
            for row in rows.chunks_exact(full_width) {
                for (sum, level) in columns.iter_mut().zip(row) {
                    *sum += i32::from(*level);
                }
            }
            let target = &mut sums[(y + 1) * (width + 2) + 1..][..width];
            for (sum, [left, right]) in target.iter_mut().zip(columns.as_chunks::<2>().0) {
                *sum = left + right;
            }
        }
        Self { sums, width, height }
    }

    /// Writes the squares of the twelvefold gradient magnitudes of one row.
    #[inline(always)]
    fn write_gradients(&self, y: usize, squares: &mut [i32]) {
        let stride = self.width + 2;
        let row = |offset: usize| &self.sums[(y + offset) * stride..][..stride];
        let (above, middle, below) = (row(0), row(1), row(2));
        for x in 0..squares.len() {
            let horizontal = (above[x + 2] - above[x]) + (middle[x + 2] - middle[x]) + (below[x + 2] - below[x]);
            let vertical = (below[x] - above[x]) + (below[x + 1] - above[x + 1]) + (below[x + 2] - above[x + 2]);
            squares[x] = horizontal * horizontal + vertical * vertical;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_side_keeps_its_last_pixel_with_zeros_beyond() {
        let halved = Halved::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9], 3);
        let inner: Vec<i32> = (1..3).flat_map(|y| halved.sums[y * 4 + 1..y * 4 + 3].to_vec()).collect();
        assert_eq!(inner, [1 + 2 + 4 + 5, 3 + 6, 7 + 8, 9]);
    }

    #[test]
    fn the_zero_border_is_part_of_the_gradient() {
        let halved = Halved::new(&[4; 16], 4);
        let mut squares = [0; 2];
        halved.write_gradients(0, &mut squares);
        // Sums are 16: two of them beside zeros in each direction.
        assert_eq!(squares, [32 * 32 + 32 * 32; 2]);
    }

    #[test]
    fn one_pixel_has_no_deviation() {
        assert_eq!(gmsd(&[3], &[9], 1), 0.0);
    }

    #[test]
    fn two_pixels_of_the_halved_picture_are_compared_by_hand() {
        // Halved: (4, 4) and (0, 0) in fours; gradients of the first: horizontal 4/3 each, vertical 0.
        let (first, second) = ([4, 4, 4, 4, 4, 4, 4, 4], [0; 8]);
        let quality = 170.0 / (2.0 * 0.0 + (4.0_f64 / 3.0).powi(2) + 170.0);
        assert!((quality - 0.98965).abs() < 1e-4);
        // Both have the same quality, so that the deviation is 0.
        assert!(gmsd(&first, &second, 4).abs() < 1e-15);
        let other = [4, 4, 0, 0, 4, 4, 0, 0];
        // Halved: (4, 0): the left pixel's neighbours are 0 and 0, the right one's 4 and 0.
        let spread = (1.0 - quality) / 2.0_f64.sqrt();
        assert!((gmsd(&other, &second, 4) - spread).abs() < 1e-15);
    }
}
