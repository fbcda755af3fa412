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
