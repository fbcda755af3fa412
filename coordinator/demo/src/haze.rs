//! Haze by the atmospheric scattering model: I = J t + A (1 - t) with transmission t = exp(-beta d), where J is the clear
//! picture, d the distance (0 to 1), A the airlight and beta the density. Channels are sRGB-encoded, as dehazing algorithms
//! assume.

use crate::pixels::{Plane, Rgb};
use crate::rng::SceneRng;

/// The haze of a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Haze {
    /// The density: the transmission at the farthest distance is exp(-beta).
    pub(crate) beta: f32,
    /// The airlight: red, green and blue of a place too far away to be visible, 0 to 1.
    pub(crate) airlight: [f32; 3],
    /// The standard deviation of the sensor noise, where white is 1.
    pub(crate) noise: f32,
}

impl Haze {
    /// Draws haze between thin and dense, and nearly gray, bluish or yellowish.
    pub(crate) fn draw(rng: &mut SceneRng) -> Haze {
        let (beta, light, tint) = (rng.log_uniform(0.7, 2.8), rng.uniform(0.7, 0.98), rng.uniform(-0.05, 0.05));
        let green = rng.uniform(-0.015, 0.015);
        let airlight = [light - tint, light + green, light + tint].map(|value: f32| value.min(1.0));
        Haze { beta, airlight, noise: rng.log_uniform(0.002, 0.012) }
    }

    pub(crate) fn transmission(&self, distance: &Plane) -> Plane {
        distance.map(|d| libm::expf(-self.beta * d))
    }

    /// Returns the picture through this haze, with sensor noise, rounded to bytes.
    pub(crate) fn apply(&self, clear: &Rgb, distance: &Plane, rng: &mut SceneRng) -> Rgb {
        let t = self.transmission(distance);
        let (width, height) = (clear.width(), clear.height());
        let grain = [0, 1, 2].map(|_| rng.gaussian_noise(width, height, self.noise));
        let hazy = add_haze(clear, &t, self.airlight);
        hazy.map_channels(|channel, plane| plane.zip(&grain[channel], |value, noise| value + noise)).quantised()
    }
}

/// Returns the hazy picture J t + A (1 - t).
pub(crate) fn add_haze(clear: &Rgb, t: &Plane, airlight: [f32; 3]) -> Rgb {
    clear.map_channels(|channel, plane| plane.zip(t, |j, t| j * t + airlight[channel] * (1.0 - t)))
}

/// Inverts the model: returns (I - A) / max(t, `transmission_min`) + A.
pub(crate) fn remove_haze(hazy: &Rgb, t: &Plane, airlight: [f32; 3], transmission_min: f32) -> Rgb {
    hazy.map_channels(|channel, plane| {
        let a = airlight[channel];
        plane.zip(t, |i, t| (i - a) / t.max(transmission_min) + a)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture(seed: u64) -> Rgb {
        let mut rng = SceneRng::new(seed, 0, "test");
        Rgb([0, 1, 2].map(|_| Plane::from_fn(12, 9, |_, _| rng.unit())))
    }

    fn contrast(picture: &Rgb) -> f32 {
        let luma = picture.luma();
        let mean = luma.mean();
        luma.map(|value| (value - mean) * (value - mean)).mean()
    }

    proptest! {
        #[test]
        fn removing_haze_inverts_adding_it(seed: u64, t in 0.1_f32..1.0, light in 0.5_f32..1.0) {
            let (clear, t) = (picture(seed), Plane::filled(12, 9, t));
            let restored = remove_haze(&add_haze(&clear, &t, [light; 3]), &t, [light; 3], 0.1);
            let differences = clear.pixels().flatten().zip(restored.pixels().flatten()).map(|(a, b)| (a - b).abs());
            prop_assert!(differences.fold(0.0, f32::max) < 1e-4);
        }

        #[test]
        fn denser_haze_has_less_contrast(seed: u64, beta in 0.2_f32..3.0) {
            let thin = Haze { beta, airlight: [0.9, 0.9, 0.95], noise: 0.0 };
            let thick = Haze { beta: beta * 1.2, ..thin };
            let (clear, far) = (picture(seed), Plane::filled(12, 9, 0.7));
            let mut rng = SceneRng::new(seed, 1, "haze");
            let contrast = |haze: Haze| contrast(&add_haze(&clear, &haze.transmission(&far), haze.airlight));
            prop_assert!(contrast(thick) < contrast(thin));
            prop_assert_eq!(thin.apply(&clear, &Plane::filled(12, 9, 0.0), &mut rng), clear.quantised());
            let fog = Haze { beta: 100.0, ..thin }.apply(&clear, &far, &mut rng);
            let mut values = fog.pixels().flatten().zip([0.9, 0.9, 0.95].into_iter().cycle());
            prop_assert!(values.all(|(a, b)| (a - b).abs() < 0.003));
        }
    }
}
