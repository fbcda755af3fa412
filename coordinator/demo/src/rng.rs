//! Random number generators. Their streams depend on the seed, the scene and their purpose only, so a scene is the same
//! for any number of scenes and in any order of drawing.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::pixels::{Plane, mix};

/// A random number generator for one purpose in one scene.
pub(crate) struct SceneRng(ChaCha8Rng);

impl SceneRng {
    /// Creates the generator for a scene; `purpose` distinguishes the generators of one scene.
    pub(crate) fn new(seed: u64, scene: u64, purpose: &str) -> SceneRng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&scene.to_le_bytes());
        key[16..24].copy_from_slice(&fnv1a(purpose).to_le_bytes());
        SceneRng(ChaCha8Rng::from_seed(key))
    }

    /// Draws uniformly from 0 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32
    }

    pub(crate) fn uniform(&mut self, low: f32, high: f32) -> f32 {
        mix(low, high, self.unit())
    }

    /// Draws a number whose logarithm is uniform. Both ends must be positive.
    pub(crate) fn log_uniform(&mut self, low: f32, high: f32) -> f32 {
        libm::expf(self.uniform(libm::logf(low), libm::logf(high)))
    }

    /// Draws an index below `n`.
    pub(crate) fn index(&mut self, n: usize) -> usize {
        self.0.random_range(0..n as u32) as usize
    }

    pub(crate) fn bernoulli(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    pub(crate) fn choose<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.index(values.len())]
    }

    /// Draws a seed for spatial noise.
    pub(crate) fn noise_seed(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Draws a nearly normal number with mean 0 and standard deviation 1, within 3.47 of 0: the sum of four uniform
    /// numbers.
    pub(crate) fn normal(&mut self) -> f32 {
        let bits = self.0.next_u64();
        let sum: u32 = (0..4).map(|index| (bits >> (16 * index)) as u32 & 0xffff).sum();
        (sum as f32 / 65535.0 - 2.0) * 1.732_050_8
    }

    /// Draws a plane of independent normal numbers with the given standard deviation.
    pub(crate) fn gaussian_noise(&mut self, width: usize, height: usize, deviation: f32) -> Plane {
        Plane::from_fn(width, height, |_, _| deviation * self.normal())
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
