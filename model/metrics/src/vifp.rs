//! Visual information fidelity in the pixel domain (Sheikh 2006) by the authors' `vifp_mscale.m`: how much of the
//! information of the clear picture is left, over four scales.

use crate::plane::{Plane, sum};
use crate::undefined::Undefined;
use crate::window::{Rows, Size, filter_rows, gaussian};

/// Variance of the noise of the eye.
const NOISE: f64 = 2.0;
/// Variances below this count as none.
const SMALLEST: f64 = 1e-10;

/// The window of the first scale is 17 wide; three are needed at the fourth, after three filters and halvings.
const SMALLEST_SIDE: usize = 41;

/// Returns the fidelity of two gray planes of equal size: 1 if they are equal, more if contrast was added.
///
/// # Errors
/// [`Undefined::TooSmall`] below 41 pixels, [`Undefined::Degenerate`] if the clear picture has one level.
#[inline(always)]
pub(crate) fn vifp(picture: &Plane, clear: &Plane) -> Result<f64, Undefined> {
    if picture.width.min(picture.height) < SMALLEST_SIDE {
        return Err(Undefined::TooSmall("sides of 41 pixels"));
    }
    let mut information = Information::default();
    information.add_scale::<17>(picture, clear);
    let (picture, clear) = (halve::<9>(picture), halve::<9>(clear));
    information.add_scale::<9>(&picture, &clear);
    let (picture, clear) = (halve::<5>(&picture), halve::<5>(&clear));
    information.add_scale::<5>(&picture, &clear);
    let (picture, clear) = (halve::<3>(&picture), halve::<3>(&clear));
    information.add_scale::<3>(&picture, &clear);
    let (of_picture, of_clear) = (information.of_picture.total(), information.of_clear.total());
    if of_clear == 0.0 {
        return Err(Undefined::Degenerate("the clear picture has one gray level"));
    }
    Ok(of_picture / of_clear)
}

/// Returns the window of a scale.
fn window<const TAPS: usize>() -> [f64; TAPS] {
    gaussian(TAPS as f64 / 5.0)
}

/// Filters a plane without its border and keeps every second row and column from the first.
#[inline(always)]
fn halve<const TAPS: usize>(plane: &Plane) -> Plane {
    let size = Size { width: plane.width, height: plane.height };
    let width = (plane.width - TAPS + 1).div_ceil(2);
    let height = (plane.height - TAPS + 1).div_ceil(2);
    let mut values = vec![0.0; width * height];
    let mut y = 0;
    filter_rows(
        size,
        &window::<TAPS>(),
        #[inline(always)]
        |y, [row]: &mut Rows<1>| row.copy_from_slice(plane.row(y)),
        #[inline(always)]
        |[row]| {
            if y % 2 == 0 {
                for (half, value) in values[y / 2 * width..][..width].iter_mut().zip(row.iter().step_by(2)) {
                    *half = *value;
                }
            }
            y += 1;
        },
    );
    Plane::new(values, width, height)
}

/// What reaches the eye of the two pictures, as sums of logarithms.
#[derive(Default)]
struct Information {
    of_picture: LogarithmSum,
    of_clear: LogarithmSum,
}

impl Information {
    #[inline(always)]
    fn add_scale<const TAPS: usize>(&mut self, picture: &Plane, clear: &Plane) {
        let size = Size { width: picture.width, height: picture.height };
        let mut of_picture = vec![0.0; size.width - TAPS + 1];
        let mut of_clear = of_picture.clone();
        filter_rows(
            size,
            &window::<TAPS>(),
            #[inline(always)]
            |y, rows: &mut Rows<5>| write_products(picture.row(y), clear.row(y), rows),
            #[inline(always)]
            |rows| {
                write_ratios(rows, &mut of_picture, &mut of_clear);
                self.of_picture.add(&of_picture);
                self.of_clear.add(&of_clear);
            },
        );
    }
}

/// Writes what is filtered: the rows, their squares and their product.
#[inline(always)]
fn write_products(picture: &[f64], clear: &[f64], [p, c, pp, cc, pc]: &mut Rows<5>) {
    p.copy_from_slice(picture);
    c.copy_from_slice(clear);
    let outputs = pp.iter_mut().zip(cc).zip(pc);
    for (((pp, cc), pc), (p, c)) in outputs.zip(picture.iter().zip(clear)) {
        *pp = p * p;
        *cc = c * c;
        *pc = p * c;
    }
}

/// Writes one plus the ratio of signal to noise, of the picture and of the clear picture.
#[inline(always)]
fn write_ratios([p, c, pp, cc, pc]: &Rows<5>, of_picture: &mut [f64], of_clear: &mut [f64]) {
    let width = of_picture.len();
    let (p, c, pp, cc, pc) = (&p[..width], &c[..width], &pp[..width], &cc[..width], &pc[..width]);
    let of_clear = &mut of_clear[..width];
    for x in 0..width {
        let picture_variance = (pp[x] - p[x] * p[x]).max(0.0);
        let clear_variance = (cc[x] - c[x] * c[x]).max(0.0);
        let covariance = pc[x] - p[x] * c[x];
        let [picture_ratio, clear_ratio] = ratios(picture_variance, clear_variance, covariance);
        of_picture[x] = 1.0 + picture_ratio;
        of_clear[x] = 1.0 + clear_ratio;
    }
}

/// The picture is taken as `gain` times the clear one and noise. A negative gain is all noise.
#[inline(always)]
fn ratios(picture_variance: f64, clear_variance: f64, covariance: f64) -> [f64; 2] {
    let gain = covariance / (clear_variance + SMALLEST);
    let is_empty = clear_variance < SMALLEST || picture_variance < SMALLEST;
    let is_lost = gain < 0.0 || clear_variance < SMALLEST;
    let noise = if is_lost { picture_variance } else { picture_variance - gain * covariance };
    let noise = if picture_variance < SMALLEST { 0.0 } else { noise };
    let gain = if is_empty || gain < 0.0 { 0.0 } else { gain };
    let signal = if clear_variance < SMALLEST { 0.0 } else { clear_variance };
    [gain * gain * signal / (noise.max(SMALLEST) + NOISE), signal / NOISE]
}

/// Number of factors that are multiplied before their logarithm is taken: a factor is below 2^13, since the variance of
/// 8 bits is below 2^14, so the product is below 2^832.
const FACTORS: usize = 64;
const LANES: usize = 16;

/// A sum of logarithms of factors from 1 to 2^13, by few logarithms of products.
struct LogarithmSum {
    products: [f64; LANES],
    factors: usize,
    total: f64,
}

impl Default for LogarithmSum {
    fn default() -> Self {
        Self { products: [1.0; LANES], factors: 0, total: 0.0 }
    }
}

impl LogarithmSum {
    #[inline(always)]
    fn add(&mut self, factors: &[f64]) {
        for chunk in factors.chunks(LANES) {
            if self.factors == FACTORS {
                self.take_logarithms();
            }
            self.factors += 1;
            for (product, factor) in self.products.iter_mut().zip(chunk) {
                *product *= factor;
            }
        }
    }

    fn take_logarithms(&mut self) {
        self.total += sum(&self.products.map(libm::log10));
        self.products = [1.0; LANES];
        self.factors = 0;
    }

    fn total(mut self) -> f64 {
        self.take_logarithms();
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_many_large_factors_does_not_overflow() {
        let mut logarithms = LogarithmSum::default();
        logarithms.add(&[8000.0; 10_007]);
        logarithms.add(&[1.25; 3]);
        let expected = 10_007.0 * libm::log10(8000.0) + 3.0 * libm::log10(1.25);
        assert!((logarithms.total() - expected).abs() < 1e-8);
    }

    #[test]
    fn ratios_are_those_of_hand() {
        // Gain 2, noise 17 - 2 * 8 = 1: 4 * 4 / (1 + 2) and 4 / 2.
        let [picture, clear] = ratios(17.0, 4.0, 8.0);
        assert!((picture - 16.0 / 3.0).abs() < 1e-8 && clear == 2.0, "{picture} {clear}");
        assert_eq!(ratios(17.0, 4.0, -8.0), [0.0, 2.0]);
        assert_eq!(ratios(17.0, 0.0, 0.0), [0.0, 0.0]);
        assert_eq!(ratios(0.0, 4.0, 0.0), [0.0, 2.0]);
    }

    #[test]
    fn a_clear_picture_of_one_level_has_no_information() {
        let flat = Plane::new(vec![255.0; 50 * 50], 50, 50);
        let noisy = Plane::new((0..2500).map(|i| f64::from(i * 7919 % 256)).collect(), 50, 50);
        assert!(matches!(vifp(&noisy, &flat), Err(Undefined::Degenerate(_))));
        assert_eq!(vifp(&flat, &noisy), Ok(0.0));
    }
}
