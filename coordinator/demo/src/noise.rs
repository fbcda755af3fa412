//! Deterministic noise over the plane.

use crate::pixels::mix;

/// Returns a hash of a grid cell as a number from 0 to 1.
pub(crate) fn cell_hash(x: i32, y: i32, seed: u32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77) ^ seed;
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h ^ (h >> 15)) as f32 / u32::MAX as f32
}

/// Returns smooth value noise of wavelength 1, from -1 to 1.
pub(crate) fn value_noise(u: f32, v: f32, seed: u32) -> f32 {
    let (iu, iv) = (u.floor(), v.floor());
    let (fu, fv) = (u - iu, v - iv);
    let (x, y) = (iu as i32, iv as i32);
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (su, sv) = (ease(fu), ease(fv));
    let top = mix(cell_hash(x, y, seed), cell_hash(x.wrapping_add(1), y, seed), su);
    let y = y.wrapping_add(1);
    let bottom = mix(cell_hash(x, y, seed), cell_hash(x.wrapping_add(1), y, seed), su);
    2.0 * mix(top, bottom, sv) - 1.0
}

/// Returns fractal noise: the sum of `octaves` octaves of value noise from wavelength 1 down, about -1 to 1. Wavelengths
/// below `footprint`, the size of a pixel, are left out because they would alias.
pub(crate) fn fractal_noise(u: f32, v: f32, octaves: u32, footprint: f32, seed: u32) -> f32 {
    let (mut sum, mut amplitude, mut wavelength) = (0.0, 0.6, 1.0);
    for octave in 0..octaves {
        let visible = (1.5 - footprint / wavelength).min(1.0);
        if visible <= 0.0 {
            break;
        }
        let octave_seed = seed.wrapping_add(octave.wrapping_mul(0x6c62_272e));
        sum += visible * amplitude * value_noise(u / wavelength, v / wavelength, octave_seed);
        amplitude *= 0.55;
        wavelength *= 0.5;
    }
    sum
}
