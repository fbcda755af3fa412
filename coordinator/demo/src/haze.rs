//! Haze by the scattering model: I = J t + A (1 - t) with t = exp(-beta d), J the clear picture, d the distance (0 to 1), A the
//! airlight, beta the density. Channels are those of the picture as a screen takes it, as dehazers assume.

use crate::plane::{Plane, Rgb};
use crate::random::Stream;

/// The air of a scene.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Haze {
    /// Density: the share of light that comes through from the farthest distance is exp(-beta).
    pub(crate) beta: f32,
    /// Red, green and blue of what is too far to be seen, 0 to 1.
    pub(crate) airlight: [f32; 3],
    /// Deviation of the sensor's noise, of 1.
    pub(crate) noise: f32,
}

impl Haze {
    /// Of a scene: thin to dense, nearly gray, bluish or yellowish.
    pub(crate) fn draw(random: &mut Stream) -> Haze {
        let (beta, light, tint) =
            (random.log_between(0.7, 2.8), random.between(0.7, 0.98), random.between(-0.05, 0.05));
        let green = random.between(-0.015, 0.015);
        let airlight = [light - tint, light + green, light + tint].map(|value: f32| value.min(1.0));
        Haze { beta, airlight, noise: random.log_between(0.002, 0.012) }
    }

    pub(crate) fn transmission(&self, distance: &Plane) -> Plane {
        distance.map(|d| libm::expf(-self.beta * d))
    }

    /// The picture through this air, with noise, as bytes hold it.
    pub(crate) fn over(&self, clear: &Rgb, distance: &Plane, random: &mut Stream) -> Rgb {
        let t = self.transmission(distance);
        let (width, height) = (clear.width(), clear.height());
        let grain = [0, 1, 2].map(|_| random.grain(width, height, self.noise));
        let seen = scattered(clear, &t, self.airlight);
        seen.channels(|channel, plane| plane.zip(&grain[channel], |value, noise| value + noise)).quantised()
    }
}

/// J t + A (1 - t)
pub(crate) fn scattered(clear: &Rgb, t: &Plane, airlight: [f32; 3]) -> Rgb {
    clear.channels(|channel, plane| plane.zip(t, |j, t| j * t + airlight[channel] * (1.0 - t)))
}

/// The inverse: (I - A) / max(t, `least`) + A.
pub(crate) fn cleared(hazy: &Rgb, t: &Plane, airlight: [f32; 3], least: f32) -> Rgb {
    hazy.channels(|channel, plane| {
        let a = airlight[channel];
        plane.zip(t, |i, t| (i - a) / t.max(least) + a)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picture(seed: u64) -> Rgb {
        let mut random = Stream::new(seed, 0, "test");
        Rgb([0, 1, 2].map(|_| Plane::from_fn(12, 9, |_, _| random.unit())))
    }

    fn contrast(picture: &Rgb) -> f32 {
        let luma = picture.luma();
        let mean = luma.mean();
        luma.map(|value| (value - mean) * (value - mean)).mean()
    }

    proptest! {
        #[test]
        fn clearing_undoes_haze(seed: u64, t in 0.1_f32..1.0, light in 0.5_f32..1.0) {
            let (clear, t) = (picture(seed), Plane::filled(12, 9, t));
            let again = cleared(&scattered(&clear, &t, [light; 3]), &t, [light; 3], 0.1);
            let apart = clear.pixels().flatten().zip(again.pixels().flatten()).map(|(a, b)| (a - b).abs());
            prop_assert!(apart.fold(0.0, f32::max) < 1e-4);
        }

        #[test]
        fn more_air_is_less_contrast(seed: u64, beta in 0.2_f32..3.0) {
            let thin = Haze { beta, airlight: [0.9, 0.9, 0.95], noise: 0.0 };
            let thick = Haze { beta: beta * 1.2, ..thin };
            let (clear, far) = (picture(seed), Plane::filled(12, 9, 0.7));
            let mut random = Stream::new(seed, 1, "haze");
            let seen = |haze: Haze| contrast(&scattered(&clear, &haze.transmission(&far), haze.airlight));
            prop_assert!(seen(thick) < seen(thin));
            prop_assert_eq!(thin.over(&clear, &Plane::filled(12, 9, 0.0), &mut random), clear.quantised());
            let fog = Haze { beta: 100.0, ..thin }.over(&clear, &far, &mut random);
            prop_assert!(fog.pixels().flatten().zip([0.9, 0.9, 0.95].into_iter().cycle()).all(|(a, b)| (a - b).abs() < 0.003));
        }
    }
}
