//! Generates a scene: draws a world, renders it and develops the light into a picture.

use super::renderer::SKY_DISTANCE;
use super::{indoors, outdoors};
use crate::pixels::{Plane, Rgb, luma};
use crate::rng::SceneRng;

/// A picture without haze.
pub(crate) struct Scene {
    pub(crate) kind: &'static str,
    /// The picture, sRGB-encoded, 0 to 1.
    pub(crate) clear: Rgb,
    /// The distance from the camera as a share of the distance from which haze no longer grows: 0 to 1, and 1 for the sky.
    pub(crate) distance: Plane,
}

/// Generates the scene with the given number.
pub(crate) fn generate_scene(seed: u64, number: u64, width: usize, height: usize) -> Scene {
    let mut rng = SceneRng::new(seed, number, "scene");
    let world = if rng.bernoulli(0.3) { indoors::room(&mut rng) } else { outdoors::landscape(&mut rng) };
    let (light, metres) = world.render(width, height);
    // Everything but the sky reaches well into the haze, however near it is.
    let near = Plane::from_values(metres.data.iter().copied().filter(|&t| t < 0.5 * SKY_DISTANCE));
    let far = world.far.min(near.quantile(0.6) / rng.uniform(0.25, 0.6));
    Scene { kind: world.kind, clear: develop(light, &mut rng), distance: metres.map(|t| (t / far).min(1.0)) }
}

/// Converts light to a picture: exposes by the bright parts of the scene, compresses highlights and encodes as sRGB.
fn develop(light: Rgb, rng: &mut SceneRng) -> Rgb {
    let (brightness, saturation) = (rng.uniform(0.55, 0.95), rng.uniform(0.85, 1.25));
    let exposure = brightness / light.luma().quantile(rng.uniform(0.85, 0.97)).max(1e-3);
    light.map(|pixel| {
        let gray = luma(pixel);
        pixel.map(|value| {
            let value = ((gray + (value - gray) * saturation) * exposure).max(0.0);
            encode_srgb(if value > 0.7 { 0.7 + 0.3 * (1.0 - libm::expf((0.7 - value) / 0.3)) } else { value })
        })
    })
}

/// Encodes linear light as sRGB.
fn encode_srgb(value: f32) -> f32 {
    if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * libm::powf(value, 1.0 / 2.4) - 0.055 }
}
