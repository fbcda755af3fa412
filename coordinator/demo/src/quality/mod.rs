//! Pseudo-labels: how close a picture is to the clear one. They are computed and are not the opinion of any rater.

mod ciede2000;
mod gmsd;
mod ms_ssim;

pub(crate) use ms_ssim::SIDE_MIN;
use ms_ssim::SsimScales;

use crate::pixels::{Plane, Rgb};

/// The largest side in pixels: each thread holds about twenty pictures in memory.
pub(crate) const SIDE_MAX: usize = 4096;

/// The measures of a picture against the clear one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Quality {
    /// The multi-scale structural similarity of luma; 1 for equal pictures.
    pub(crate) ms_ssim: f32,
    /// The gradient magnitude similarity deviation of luma; 0 for equal pictures.
    pub(crate) gmsd: f32,
    /// The mean CIEDE2000 colour difference; 0 for equal pictures.
    pub(crate) ciede2000: f32,
}

/// What the measures need of a picture.
pub(crate) struct QualityFeatures {
    luma: Plane,
    scales: SsimScales,
    /// CIELAB at half the resolution.
    colours: Vec<[f32; 3]>,
}

impl QualityFeatures {
    pub(crate) fn new(picture: &Rgb) -> QualityFeatures {
        let luma = picture.luma();
        QualityFeatures { scales: SsimScales::new(&luma), colours: ciede2000::lab_at_half_size(picture), luma }
    }

    /// Measures another picture against this one.
    pub(crate) fn quality(&self, other: &QualityFeatures) -> Quality {
        Quality {
            ms_ssim: self.scales.compare(&other.scales),
            gmsd: gmsd::gmsd(&self.luma, &other.luma),
            ciede2000: ciede2000::mean_difference(&self.colours, &other.colours),
        }
    }
}

impl Quality {
    /// Returns the pseudo-label, 0 to 100, higher is better; 100 for equal pictures. The worst defect has the most weight.
    pub(crate) fn pseudo_mos(&self) -> f32 {
        // Each defect is 1 for a picture that is about as bad as one with haze of medium density.
        let defects = [(1.0 - self.ms_ssim) / 0.25, self.gmsd / 0.065, self.ciede2000 / 16.0];
        let loss = defects.iter().map(|defect| defect * defect).sum::<f32>().sqrt();
        100.0 / (1.0 + libm::powf(loss / 1.9, 1.9))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::SceneRng;

    /// Returns two planes that differ in phase, contrast and lightness. The NumPy references use the same formulas.
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
        let mut rng = SceneRng::new(seed, 0, "test");
        Rgb([0, 1, 2].map(|_| rng.gaussian_noise(SIDE_MIN, SIDE_MIN + 3, deviation).map(|value| value + 0.5)))
            .quantised()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn quality_is_perfect_for_equal_pictures_and_symmetric(seed in 0_u64..1000) {
            let [a, b] = [0.1, 0.2].map(|deviation| QualityFeatures::new(&noise(seed, deviation)));
            let same = a.quality(&a);
            prop_assert!((same.ms_ssim - 1.0).abs() < 1e-5 && same.gmsd < 1e-6 && same.ciede2000 == 0.0, "{same:?}");
            prop_assert!(same.pseudo_mos() > 99.999);
            let (forward, backward) = (a.quality(&b), b.quality(&a));
            prop_assert!((forward.ms_ssim - backward.ms_ssim).abs() < 1e-5, "{forward:?} {backward:?}");
            prop_assert!((forward.gmsd - backward.gmsd).abs() < 1e-6, "{forward:?} {backward:?}");
            prop_assert!((forward.ciede2000 - backward.ciede2000).abs() < 1e-3, "{forward:?} {backward:?}");
        }

        #[test]
        fn a_worse_measure_is_a_lower_label(ms_ssim in 0.0_f32..0.9, gmsd in 0.0_f32..0.3, ciede2000 in 0.0_f32..40.0) {
            let quality = Quality { ms_ssim, gmsd, ciede2000 };
            let mos = quality.pseudo_mos();
            prop_assert!((0.0..=100.0).contains(&mos));
            let more_similar = Quality { ms_ssim: ms_ssim + 0.1, ..quality };
            let higher_gmsd = Quality { gmsd: gmsd + 0.1, ..quality };
            let higher_difference = Quality { ciede2000: ciede2000 + 10.0, ..quality };
            prop_assert!(more_similar.pseudo_mos() > mos);
            prop_assert!(higher_gmsd.pseudo_mos() < mos && higher_difference.pseudo_mos() < mos);
        }
    }
}
