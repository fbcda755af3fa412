//! Dehazing algorithms that estimate the haze by a prior: the dark channel (He, Sun, Tang 2011) and colour attenuation
//! (Zhu, Mai, Shao 2015).

use crate::filters::{guided_filter, minimum};
use crate::haze::remove_haze;
use crate::pixels::{Plane, Rgb};

/// The parameters of the dark channel prior.
pub(super) struct DarkChannel {
    /// The radius of the patch in pixels.
    pub(super) radius: usize,
    /// The share of the haze that is removed.
    pub(super) omega: f32,
    /// The lower bound of the transmission.
    pub(super) transmission_min: f32,
    /// Whether a guided filter aligns the transmission with the edges of the picture.
    pub(super) refined: bool,
}

impl DarkChannel {
    /// The published parameters, with the guided filter in place of matting.
    pub(super) const PUBLISHED: DarkChannel =
        DarkChannel { radius: 7, omega: 0.95, transmission_min: 0.1, refined: true };

    pub(super) fn dehaze(&self, hazy: &Rgb) -> Rgb {
        let airlight = airlight(hazy, &dark_channel(hazy, self.radius), 0.999);
        let relative = hazy.map_channels(|channel, plane| plane.map(|value| value / airlight[channel]));
        let t = dark_channel(&relative, self.radius).map(|dark| 1.0 - self.omega * dark);
        let t = if self.refined { refine(hazy, &t) } else { t };
        remove_haze(hazy, &t, airlight, self.transmission_min)
    }
}

/// Removes haze with the distance estimated as a linear function of brightness and saturation, with the authors'
/// coefficients.
pub(super) fn colour_attenuation(hazy: &Rgb) -> Rgb {
    let depth = hazy.to_plane(|[r, g, b]| {
        let (value, least) = (r.max(g).max(b), r.min(g).min(b));
        let saturation = if value > 0.0 { (value - least) / value } else { 0.0 };
        0.121_779 + 0.959_710 * value - 0.780_245 * saturation
    });
    let depth = minimum(&depth, 7);
    let airlight = airlight(hazy, &depth, 0.999);
    let t = refine(hazy, &depth).map(|d| libm::expf(-d).clamp(0.1, 0.9));
    remove_haze(hazy, &t, airlight, 0.1)
}

/// Returns the minimum of all channels over the patch around each pixel.
fn dark_channel(picture: &Rgb, radius: usize) -> Plane {
    minimum(&picture.to_plane(|[r, g, b]| r.min(g).min(b)), radius)
}

fn refine(hazy: &Rgb, t: &Plane) -> Plane {
    let radius = (hazy.width().min(hazy.height()) / 10).max(8);
    guided_filter(&hazy.luma(), t, radius, 1e-3)
}

/// Returns the mean colour of the pixels whose `haze` is at least its quantile at `share`.
fn airlight(hazy: &Rgb, haze: &Plane, share: f32) -> [f32; 3] {
    let haze_min = haze.quantile(share);
    let far: Vec<[f32; 3]> =
        hazy.pixels().zip(&haze.data).filter(|(_, haze)| **haze >= haze_min).map(|(pixel, _)| pixel).collect();
    let mean = |channel: usize| far.iter().map(|pixel| pixel[channel]).sum::<f32>() / far.len() as f32;
    // Not black, because pictures are divided by the airlight.
    [0, 1, 2].map(|channel| mean(channel).max(0.05))
}
