//! Dehazers that estimate the air by a prior: the dark channel (He, Sun, Tang 2011) and colour attenuation (Zhu, Mai, Shao
//! 2015).

use crate::filters::{guided, minimum};
use crate::haze::cleared;
use crate::plane::{Plane, Rgb};

/// How the dark channel prior is used.
pub(super) struct DarkChannel {
    /// Half of the patch, pixels.
    pub(super) radius: usize,
    /// How much of the haze is taken away.
    pub(super) omega: f32,
    /// The least transmission that is believed.
    pub(super) least: f32,
    /// Whether the transmission gets the picture's edges back, by a guided filter.
    pub(super) refined: bool,
}

impl DarkChannel {
    /// As published, with the guided filter in place of matting.
    pub(super) const PUBLISHED: DarkChannel = DarkChannel { radius: 7, omega: 0.95, least: 0.1, refined: true };

    pub(super) fn dehaze(&self, hazy: &Rgb) -> Rgb {
        let airlight = airlight(hazy, &dark_channel(hazy, self.radius), 0.999);
        let relative = hazy.channels(|channel, plane| plane.map(|value| value / airlight[channel]));
        let t = dark_channel(&relative, self.radius).map(|dark| 1.0 - self.omega * dark);
        let t = if self.refined { refine(hazy, &t) } else { t };
        cleared(hazy, &t, airlight, self.least)
    }
}

/// Distance as a linear function of brightness and saturation, with the authors' coefficients.
pub(super) fn colour_attenuation(hazy: &Rgb) -> Rgb {
    let depth = hazy.to_plane(|[r, g, b]| {
        let (value, least) = (r.max(g).max(b), r.min(g).min(b));
        let saturation = if value > 0.0 { (value - least) / value } else { 0.0 };
        0.121_779 + 0.959_710 * value - 0.780_245 * saturation
    });
    let depth = minimum(&depth, 7);
    let airlight = airlight(hazy, &depth, 0.999);
    let t = refine(hazy, &depth).map(|d| libm::expf(-d).clamp(0.1, 0.9));
    cleared(hazy, &t, airlight, 0.1)
}

/// The least of all channels over a patch.
fn dark_channel(picture: &Rgb, radius: usize) -> Plane {
    minimum(&picture.to_plane(|[r, g, b]| r.min(g).min(b)), radius)
}

fn refine(hazy: &Rgb, t: &Plane) -> Plane {
    let radius = (hazy.width().min(hazy.height()) / 10).max(8);
    guided(&hazy.luma(), t, radius, 1e-3)
}

/// The mean colour where `haze` is highest: above this share of its values.
fn airlight(hazy: &Rgb, haze: &Plane, share: f32) -> [f32; 3] {
    let least = haze.quantile(share);
    let far: Vec<[f32; 3]> =
        hazy.pixels().zip(&haze.data).filter(|(_, haze)| **haze >= least).map(|(pixel, _)| pixel).collect();
    let mean = |channel: usize| far.iter().map(|pixel| pixel[channel]).sum::<f32>() / far.len() as f32;
    // Not black, which would be divided by.
    [0, 1, 2].map(|channel| mean(channel).max(0.05))
}
