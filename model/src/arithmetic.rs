//! The classes of arithmetic: what the operands of the large products are rounded to.

use std::fmt;
use std::str::FromStr;

use candle_core::DType;
use serde::{Deserialize, Serialize};

/// What the operands of weight products are rounded to. Sums, norms and softmax are f32 in every class; on the CPU,
/// activations stay f32 between products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// The reference: the authors' scores are compared with this class.
    #[default]
    F32,
    /// The fast class on CPUs with AVX-512 BF16 or AMX, and on GPUs.
    Bf16,
    /// CLIP's own precision; on a CPU as slow as f32.
    F16,
}

impl Arithmetic {
    /// Returns the tensors' type on a device that has it natively.
    pub fn dtype(self) -> DType {
        match self {
            Arithmetic::F32 => DType::F32,
            Arithmetic::Bf16 => DType::BF16,
            Arithmetic::F16 => DType::F16,
        }
    }

    /// Returns `f32`, `bf16` or `f16`.
    pub fn as_str(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::Bf16 => "bf16",
            Arithmetic::F16 => "f16",
        }
    }
}

impl fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Arithmetic {
    type Err = String;

    fn from_str(name: &str) -> Result<Arithmetic, String> {
        [Arithmetic::F32, Arithmetic::Bf16, Arithmetic::F16]
            .into_iter()
            .find(|a| a.as_str() == name)
            .ok_or_else(|| format!("unknown arithmetic `{name}`: expected f32, bf16 or f16"))
    }
}
