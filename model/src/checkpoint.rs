//! Tensors as they lie in safetensors files, mapped into memory, or as bytes held in memory.
//!
//! It knows names, types and shapes as files state them, and not which of them a model needs. A mapped file must not
//! change while it is in use: a file cut short under the program ends it with SIGBUS.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Tensor};
use half::{bf16, f16};
use memmap2::Mmap;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::Deserialize;

use crate::mismatch::Found;

// Files are little-endian, and their bytes are taken as values without a swap.
const _: () = assert!(cfg!(target_endian = "little"), "dqa reads checkpoints on little-endian machines only");

/// Why a checkpoint's files cannot be read. [`CheckpointError::retry`] says whether another try may help.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused to open, map or read the file.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is cut short or no safetensors file.
    #[error("`{}` is cut short or no safetensors file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with its header.
        source: SafeTensorError,
    },
    /// The index is not JSON of the form `{"weight_map": {"tensor": "file"}}`.
    #[error("`{}` is no index of shards", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The index names a shard that is not beside it.
    #[error("`{}` names the shard `{shard}`, which is not beside it", index.display())]
    NoShard {
        /// The index.
        index: PathBuf,
        /// As named there.
        shard: String,
    },
    /// A shard and the index do not agree on which tensors are in the shard.
    #[error("`{}` and the shard `{shard}` disagree about the tensor `{tensor}`: {said}", index.display())]
    WrongShard {
        /// The index.
        index: PathBuf,
        /// A shard's file name.
        shard: String,
        /// The first tensor of which that is so.
        tensor: String,
        /// Who says what.
        said: &'static str,
    },
}

impl CheckpointError {
    /// Whether another try may help: only when the system failed to read a file that is there.
    pub fn retry(&self) -> bool {
        matches!(self, CheckpointError::Read { source, .. } if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied))
    }
}

/// A tensor's type, shape and bytes.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Mapped { file: Arc<Mmap>, range: Range<usize> },
    Held(Arc<Vec<u8>>),
}

/// Tensors by name.
pub(crate) type StoredMap = BTreeMap<String, Stored>;

impl Stored {
    /// A copy of a tensor's values in its own type. Of a type that no weights have only the
    /// name is kept: [`Stored::found`] calls it unreadable.
    pub(crate) fn hold(tensor: &Tensor) -> candle_core::Result<Stored> {
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
        Ok(Stored { dtype, shape: tensor.dims().to_vec(), place: Place::Held(Arc::new(bytes)) })
    }

    /// Values in memory.
    pub(crate) fn of(shape: &[usize], values: &[f32]) -> Stored {
        let bytes = bytemuck::cast_slice(values).to_vec();
        Stored { dtype: Dtype::F32, shape: shape.to_vec(), place: Place::Held(Arc::new(bytes)) }
    }

    /// Row-major, little-endian.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.place {
            Place::Mapped { file, range } => &file[range.clone()],
            Place::Held(bytes) => bytes,
        }
    }

    /// For a comparison with what must be there.
    pub(crate) fn found(&self) -> Found {
        Found {
            shape: self.shape.clone(),
            dtype: self.dtype_name().to_owned(),
            readable: value_bytes(self.dtype).is_some(),
        }
    }

    /// `F32`, `F16` and so on.
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
            _ => "of a rare type",
        }
    }

    /// The values with flat indices in `range`, as f32 (exact for every type that is read).
    ///
    /// # Panics
    /// When the type is not F32, F16 or BF16, or the range goes past the end.
    pub(crate) fn values(&self, range: Range<usize>) -> Vec<f32> {
        let width = value_bytes(self.dtype).expect("types are checked when a model is opened");
        let bytes = &self.bytes()[range.start * width..range.end * width];
        // By bytes: a header of odd length leaves the values unaligned.
        match self.dtype {
            Dtype::F16 => wide(bytes, |pair| f16::from_le_bytes(pair).to_f32()),
            Dtype::BF16 => wide(bytes, |pair| bf16::from_le_bytes(pair).to_f32()),
            _ => bytemuck::pod_collect_to_vec(bytes),
        }
    }

    /// Whether this is a buffer of the 64-bit integers 0..n.
    pub(crate) fn counts_to(&self, n: usize) -> bool {
        self.dtype == Dtype::I64
            && self.shape.iter().product::<usize>() == n
            && self.bytes().chunks_exact(8).zip(0u64..).all(|(bytes, i)| bytes == i.to_le_bytes())
    }
}

fn wide(bytes: &[u8], value: impl Fn([u8; 2]) -> f32 + Sync) -> Vec<f32> {
    bytes.par_chunks_exact(2).with_min_len(1 << 16).map(|pair| value([pair[0], pair[1]])).collect()
}

/// Bytes of a value of a type that weights may have.
fn value_bytes(dtype: Dtype) -> Option<usize> {
    match dtype {
        Dtype::F32 => Some(4),
        Dtype::F16 | Dtype::BF16 => Some(2),
        _ => None,
    }
}

/// All tensors of a safetensors file that is in memory; `origin` stands for its path in errors.
pub(crate) fn parse(file: &[u8], origin: &Path) -> Result<StoredMap, CheckpointError> {
    let tensors =
        SafeTensors::deserialize(file).map_err(|source| CheckpointError::Format { path: origin.to_owned(), source })?;
    let stored = tensors.iter().map(|(name, view)| {
        let place = Place::Held(Arc::new(view.data().to_vec()));
        (name.to_owned(), Stored { dtype: view.dtype(), shape: view.shape().to_vec(), place })
    });
    Ok(stored.collect())
}

/// A file's bytes, mapped.
pub(crate) fn map(path: &Path) -> Result<Mmap, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read-only; that nobody shortens the file meanwhile is this module's stated condition.
    unsafe { Mmap::map(&file) }.map_err(read)
}

/// All tensors of one safetensors file.
pub(crate) fn open(path: &Path) -> Result<StoredMap, CheckpointError> {
    let map = Arc::new(map(path)?);
    let tensors =
        SafeTensors::deserialize(&map).map_err(|source| CheckpointError::Format { path: path.to_owned(), source })?;
    let start = map.as_ptr() as usize;
    let stored = tensors.iter().map(|(name, view)| {
        let offset = view.data().as_ptr() as usize - start;
        let place = Place::Mapped { file: map.clone(), range: offset..offset + view.data().len() };
        (name.to_owned(), Stored { dtype: view.dtype(), shape: view.shape().to_vec(), place })
    });
    Ok(stored.collect())
}

/// The texts beside the tensors of a safetensors file.
pub(crate) fn metadata(file: &[u8], origin: &Path) -> Result<HashMap<String, String>, CheckpointError> {
    let (_, metadata) = SafeTensors::read_metadata(file)
        .map_err(|source| CheckpointError::Format { path: origin.to_owned(), source })?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// All tensors of the shards that an index names; each must lie in the shard that the index says.
pub(crate) fn open_shards(index: &Path) -> Result<StoredMap, CheckpointError> {
    let text =
        std::fs::read_to_string(index).map_err(|source| CheckpointError::Read { path: index.to_owned(), source })?;
    let Index { weight_map } =
        serde_json::from_str(&text).map_err(|source| CheckpointError::Index { path: index.to_owned(), source })?;
    let mut names_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, shard) in &weight_map {
        names_of.entry(shard).or_default().push(tensor);
    }
    let mut all = StoredMap::new();
    for (shard, names) in names_of {
        // A bare name only: an index is downloaded text and must not reach other folders.
        let beside = Path::new(shard).file_name().is_some_and(|name| name == shard);
        let path = index.with_file_name(shard);
        if !beside || !path.exists() {
            return Err(CheckpointError::NoShard { index: index.to_owned(), shard: shard.to_owned() });
        }
        let tensors = open(&path)?;
        let wrong = |tensor: &str, said| CheckpointError::WrongShard {
            index: index.to_owned(),
            shard: shard.to_owned(),
            tensor: tensor.to_owned(),
            said,
        };
        if let Some(absent) = names.iter().find(|name| !tensors.contains_key(**name)) {
            return Err(wrong(absent, "it is in the index, not in the shard"));
        }
        if let Some(surplus) = tensors.keys().find(|name| weight_map.get(*name).is_none_or(|said| said != shard)) {
            return Err(wrong(surplus, "it is in the shard, but not there in the index"));
        }
        all.extend(tensors);
    }
    Ok(all)
}
