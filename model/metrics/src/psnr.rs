//! Peak signal-to-noise ratio: `10 log10(255² / MSE)`, without a crop and without a cap. The squares are summed as
//! integers, so the order does not matter.

use crate::undefined::Undefined;

/// Returns the ratio of two pictures' samples in dB.
///
/// # Errors
/// [`Undefined::Infinite`] if the samples are equal.
#[inline(always)]
pub(crate) fn psnr(picture: &[u8], clear: &[u8]) -> Result<f64, Undefined> {
    let squares: u64 = picture.iter().zip(clear).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    if squares == 0 {
        return Err(Undefined::Infinite);
    }
    let mean_square = squares as f64 / picture.len() as f64;
    Ok(10.0 * libm::log10(255.0 * 255.0 / mean_square))
}
