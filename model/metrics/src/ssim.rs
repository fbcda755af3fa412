//! Structural similarity (Wang 2004) by the authors' `ssim.m` of 2009: 11x11 Gaussian window of deviation 1.5, without the
//! border. The golden values are checked in `tests/goldens.rs`.

use crate::downsample::downsample;
use crate::plane::{Plane, sum};
use crate::undefined::Undefined;
use crate::window::{Rows, Size, filter_rows, gaussian};

const TAPS: usize = 11;
const DEVIATION: f64 = 1.5;
/// `(0.01 * 255)^2` and `(0.03 * 255)^2`.
const LUMINANCE_CONSTANT: f64 = 6.5025;
const CONTRAST_CONSTANT: f64 = 58.5225;

/// The downsampling aims at this length of the shorter side.
const AIMED_SIDE: usize = 256;

/// The means of the two maps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Similarity {
    /// Luminance, contrast and structure together.
    pub(crate) ssim: f64,
    /// Contrast and structure.
    pub(crate) contrast: f64,
}

/// Returns the similarity of two gray planes of equal size, downsampled by `round(shorter side / 256)`.
///
/// # Errors
/// [`Undefined::TooSmall`] if a side is shorter than 11 pixels.
#[inline(always)]
pub(crate) fn ssim(picture: &Plane, clear: &Plane) -> Result<f64, Undefined> {
    // Halves are rounded up, as in MATLAB: 640 / 256 becomes 3, which Python's `round` makes 2.
    let factor = (picture.width.min(picture.height) + AIMED_SIDE / 2) / AIMED_SIDE;
    let mut smaller = None;
    if factor > 1 {
        // Not by `map`, whose closure would be compiled for the baseline.
        smaller = Some([downsample(picture, factor), downsample(clear, factor)]);
    }
    let [picture, clear] = smaller.as_ref().map_or([picture, clear], |[picture, clear]| [picture, clear]);
    ssim_full(picture, clear)
}

/// Returns the similarity of two gray planes of equal size without downsampling.
///
/// # Errors
/// [`Undefined::TooSmall`] if a side is shorter than 11 pixels.
#[inline(always)]
pub(crate) fn ssim_full(picture: &Plane, clear: &Plane) -> Result<f64, Undefined> {
    if picture.width.min(picture.height) < TAPS {
        return Err(Undefined::TooSmall("sides of 11 pixels"));
    }
    Ok(similarity(picture, clear).ssim)
}

/// Returns the means of the maps of two planes of equal size with sides of 11 pixels or more.
#[inline(always)]
pub(crate) fn similarity(picture: &Plane, clear: &Plane) -> Similarity {
    let size = Size { width: picture.width, height: picture.height };
    let width = size.width - TAPS + 1;
    let (mut ssim_row, mut contrast_row) = (vec![0.0; width], vec![0.0; width]);
    let (mut ssim, mut contrast) = (0.0, 0.0);
    filter_rows(
        size,
        &gaussian::<TAPS>(DEVIATION),
        #[inline(always)]
        |y, rows: &mut Rows<4>| write_products(picture.row(y), clear.row(y), rows),
        #[inline(always)]
        |rows| {
            write_maps(rows, &mut ssim_row, &mut contrast_row);
            ssim += sum(&ssim_row);
            contrast += sum(&contrast_row);
        },
    );
    let count = (width * (size.height - TAPS + 1)) as f64;
    Similarity { ssim: ssim / count, contrast: contrast / count }
}

/// Writes what is filtered: the rows, the sum of their squares (the maps need no other) and their product.
#[inline(always)]
fn write_products(first: &[f64], second: &[f64], [a, b, squares, product]: &mut Rows<4>) {
    a.copy_from_slice(first);
    b.copy_from_slice(second);
    let outputs = squares.iter_mut().zip(product.iter_mut());
    for ((squares, product), (a, b)) in outputs.zip(first.iter().zip(second)) {
        *squares = a * a + b * b;
        *product = a * b;
    }
}

#[inline(always)]
fn write_maps([a, b, squares, product]: &Rows<4>, ssim: &mut [f64], contrast: &mut [f64]) {
    let width = ssim.len();
    let (a, b, squares, product) = (&a[..width], &b[..width], &squares[..width], &product[..width]);
    let contrast = &mut contrast[..width];
    for x in 0..width {
        let mean_squares = a[x] * a[x] + b[x] * b[x];
        let mean_product = a[x] * b[x];
        let variances = squares[x] - mean_squares;
        let covariance = product[x] - mean_product;
        let similar = (2.0 * covariance + CONTRAST_CONSTANT) / (variances + CONTRAST_CONSTANT);
        contrast[x] = similar;
        ssim[x] = similar * ((2.0 * mean_product + LUMINANCE_CONSTANT) / (mean_squares + LUMINANCE_CONSTANT));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_planes_compare_by_luminance_alone() {
        let [dark, bright] = [100.0, 150.0].map(|level| Plane::new(vec![level; 12 * 13], 12, 13));
        let expected = (2.0 * 100.0 * 150.0 + 6.5025) / (100.0 * 100.0 + 150.0 * 150.0 + 6.5025);
        let found = similarity(&dark, &bright);
        assert!((found.ssim - expected).abs() < 1e-12, "{found:?}");
        assert!((found.contrast - 1.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_side_of_ten_pixels_is_too_small() {
        let plane = Plane::new(vec![0.0; 10 * 20], 10, 20);
        assert!(matches!(ssim(&plane, &plane), Err(Undefined::TooSmall(_))));
    }

    /// 383 / 256 is below one and a half, 384 / 256 is rounded up. The checks of one pixel's period vanish when halved.
    #[test]
    fn the_factor_is_rounded_half_up() {
        for (side, halved) in [(383, false), (384, true)] {
            let checks = (0..side * side).map(|i| if (i % side + i / side) % 2 == 0 { 255.0 } else { 0.0 }).collect();
            let checks = Plane::new(checks, side, side);
            let flat = Plane::new(vec![127.5; side * side], side, side);
            assert_eq!(ssim(&checks, &flat).unwrap() > 0.99, halved, "{side}");
        }
    }
}
