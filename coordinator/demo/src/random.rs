//! Random numbers: streams that depend on the seed, the scene and what they are for, and nothing else; so a scene is the
//! same however many there are, and whoever draws first. And noise over space.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::plane::{Plane, mix};

/// Numbers for one purpose in one scene.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// `purpose` tells streams of one scene apart.
    pub(crate) fn new(seed: u64, scene: u64, purpose: &str) -> Stream {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&scene.to_le_bytes());
        key[16..24].copy_from_slice(&fnv1a(purpose).to_le_bytes());
        Stream(ChaCha8Rng::from_seed(key))
    }

    /// Uniform, 0 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        mix(low, high, self.unit())
    }

    /// Uniform in its logarithm; both ends above 0.
    pub(crate) fn log_between(&mut self, low: f32, high: f32) -> f32 {
        libm::expf(self.between(libm::logf(low), libm::logf(high)))
    }

    /// From 0 to below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n as u32) as usize
    }

    pub(crate) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn seed(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Nearly normal, mean 0, deviation 1, within 3.47: the sum of four uniform numbers.
    pub(crate) fn normal(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum: u32 = (0..4).map(|at| (bits >> (16 * at)) as u32 & 0xffff).sum();
        (sum as f32 / 65535.0 - 2.0) * 1.732_050_8
    }

    /// Independent normal numbers of a deviation.
    pub(crate) fn grain(&mut self, width: usize, height: usize, deviation: f32) -> Plane {
        Plane::from_fn(width, height, |_, _| deviation * self.normal())
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A number from 0 to 1 for a place of a grid.
pub(crate) fn cell(x: i32, y: i32, seed: u32) -> f32 {
    let mut h = (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77) ^ seed;
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h ^ (h >> 15)) as f32 / u32::MAX as f32
}

/// Smooth noise of one wavelength, -1 to 1.
pub(crate) fn noise(u: f32, v: f32, seed: u32) -> f32 {
    let (iu, iv) = (u.floor(), v.floor());
    let (fu, fv) = (u - iu, v - iv);
    let (x, y) = (iu as i32, iv as i32);
    let ease = |t: f32| t * t * (3.0 - 2.0 * t);
    let (su, sv) = (ease(fu), ease(fv));
    let top = mix(cell(x, y, seed), cell(x.wrapping_add(1), y, seed), su);
    let y = y.wrapping_add(1);
    let bottom = mix(cell(x, y, seed), cell(x.wrapping_add(1), y, seed), su);
    2.0 * mix(top, bottom, sv) - 1.0
}

/// Noise of so many octaves from wavelength 1 down, about -1 to 1. Wavelengths below `footprint` (what a pixel covers) are
/// left out: they would be grain and not texture.
pub(crate) fn fractal(u: f32, v: f32, octaves: u32, footprint: f32, seed: u32) -> f32 {
    let (mut sum, mut size, mut wave) = (0.0, 0.6, 1.0);
    for octave in 0..octaves {
        let seen = (1.5 - footprint / wave).min(1.0);
        if seen <= 0.0 {
            break;
        }
        sum += seen * size * noise(u / wave, v / wave, seed.wrapping_add(octave.wrapping_mul(0x6c62_272e)));
        size *= 0.55;
        wave *= 0.5;
    }
    sum
}
