//! Hautière's indicators of restored contrast (2008), of a picture before and after dehazing: `e`, the rate of newly
//! visible edges; `r`, the mean ratio of the gradients at visible edges; `sigma`, the share of saturated pixels.

use crate::gray::gray_levels;
use crate::rgb_view::RgbView;
use crate::undefined::Undefined;
use crate::visible_edges::visible_edges;

/// The gray levels of a picture and its visible edges.
pub(crate) struct EdgePicture {
    levels: Vec<u8>,
    visible: Vec<bool>,
    width: usize,
}

impl EdgePicture {
    #[inline(always)]
    pub(crate) fn new(picture: &RgbView<'_>) -> Self {
        let levels = gray_levels(picture);
        let visible = visible_edges(&levels, picture.width(), picture.height());
        Self { levels, visible, width: picture.width() }
    }

    fn edge_count(&self) -> usize {
        self.visible.iter().filter(|visible| **visible).count()
    }
}

/// Returns `(edges after - edges before) / edges before`.
///
/// # Errors
/// [`Undefined::Degenerate`] if no edge is visible before.
pub(crate) fn new_edge_rate([hazy, dehazed]: &[EdgePicture; 2]) -> Result<f64, Undefined> {
    let (before, after) = (hazy.edge_count() as f64, dehazed.edge_count() as f64);
    if before == 0.0 {
        return Err(Undefined::Degenerate("no edge of the hazy picture is visible"));
    }
    Ok((after - before) / before)
}

/// Returns the geometric mean of the ratios of gradients, after to before, at the edges that are visible after.
///
/// REFERENCE: a ratio with a gradient of 0 is left out of the product, but its edge counts in the exponent.
///
/// # Errors
/// [`Undefined::Degenerate`] if no edge is visible after.
#[inline(always)]
pub(crate) fn gradient_ratio([hazy, dehazed]: &[EdgePicture; 2]) -> Result<f64, Undefined> {
    let edges = dehazed.edge_count();
    if edges == 0 {
        return Err(Undefined::Degenerate("no edge of the dehazed picture is visible"));
    }
    let width = dehazed.width;
    let mut product = Product::default();
    for (y, visible) in dehazed.visible.chunks_exact(width).enumerate() {
        let (rows_before, rows_after) = (rows_around(&hazy.levels, width, y), rows_around(&dehazed.levels, width, y));
        for (x, visible) in visible.iter().enumerate() {
            if *visible {
                let (before, after) = (squared_gradient(rows_before, x), squared_gradient(rows_after, x));
                if before > 0 && after > 0 {
                    product.multiply(f64::from(after) / f64::from(before));
                }
            }
        }
    }
    // The ratios are squared, hence the half.
    Ok(libm::exp(0.5 * product.logarithm() / edges as f64))
}

/// A product of many factors, which as a double would overflow.
struct Product {
    factor: f64,
    logarithm: f64,
}

impl Default for Product {
    fn default() -> Self {
        Self { factor: 1.0, logarithm: 0.0 }
    }
}

impl Product {
    /// Multiplies by a ratio of squared gradients, which is between 2^-21 and 2^21.
    #[inline(always)]
    fn multiply(&mut self, ratio: f64) {
        // One logarithm for many ratios.
        const LIMIT: f64 = 1e200;
        self.factor *= ratio;
        if !(1.0 / LIMIT..LIMIT).contains(&self.factor) {
            self.logarithm += libm::log(self.factor);
            self.factor = 1.0;
        }
    }

    fn logarithm(&self) -> f64 {
        self.logarithm + libm::log(self.factor)
    }
}

/// Returns the row above, the row and the row below. The border is mirrored with the edge pixel.
#[inline(always)]
fn rows_around(levels: &[u8], width: usize, y: usize) -> [&[u8]; 3] {
    let last = levels.len() / width - 1;
    let row = |y: usize| &levels[y * width..][..width];
    [row(y.saturating_sub(1)), row(y), row((y + 1).min(last))]
}

/// Returns the squared Sobel gradient at a pixel of the middle row. The border is mirrored with the edge pixel.
#[inline(always)]
fn squared_gradient([above, here, below]: [&[u8]; 3], x: usize) -> i32 {
    let (left, right) = (x.saturating_sub(1), (x + 1).min(here.len() - 1));
    let [a, b, c] = [i32::from(above[left]), i32::from(above[x]), i32::from(above[right])];
    let [d, e] = [i32::from(here[left]), i32::from(here[right])];
    let [f, g, h] = [i32::from(below[left]), i32::from(below[x]), i32::from(below[right])];
    let across = (a + 2 * d + f) - (c + 2 * e + h);
    let down = (a + 2 * b + c) - (f + 2 * g + h);
    across * across + down * down
}

/// Returns the share of pixels that are black.
///
/// REFERENCE: the published code counts the levels 0 and 256 as saturated, so that white never counts.
pub(crate) fn black_share(levels: &[u8]) -> f64 {
    share(levels, |level| level == 0)
}

/// Returns the share of pixels that are black or white.
pub(crate) fn saturated_share(levels: &[u8]) -> f64 {
    share(levels, |level| level == 0 || level == u8::MAX)
}

fn share(levels: &[u8], counts: impl Fn(u8) -> bool) -> f64 {
    levels.iter().filter(|level| counts(**level)).count() as f64 / levels.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(levels: &[u8], visible: &[bool], width: usize) -> EdgePicture {
        EdgePicture { levels: levels.to_vec(), visible: visible.to_vec(), width }
    }

    #[test]
    fn rate_is_relative_to_the_edges_before() {
        let before = picture(&[0; 4], &[true, true, false, false], 2);
        let after = picture(&[0; 4], &[true, false, true, true], 2);
        assert_eq!(new_edge_rate(&[before, after]), Ok(0.5));
        let none = || picture(&[0; 4], &[false; 4], 2);
        assert!(matches!(new_edge_rate(&[none(), none()]), Err(Undefined::Degenerate(_))));
    }

    #[test]
    fn gradients_mirror_the_border() {
        let levels = [10, 20, 30, 50];
        // Row 0: across 3 (10 - 20) + 30 - 50 = -50, down (3 * 10 + 20) - (3 * 30 + 50) = -90.
        let rows = rows_around(&levels, 2, 0);
        assert_eq!(squared_gradient(rows, 0), 50 * 50 + 90 * 90);
        assert_eq!(squared_gradient(rows, 1), 50 * 50 + 110 * 110);
        assert_eq!(squared_gradient(rows_around(&[5], 1, 0), 0), 0);
    }

    #[test]
    fn ratio_counts_edges_without_gradient_in_the_exponent() {
        // A step of 10 becomes a step of 90, at four of the visible pixels; the fifth has no gradient.
        let before: Vec<u8> = (0..6 * 3).map(|index| if index % 6 < 3 { 100 } else { 110 }).collect();
        let after: Vec<u8> = before.iter().map(|level| if *level == 100 { 100 } else { 190 }).collect();
        let visible: Vec<bool> = (0..6 * 3).map(|index| matches!(index, 2 | 3 | 8 | 9 | 12)).collect();
        let ratio = gradient_ratio(&[picture(&before, &visible, 6), picture(&after, &visible, 6)]).unwrap();
        assert!((ratio - libm::pow(9.0, 4.0 / 5.0)).abs() < 1e-12, "{ratio}");
    }

    #[test]
    fn product_does_not_overflow() {
        let mut product = Product::default();
        (0..1000).for_each(|_| product.multiply(1e6));
        assert!((product.logarithm() - 1000.0 * libm::log(1e6)).abs() < 1e-8);
    }

    #[test]
    fn white_is_saturated_at_255_only() {
        let levels = [0, 255, 255, 7];
        assert_eq!((black_share(&levels), saturated_share(&levels)), (0.25, 0.75));
    }
}
