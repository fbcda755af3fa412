//! Reads the files that hold tensors, safetensors or PyTorch's: tells their kind, maps them into memory, and follows an
//! index to its shards.
//!
//! It knows names, types and shapes as files state them, and not which of them a model needs. A mapped file must not
//! change while it is in use: truncating it ends the program with SIGBUS.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::{SafeTensorError, SafeTensors};
use serde::Deserialize;

use super::stored_tensor::{StoredTensor, TensorMap};
use crate::torch::{self, TorchError, TorchFile};

/// Why a checkpoint's files cannot be read. [`CheckpointError::is_retryable`] tells whether another try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The system refused to open, map or read the file.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The library's error.
        source: SafeTensorError,
    },
    /// The file is truncated, or not a safetensors file.
    #[error("`{}` is truncated or not a safetensors file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The fault in its header.
        source: SafeTensorError,
    },
    /// The file is of no kind that holds tensors.
    #[error("`{}` is neither a safetensors file nor a PyTorch checkpoint{hint}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What it looks like and what to do; empty if unknown.
        hint: &'static str,
    },
    /// The file is PyTorch's but cannot be read.
    #[error("`{}` is a PyTorch checkpoint that cannot be read", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: TorchError,
    },
    /// The index is not JSON of the form `{"weight_map": {"tensor": "file"}}`.
    #[error("`{}` is not an index of shards", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The index names a shard that is not beside it.
    #[error("`{}` names the shard `{shard}`, which is not beside it", index.display())]
    NoShard {
        /// The index.
        index: PathBuf,
        /// The name in the index.
        shard: String,
    },
    /// A shard and the index disagree about the tensors in the shard.
    #[error("`{}` and the shard `{shard}` disagree about the tensor `{tensor}`: {reason}", index.display())]
    WrongShard {
        /// The index.
        index: PathBuf,
        /// A shard's file name.
        shard: String,
        /// The first tensor that they disagree about.
        tensor: String,
        /// The disagreement.
        reason: &'static str,
    },
}

impl CheckpointError {
    /// Returns whether another try may succeed: only if the system failed to read a file that exists.
    pub fn is_retryable(&self) -> bool {
        matches!(self, CheckpointError::Read { source, .. } if !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied))
    }
}

/// Reads all tensors of a safetensors file in memory; `origin` stands for its path in errors.
pub(crate) fn parse(file: &[u8], origin: &Path) -> Result<TensorMap, CheckpointError> {
    let tensors =
        SafeTensors::deserialize(file).map_err(|source| CheckpointError::Format { path: origin.to_owned(), source })?;
    let stored = tensors.iter().map(|(name, view)| {
        (name.to_owned(), StoredTensor::from_bytes(view.dtype(), view.shape().to_vec(), view.data().to_vec()))
    });
    Ok(stored.collect())
}

/// The kind of a file, recognised by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckpointFormat {
    Safetensors,
    /// A `torch.save` file or a TorchScript archive.
    Torch,
}

/// Returns whether a file is PyTorch's: a pickle, or an archive with one.
///
/// # Errors
/// [`CheckpointError::Read`].
pub fn is_torch(path: &Path) -> Result<bool, CheckpointError> {
    match detect_kind(path) {
        Ok(kind) => Ok(kind == CheckpointFormat::Torch),
        Err(CheckpointError::Unknown { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the kind of a file. A file of no kind that holds tensors is an error.
pub(crate) fn detect_kind(path: &Path) -> Result<CheckpointFormat, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_owned(), source };
    let found = std::fs::metadata(path).map_err(read)?;
    if found.is_dir() {
        return Err(read(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    // Opening a pipe blocks until another process writes to it.
    if !found.is_file() {
        let hint = ": it is a pipe or a device, and has to be a file on disk";
        return Err(CheckpointError::Unknown { path: path.to_owned(), hint });
    }
    let file = File::open(path).map_err(read)?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES).read_to_end(&mut head).map_err(read)?;
    if torch::is_torch(&head) {
        return Ok(CheckpointFormat::Torch);
    }
    // The file begins with the length of the header, which is JSON.
    let header = head.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if head.get(8) == Some(&b'{') && header <= HEADER_BYTES_MAX {
        return Ok(CheckpointFormat::Safetensors);
    }
    Err(CheckpointError::Unknown { path: path.to_owned(), hint: hint(&head) })
}

/// The limit of the safetensors library.
pub(crate) const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Bytes that are enough to tell the kind of a file.
const HEAD_BYTES: u64 = 64;

/// Returns a hint for files that are often found where a checkpoint should be.
fn hint(head: &[u8]) -> &'static str {
    let text = head.trim_ascii_start().to_ascii_lowercase();
    if head.is_empty() {
        ": it is empty"
    } else if head.starts_with(b"version https://git-lfs") {
        ": it is a pointer of Git LFS; run `git lfs pull` in its repository"
    } else if text.starts_with(b"<!doctype") || text.starts_with(b"<html") || text.starts_with(b"<?xml") {
        ": it is a web page, which was saved in place of the file"
    } else if head.starts_with(&[0x1f, 0x8b]) {
        ": it is compressed with gzip; unpack it"
    } else if head.first() == Some(&0x80) && matches!(head.get(1), Some(2..=5)) {
        ": it is a pickle that `torch.save` did not write; load it in Python and save it with `torch.save`"
    } else {
        ""
    }
}

/// Maps a file into memory.
pub(crate) fn map_file(path: &Path) -> Result<Mmap, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read-only; that no one truncates the file meanwhile is this module's stated condition.
    unsafe { Mmap::map(&file) }.map_err(read)
}

/// Reads all tensors of a safetensors file.
pub(crate) fn open(path: &Path) -> Result<TensorMap, CheckpointError> {
    let map = Arc::new(map_file(path)?);
    let tensors =
        SafeTensors::deserialize(&map).map_err(|source| CheckpointError::Format { path: path.to_owned(), source })?;
    let start = map.as_ptr() as usize;
    let stored = tensors.iter().map(|(name, view)| {
        let offset = view.data().as_ptr() as usize - start;
        let range = offset..offset + view.data().len();
        (name.to_owned(), StoredTensor::mapped(view.dtype(), view.shape().to_vec(), &map, range))
    });
    Ok(stored.collect())
}

/// Opens a PyTorch file and reads its pickle. Tensors' values stay in the mapped file.
pub(crate) fn open_torch(path: &Path) -> Result<TorchFile, CheckpointError> {
    let map = Arc::new(map_file(path)?);
    TorchFile::read(map).map_err(|source| CheckpointError::Torch { path: path.to_owned(), source })
}

/// Reads the texts beside the tensors of a safetensors file.
pub(crate) fn metadata(file: &[u8], origin: &Path) -> Result<HashMap<String, String>, CheckpointError> {
    let (_, metadata) = SafeTensors::read_metadata(file)
        .map_err(|source| CheckpointError::Format { path: origin.to_owned(), source })?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

/// Reads all tensors of a file that holds one dictionary of them.
fn open_shard(path: &Path) -> Result<TensorMap, CheckpointError> {
    if detect_kind(path)? == CheckpointFormat::Safetensors {
        return open(path);
    }
    let mut file = open_torch(path)?;
    let torch = |source| CheckpointError::Torch { path: path.to_owned(), source };
    let [dictionary] = file.dictionaries() else {
        let why = format!("a shard is one dictionary of tensors, and it has {}", file.dictionaries().len());
        return Err(torch(TorchError::Archive(why)));
    };
    let tensors = dictionary.tensors.clone();
    file.stored_all(&tensors).map_err(torch)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    fn read(index: &Path) -> Result<Index, CheckpointError> {
        let text = std::fs::read_to_string(index)
            .map_err(|source| CheckpointError::Read { path: index.to_owned(), source })?;
        serde_json::from_str(&text).map_err(|source| CheckpointError::Index { path: index.to_owned(), source })
    }
}

/// Returns whether a file is an index of shards.
pub(crate) fn is_index(path: &Path) -> bool {
    let is_json = || -> io::Result<bool> {
        if !path.is_file() {
            return Ok(false);
        }
        let mut first = [0];
        File::open(path)?.read_exact(&mut first)?;
        Ok(first == *b"{" && std::fs::metadata(path)?.len() < INDEX_BYTES_MAX)
    };
    is_json().unwrap_or(false) && Index::read(path).is_ok()
}

/// The index of a model with a thousand tensors has 100 KB.
const INDEX_BYTES_MAX: u64 = 64 << 20;

/// Lists the shards that an index names, each once. Only bare names are accepted, since an index is downloaded text and
/// must not reach other folders.
pub(crate) fn list_shards(index: &Path) -> Result<Vec<String>, CheckpointError> {
    let names: BTreeSet<String> = Index::read(index)?.weight_map.into_values().collect();
    match names.iter().find(|shard| !is_bare_name(shard)) {
        Some(shard) => Err(CheckpointError::NoShard { index: index.to_owned(), shard: shard.clone() }),
        None => Ok(names.into_iter().collect()),
    }
}

fn is_bare_name(shard: &str) -> bool {
    Path::new(shard).file_name().is_some_and(|name| name == shard)
}

/// Reads all tensors of the shards that an index names. Each tensor must lie in the shard that the index names for it.
pub(crate) fn open_shards(index: &Path) -> Result<TensorMap, CheckpointError> {
    let Index { weight_map } = Index::read(index)?;
    let mut names_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, shard) in &weight_map {
        names_of.entry(shard).or_default().push(tensor);
    }
    let mut all = TensorMap::new();
    for (shard, names) in names_of {
        let path = index.with_file_name(shard);
        if !is_bare_name(shard) || !path.exists() {
            return Err(CheckpointError::NoShard { index: index.to_owned(), shard: shard.to_owned() });
        }
        let tensors = open_shard(&path)?;
        let wrong = |tensor: &str, reason| CheckpointError::WrongShard {
            index: index.to_owned(),
            shard: shard.to_owned(),
            tensor: tensor.to_owned(),
            reason,
        };
        if let Some(absent) = names.iter().find(|name| !tensors.contains_key(**name)) {
            return Err(wrong(absent, "it is in the index, not in the shard"));
        }
        if let Some(surplus) = tensors.keys().find(|name| weight_map.get(*name).is_none_or(|named| named != shard)) {
            return Err(wrong(surplus, "it is in the shard, but not there in the index"));
        }
        all.extend(tensors);
    }
    Ok(all)
}
