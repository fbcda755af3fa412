//! The 32-byte digest of everything that a score depends on.
//!
//! Two fingerprints are equal exactly if the same tensors, settings and arithmetic were used. How the tensors lie in
//! files (one file or shards, safetensors or PyTorch) does not matter. It knows no model: it hashes what it is given.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Part of every fingerprint. Raise it with each change of the code that changes a score beyond rounding, so that old
/// and new scores never meet in one table.
pub const ALGORITHM_VERSION: u32 = 1;

/// Below this, hashing one tensor with several threads costs more than it gains.
const PARALLEL_BYTES_MIN: usize = 1 << 20;

/// A 32-byte BLAKE3 digest; 64 hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// A text is not a fingerprint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a fingerprint: expected 64 digits of 0-9 and a-f")]
pub struct FingerprintError {
    /// The text as given.
    pub text: String,
}

impl Fingerprint {
    /// Returns the fingerprint of `parts` (name, content) and of [`ALGORITHM_VERSION`]. The order of the parts does not
    /// matter.
    ///
    /// # Panics
    /// Panics when a name occurs twice.
    pub fn from_parts(parts: &[(&str, &[u8])]) -> Fingerprint {
        let version = ALGORITHM_VERSION.to_le_bytes();
        Self::combine(&[&[("algorithm version", version.as_slice())], parts].concat())
    }

    /// Returns the digest of named parts alone. Their order does not matter.
    ///
    /// # Panics
    /// Panics when a name occurs twice.
    pub(crate) fn combine(parts: &[(&str, &[u8])]) -> Fingerprint {
        let mut parts = parts.to_vec();
        parts.sort_unstable();
        assert!(parts.windows(2).all(|pair| pair[0].0 != pair[1].0), "a part is given twice");
        let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 digest of named parts");
        for (name, content) in parts {
            field(&mut hasher, name.as_bytes());
            field(&mut hasher, content);
        }
        Fingerprint(*hasher.finalize().as_bytes())
    }

    /// Returns the digest of a set of tensors: of each one's name, type, shape and bytes, in the order of names.
    ///
    /// # Panics
    /// Panics when a name occurs twice.
    pub(crate) fn from_tensors(mut tensors: Vec<TensorBytes>) -> Fingerprint {
        tensors.sort_unstable_by_key(|tensor| tensor.name);
        assert!(tensors.windows(2).all(|pair| pair[0].name != pair[1].name), "a tensor is given twice");
        let digests: Vec<[u8; 32]> = tensors.par_iter().map(TensorBytes::digest).collect();
        let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 digest of named tensors");
        for digest in digests {
            hasher.update(&digest);
        }
        Fingerprint(*hasher.finalize().as_bytes())
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the first 12 digits, for tables and logs; do not compare by them.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }
}

/// A tensor as it is hashed.
pub(crate) struct TensorBytes<'a> {
    pub(crate) name: &'a str,
    /// `F32`, `F16` or `BF16`.
    pub(crate) dtype: &'static str,
    pub(crate) shape: &'a [usize],
    /// Row-major, little-endian.
    pub(crate) bytes: TensorContent<'a>,
}

/// Bytes that exist, or are made while they are hashed, so that a model's are not all in memory at once.
pub(crate) enum TensorContent<'a> {
    Borrowed(&'a [u8]),
    Computed(Box<dyn Fn() -> Vec<u8> + Sync + 'a>),
}

impl TensorBytes<'_> {
    fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("dqa 2026 digest of one tensor");
        field(&mut hasher, self.name.as_bytes());
        field(&mut hasher, self.dtype.as_bytes());
        let shape: Vec<u8> = self.shape.iter().flat_map(|dim| (*dim as u64).to_le_bytes()).collect();
        field(&mut hasher, &shape);
        match &self.bytes {
            TensorContent::Borrowed(bytes) => field(&mut hasher, bytes),
            TensorContent::Computed(make) => field(&mut hasher, &make()),
        }
        *hasher.finalize().as_bytes()
    }
}

/// Hashes length and content, so that two different lists of fields never have the same bytes.
fn field(hasher: &mut blake3::Hasher, content: &[u8]) {
    hasher.update(&(content.len() as u64).to_le_bytes());
    if content.len() < PARALLEL_BYTES_MIN {
        hasher.update(content);
    } else {
        hasher.update_rayon(content);
    }
}

/// Returns the row-major little-endian bytes of an f32 tensor on any device.
pub(crate) fn f32_bytes(tensor: &Tensor) -> Result<Vec<u8>, candle_core::Error> {
    let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(bytemuck::cast_slice(&values).to_vec())
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || FingerprintError { text: text.to_owned() };
        // Fingerprints are compared as text in file names, so only one spelling is accepted.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        blake3::Hash::from_hex(text).map(|hash| Fingerprint(*hash.as_bytes())).map_err(|_| error())
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_json_give_the_same_back(bytes: [u8; 32]) {
            let fingerprint = Fingerprint(bytes);
            prop_assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
            let json = serde_json::to_string(&fingerprint).unwrap();
            prop_assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
            prop_assert!(fingerprint.to_string().starts_with(&fingerprint.short()));
        }

        #[test]
        fn what_belongs_to_which_part_matters(a: Vec<u8>, b: Vec<u8>, byte: u8) {
            let moved = [&[byte], b.as_slice()].concat();
            let kept = [a.as_slice(), &[byte]].concat();
            prop_assert_ne!(
                Fingerprint::from_parts(&[("a", &kept), ("b", &b)]),
                Fingerprint::from_parts(&[("a", &a), ("b", &moved)])
            );
        }

        #[test]
        fn the_order_of_parts_does_not_matter(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(Fingerprint::from_parts(&[("a", &a), ("b", &b)]), Fingerprint::from_parts(&[("b", &b), ("a", &a)]));
        }
    }

    #[test]
    fn a_fingerprint_has_one_spelling() {
        let text = "AB".repeat(32);
        assert_eq!(
            text.parse::<Fingerprint>().unwrap_err().to_string(),
            format!("`{text}` is not a fingerprint: expected 64 digits of 0-9 and a-f")
        );
        assert!("ab".repeat(31).parse::<Fingerprint>().is_err());
        assert!("ab".repeat(32).parse::<Fingerprint>().is_ok());
    }

    #[test]
    fn every_property_of_a_tensor_matters() {
        let digest = |name, dtype, shape: &[usize], bytes: &[u8]| {
            Fingerprint::from_tensors(vec![TensorBytes { name, dtype, shape, bytes: TensorContent::Borrowed(bytes) }])
        };
        let all = [
            digest("a", "F32", &[2, 1], &[0; 8]),
            digest("b", "F32", &[2, 1], &[0; 8]),
            digest("a", "F16", &[2, 1], &[0; 8]),
            digest("a", "F32", &[1, 2], &[0; 8]),
            digest("a", "F32", &[2, 1], &[1; 8]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert_eq!(all.iter().filter(|other| *other == one).count(), 1, "{i}");
        }
    }
}
