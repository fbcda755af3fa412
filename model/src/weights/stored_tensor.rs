//! One tensor as its file stores it, mapped into memory or held as bytes: its type, shape and row-major little-endian values.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::Dtype;

use super::mismatch::TensorInfo;
use crate::fingerprint::TensorContent;

// Files are little-endian, and their bytes are taken as values without a swap.
const _: () = assert!(cfg!(target_endian = "little"), "dqa reads checkpoints on little-endian machines only");

/// A tensor's type, shape and bytes.
#[derive(Clone, Debug)]
pub(crate) struct StoredTensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    bytes: Bytes,
}

#[derive(Clone, Debug)]
enum Bytes {
    Mapped { file: Arc<Mmap>, range: Range<usize> },
    Held(Arc<Vec<u8>>),
}

/// Two tensors are equal if type, shape and bytes are, wherever the bytes are.
impl PartialEq for StoredTensor {
    fn eq(&self, other: &StoredTensor) -> bool {
        self.dtype == other.dtype && self.shape == other.shape && self.bytes() == other.bytes()
    }
}

/// Tensors by name.
pub(crate) type TensorMap = BTreeMap<String, StoredTensor>;

impl StoredTensor {
    /// Copies a tensor's values in its own type. Of a type that weights never have, only the name is kept:
    /// [`StoredTensor::info`] calls it unreadable.
    pub(crate) fn from_tensor(tensor: &Tensor) -> candle_core::Result<StoredTensor> {
        let flat = tensor.flatten_all()?;
        let (dtype, bytes) = match tensor.dtype() {
            DType::F32 => (Dtype::F32, bytemuck::cast_slice(&flat.to_vec1::<f32>()?).to_vec()),
            DType::F16 => (Dtype::F16, flat.to_vec1::<f16>()?.iter().flat_map(|v| v.to_le_bytes()).collect()),
            DType::BF16 => (Dtype::BF16, flat.to_vec1::<bf16>()?.iter().flat_map(|v| v.to_le_bytes()).collect()),
            DType::I64 => (Dtype::I64, bytemuck::cast_slice(&flat.to_vec1::<i64>()?).to_vec()),
            DType::F64 => (Dtype::F64, Vec::new()),
            DType::I32 => (Dtype::I32, Vec::new()),
            DType::U32 => (Dtype::U32, Vec::new()),
            DType::U8 => (Dtype::U8, Vec::new()),
            _ => (Dtype::F8_E4M3, Vec::new()), // "of a rare type"
        };
        Ok(StoredTensor { dtype, shape: tensor.dims().to_vec(), bytes: Bytes::Held(Arc::new(bytes)) })
    }

    /// Makes a tensor of a part of a mapped file.
    pub(crate) fn mapped(dtype: Dtype, shape: Vec<usize>, file: &Arc<Mmap>, range: Range<usize>) -> StoredTensor {
        StoredTensor { dtype, shape, bytes: Bytes::Mapped { file: file.clone(), range } }
    }

    /// Makes a tensor of bytes in memory.
    pub(crate) fn from_bytes(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> StoredTensor {
        StoredTensor { dtype, shape, bytes: Bytes::Held(Arc::new(bytes)) }
    }

    /// Makes a tensor of values in memory.
    pub(crate) fn from_f32(shape: &[usize], values: &[f32]) -> StoredTensor {
        let bytes = bytemuck::cast_slice(values).to_vec();
        StoredTensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes: Bytes::Held(Arc::new(bytes)) }
    }

    /// Returns the bytes of the values, row-major and little-endian.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped { file, range } => &file[range.clone()],
            Bytes::Held(bytes) => bytes,
        }
    }

    /// Returns the rows `rows` of the first axis, without copying those of a mapped file.
    ///
    /// # Panics
    /// Panics when weights cannot have this type, or a row is out of range.
    pub(crate) fn rows(&self, rows: Range<usize>) -> StoredTensor {
        let width = value_bytes(self.dtype).expect("types are checked before");
        let row = self.shape[1..].iter().product::<usize>() * width;
        let mut shape = self.shape.clone();
        shape[0] = rows.len();
        let part = rows.start * row..rows.end * row;
        match &self.bytes {
            Bytes::Mapped { file, range } => {
                assert!(part.end <= range.len(), "rows of the tensor");
                StoredTensor::mapped(self.dtype, shape, file, range.start + part.start..range.start + part.end)
            }
            Bytes::Held(bytes) => StoredTensor::from_bytes(self.dtype, shape, bytes[part].to_vec()),
        }
    }

    /// Transposes a matrix (n, m) to (m, n).
    ///
    /// # Panics
    /// Panics when it is not a matrix, or weights cannot have this type.
    pub(crate) fn transposed(&self) -> StoredTensor {
        let width = value_bytes(self.dtype).expect("types are checked before");
        let [n, m] = self.shape[..] else { panic!("a tensor of two axes") };
        let from = self.bytes();
        let mut bytes = Vec::with_capacity(from.len());
        for (column, row) in (0..m).flat_map(|column| (0..n).map(move |row| (column, row))) {
            bytes.extend_from_slice(&from[(row * m + column) * width..][..width]);
        }
        StoredTensor::from_bytes(self.dtype, vec![m, n], bytes)
    }

    /// Returns the tensor as a scalar; it must have one value.
    pub(crate) fn scalar(&self) -> StoredTensor {
        StoredTensor { shape: Vec::new(), ..self.clone() }
    }

    /// Returns the properties that are compared with those that a model needs.
    pub(crate) fn info(&self) -> TensorInfo {
        TensorInfo {
            shape: self.shape.clone(),
            dtype: self.dtype_name().to_owned(),
            readable: value_bytes(self.dtype).is_some(),
        }
    }

    /// Returns the name of the type: `F32`, `F16` and so on.
    pub(crate) fn dtype_name(&self) -> &'static str {
        match self.dtype {
            Dtype::F32 => "F32",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            Dtype::F64 => "F64",
            Dtype::I64 => "I64",
            Dtype::I32 => "I32",
            Dtype::U32 => "U32",
            Dtype::I8 => "I8",
            Dtype::U8 => "U8",
            Dtype::I16 => "I16",
            Dtype::BOOL => "BOOL",
            _ => "of a rare type",
        }
    }

    /// Returns the values with flat indices in `range` as f32, which is exact for every type that is read.
    ///
    /// # Panics
    /// Panics when the type is not F32, F16 or BF16, or the range goes past the end.
    pub(crate) fn values(&self, range: Range<usize>) -> Vec<f32> {
        let width = value_bytes(self.dtype).expect("types are checked when a model is opened");
        let bytes = &self.bytes()[range.start * width..range.end * width];
        // By bytes: a header of odd length leaves the values unaligned.
        match self.dtype {
            Dtype::F16 => widen(bytes, |pair| f16::from_le_bytes(pair).to_f32()),
            Dtype::BF16 => widen(bytes, |pair| bf16::from_le_bytes(pair).to_f32()),
            _ => bytemuck::pod_collect_to_vec(bytes),
        }
    }

    /// Returns the bytes of the values as f32.
    pub(crate) fn f32_bytes(&self) -> TensorContent<'_> {
        if self.dtype == Dtype::F32 {
            return TensorContent::Borrowed(self.bytes());
        }
        TensorContent::Computed(Box::new(|| {
            bytemuck::cast_slice(&self.values(0..self.shape.iter().product())).to_vec()
        }))
    }

    /// Returns the value if it is one integer.
    pub(crate) fn number(&self) -> Option<i64> {
        let bytes = self.bytes();
        let value = match self.dtype {
            Dtype::I64 => i64::from_le_bytes(bytes.try_into().ok()?),
            Dtype::I32 => i64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
            Dtype::F32 | Dtype::F16 | Dtype::BF16 if self.shape.iter().product::<usize>() == 1 => {
                let value = self.values(0..1)[0];
                (value.fract() == 0.0 && value.abs() < 1e9).then_some(value as i64)?
            }
            _ => return None,
        };
        Some(value)
    }

    /// Returns whether this is the mask (n, n) that hides from each token those after it.
    pub(crate) fn is_causal_mask(&self, n: usize) -> bool {
        if self.shape != [n, n] || value_bytes(self.dtype).is_none() {
            return false;
        }
        // The lowest finite number serves as well as minus infinity.
        let is_right = |(i, value): (usize, &f32)| if i % n > i / n { *value < -1e4 } else { *value == 0.0 };
        self.values(0..n * n).iter().enumerate().all(is_right)
    }

    /// Returns whether this is a buffer of the 64-bit integers 0..n.
    pub(crate) fn is_arange(&self, n: usize) -> bool {
        self.dtype == Dtype::I64
            && self.shape.iter().product::<usize>() == n
            && self.bytes().chunks_exact(8).zip(0u64..).all(|(bytes, i)| bytes == i.to_le_bytes())
    }
}

fn widen(bytes: &[u8], value: impl Fn([u8; 2]) -> f32 + Sync) -> Vec<f32> {
    bytes.par_chunks_exact(2).with_min_len(1 << 16).map(|pair| value([pair[0], pair[1]])).collect()
}

/// Returns the bytes of a value of a type that weights may have.
fn value_bytes(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 => Some(4),
        Dtype::F16 | Dtype::BF16 => Some(2),
        _ => None,
    }
}
