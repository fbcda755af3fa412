//! Multi-scale structural similarity (Wang 2003) by the authors' `msssim.m`: five scales, each half of the one before, the
//! contrast of the first four and the whole similarity of the last, to the power of their weights.

use crate::downsample::downsample;
use crate::plane::Plane;
use crate::ssim::similarity;
use crate::undefined::Undefined;

/// Exponents of the scales, from the finest. Their sum is 1.0001, as published.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// The last scale, a sixteenth, must hold the 11x11 window.
const SMALLEST_SIDE: usize = 176;

/// Returns the similarity of two gray planes of equal size.
///
/// # Errors
/// [`Undefined::TooSmall`] below 176 pixels, [`Undefined::Degenerate`] if the mean of a scale is negative: its power is
/// complex.
#[inline(always)]
pub(crate) fn ms_ssim(picture: &Plane, clear: &Plane) -> Result<f64, Undefined> {
    if picture.width.min(picture.height) < SMALLEST_SIDE {
        return Err(Undefined::TooSmall("sides of 176 pixels"));
    }
    let mut product = 1.0;
    let mut smaller: Option<[Plane; 2]> = None;
    for (scale, weight) in WEIGHTS.into_iter().enumerate() {
        let [picture, clear] = smaller.as_ref().map_or([picture, clear], |[picture, clear]| [picture, clear]);
        let means = similarity(picture, clear);
        if scale + 1 == WEIGHTS.len() {
            product *= power(means.ssim, weight)?;
            break;
        }
        product *= power(means.contrast, weight)?;
        // Not by `map`, whose closure would be compiled for the baseline.
        smaller = Some([downsample(picture, 2), downsample(clear, 2)]);
    }
    Ok(product)
}

fn power(mean: f64, weight: f64) -> Result<f64, Undefined> {
    if mean < 0.0 {
        return Err(Undefined::Degenerate("the mean similarity of a scale is negative"));
    }
    Ok(libm::pow(mean, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_picture_has_no_value() {
        let values: Vec<f64> = (0..176 * 176).map(|i| f64::from((i * 7919 + i / 176 * 104_729) % 256)).collect();
        let negative = values.iter().map(|value| 255.0 - value).collect();
        let [plane, negative] = [values, negative].map(|values| Plane::new(values, 176, 176));
        assert!(matches!(ms_ssim(&plane, &negative), Err(Undefined::Degenerate(_))));
        assert!((ms_ssim(&plane, &plane).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_side_of_175_pixels_is_too_small() {
        let plane = Plane::new(vec![0.0; 175 * 200], 200, 175);
        assert!(matches!(ms_ssim(&plane, &plane), Err(Undefined::TooSmall(_))));
    }
}
