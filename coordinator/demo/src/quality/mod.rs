//! Pseudo-labels: how near a picture is to the clear one. They stand for no one's opinion.

mod colour;
mod gradient;
mod ssim;

pub(crate) use ssim::SIDE_MIN;
use ssim::Scales;

use crate::plane::{Plane, Rgb};

/// The greatest side: some twenty pictures are in memory for each thread.
pub(crate) const SIDE_MAX: usize = 4096;

/// Distances of a picture from the clear one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quality {
    /// Multi-scale structural similarity of luma; 1 for equal pictures.
    pub(crate) ms_ssim: f32,
    /// Gradient magnitude similarity deviation of luma; 0 for equal pictures.
    pub(crate) gmsd: f32,
    /// Mean CIEDE2000; 0 for equal pictures.
    pub(crate) ciede2000: f32,
}

/// A picture, made ready to be compared.
pub(crate) struct Compared {
    luma: Plane,
    scales: Scales,
    colours: Vec<[f32; 3]>,
}

impl Compared {
    pub(crate) fn new(picture: &Rgb) -> Compared {
        let luma = picture.luma();
        Compared { scales: Scales::new(&luma), colours: colour::seen(picture), luma }
    }

    /// How far another is from this one.
    pub(crate) fn quality(&self, other: &Compared) -> Quality {
        Quality {
            ms_ssim: self.scales.compare(&other.scales),
            gmsd: gradient::gmsd(&self.luma, &other.luma),
            ciede2000: colour::difference(&self.colours, &other.colours),
        }
    }
}

impl Quality {
    /// 0 to 100, higher is better; 100 for equal pictures. The worst defect counts most.
    pub(crate) fn pseudo_mos(&self) -> f32 {
        // Each is 1 where a picture is about as bad as haze of medium density.
        let defects = [(1.0 - self.ms_ssim) / 0.25, self.gmsd / 0.065, self.ciede2000 / 16.0];
        let loss = defects.iter().map(|defect| defect * defect).sum::<f32>().sqrt();
        100.0 / (1.0 + libm::powf(loss / 1.9, 1.9))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Stream;

    /// Two that differ in phase, contrast and lightness; the references' numbers are of the same formulas.
    pub(super) fn waves() -> (Plane, Plane) {
        let wave = |k: f32| {
            Plane::from_fn(192, 176, |x, y| {
                let (x, y) = (x as f32, y as f32);
                let slow = libm::sinf(0.05 * x * (1.0 + 0.3 * k) - 0.11 * y);
                0.5 + 0.3 * libm::sinf(0.31 * x + 0.17 * y + k) + 0.15 * slow
            })
        };
        (wave(0.0), wave(0.4).map(|value| 0.8 * value + 0.1))
    }

    fn noise(seed: u64, deviation: f32) -> Rgb {
        let mut random = Stream::new(seed, 0, "test");
        Rgb([0, 1, 2].map(|_| random.grain(SIDE_MIN, SIDE_MIN + 3, deviation).map(|value| value + 0.5))).quantised()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn equal_pictures_are_perfect_and_comparing_has_no_direction(seed in 0_u64..1000) {
            let [a, b] = [0.1, 0.2].map(|deviation| Compared::new(&noise(seed, deviation)));
            let same = a.quality(&a);
            prop_assert!((same.ms_ssim - 1.0).abs() < 1e-5 && same.gmsd < 1e-6 && same.ciede2000 == 0.0, "{same:?}");
            prop_assert!(same.pseudo_mos() > 99.999);
            let (there, back) = (a.quality(&b), b.quality(&a));
            prop_assert!((there.ms_ssim - back.ms_ssim).abs() < 1e-5, "{there:?} {back:?}");
            prop_assert!((there.gmsd - back.gmsd).abs() < 1e-6, "{there:?} {back:?}");
            prop_assert!((there.ciede2000 - back.ciede2000).abs() < 1e-3, "{there:?} {back:?}");
        }

        #[test]
        fn a_worse_measure_is_a_lower_label(ms_ssim in 0.0_f32..0.9, gmsd in 0.0_f32..0.3, ciede2000 in 0.0_f32..40.0) {
            let quality = Quality { ms_ssim, gmsd, ciede2000 };
            let mos = quality.pseudo_mos();
            prop_assert!((0.0..=100.0).contains(&mos));
            let better = Quality { ms_ssim: ms_ssim + 0.1, ..quality };
            let rougher = Quality { gmsd: gmsd + 0.1, ..quality };
            let paler = Quality { ciede2000: ciede2000 + 10.0, ..quality };
            prop_assert!(better.pseudo_mos() > mos);
            prop_assert!(rougher.pseudo_mos() < mos && paler.pseudo_mos() < mos);
        }
    }
}
