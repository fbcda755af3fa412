//! The formula that makes weights without a file: the same bits as `clip_dqa_ref.py` in any language.
//!
//! ```text
//! key(name)    = FNV-1a 64 of the UTF-8 bytes of "{salt}/{name}"
//! bits(name,i) = splitmix64(key + (i+1) * 0x9E3779B97F4A7C15)      i = row-major flat index
//! u(name,i)    = (bits >> 40) / 2**23 - 1                          in [-1, 1), exact in f32
//! value        = center + scale * u                                in f32
//! ```

use rayon::prelude::*;

use crate::spec::TensorSpec;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A tensor as plain data.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name in the file that it belongs to.
    pub name: String,
    /// Its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major values, as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// Makes the tensors of `spec` under `salt`, in the order of `spec`.
pub fn weights(salt: &str, spec: &[TensorSpec]) -> Vec<NamedTensor> {
    spec.iter().map(|tensor| self::tensor(salt, tensor)).collect()
}

/// Makes one tensor of the formula under `salt`.
pub fn tensor(salt: &str, spec: &TensorSpec) -> NamedTensor {
    let key = fnv1a(&format!("{salt}/{}", spec.name));
    let (center, scale) = (spec.center as f32, spec.scale as f32);
    let values = (0..spec.len())
        .into_par_iter()
        .with_min_len(1 << 14) // below this a thread costs more than the numbers
        .map(|i| center + scale * uniform(key, i as u64))
        .collect();
    NamedTensor { name: spec.name.clone(), shape: spec.shape.clone(), values }
}

/// Returns the `i`-th number of the stream `key`, uniform in [-1, 1).
pub fn uniform(key: u64, i: u64) -> f32 {
    let bits = splitmix64(key.wrapping_add((i + 1).wrapping_mul(GOLDEN)));
    // 24 bits: exact in f32 before and after the division.
    (bits >> 40) as f32 / (1u32 << 23) as f32 - 1.0
}

/// Returns the 64-bit FNV-1a hash of the UTF-8 bytes of `text`.
pub fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

fn splitmix64(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn splitmix64_gives_the_published_first_value_of_seed_0() {
        assert_eq!(splitmix64(GOLDEN), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn uniform_stays_in_its_range() {
        for i in 0..10_000 {
            let u = uniform(1, i);
            assert!((-1.0..1.0).contains(&u), "{u}");
        }
    }
}
