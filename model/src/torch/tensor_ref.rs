//! Storages of a PyTorch file, and tensors as views of them: types, shapes and places, no values.

use std::collections::HashMap;
use std::ops::Range;

use safetensors::Dtype;

/// The byte range of each storage, by its key.
pub(super) type StorageRanges = HashMap<String, Range<usize>>;

/// A run of values of one type in the file.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) key: String,
    /// Bytes of a value, if the type is known.
    pub(super) width: Option<usize>,
    pub(super) dtype: Option<Dtype>,
    pub(super) values: u64,
}

/// A tensor, which is a view of a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorRef {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Stride of each dimension, in values.
    pub(super) strides: Vec<usize>,
    /// Offset in the storage, in values.
    pub(super) offset: usize,
    /// The key of its storage.
    pub(super) key: String,
    /// Bytes that the pickle claims for its storage.
    pub(super) storage_bytes: u64,
    /// Bytes of a value.
    pub(super) width: usize,
}

impl TensorRef {
    /// Returns the number of values; `None` if it overflows.
    pub(super) fn values(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim))
    }

    /// Returns the position after the last value that it reads, in values from the start of its storage; `None` if it
    /// overflows.
    pub(super) fn span(&self) -> Option<u64> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let steps = self
            .shape
            .iter()
            .zip(&self.strides)
            .try_fold(self.offset, |last, (dim, stride)| last.checked_add((dim - 1).checked_mul(*stride)?));
        steps?.checked_add(1).map(|span| span as u64)
    }

    /// Returns whether its values lie row by row without gaps.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut expected = 1usize;
        for (dim, stride) in self.shape.iter().zip(&self.strides).rev() {
            if *dim != 1 && *stride != expected {
                return false;
            }
            expected = expected.saturating_mul(*dim);
        }
        true
    }

    /// Copies the values row by row from the storage's bytes, which hold [`TensorRef::span`] values; `values` is their
    /// number.
    pub(super) fn gathered(&self, storage: &[u8], values: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(values * self.width);
        let mut index = vec![0usize; self.shape.len()];
        let mut position = self.offset;
        for _ in 0..values {
            bytes.extend_from_slice(&storage[position * self.width..][..self.width]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                position += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                position -= self.strides[axis] * index[axis];
                index[axis] = 0;
            }
        }
        bytes
    }
}
