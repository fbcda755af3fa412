//! PyTorch's files without PyTorch: the dictionaries of tensors in a `torch.save` file or a TorchScript archive.
//!
//! A file is material to look at and never a program: its pickle's opcodes make values, and nothing that it names is called.
//! Work and memory are bounded by what the file holds, by limits on its opcodes, depth and names, and never by a number that it
//! states. It does not know which tensors a model needs.

mod archive;
mod dictionaries;
mod legacy;
mod pickle;
mod tensors;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::checkpoint::{CheckpointError, Stored, StoredMap};
use archive::Archive;
pub(crate) use dictionaries::Dictionary;
use pickle::Pickle;
pub(crate) use tensors::TensorRef;

/// A zip archive's first bytes.
pub(crate) const ZIP: [u8; 4] = *b"PK\x03\x04";

/// The most bytes of a pickle: that of a training with a long history has some 10 MB.
const PICKLE_BYTES_MAX: usize = 256 << 20;
/// How many times as large as the file all tensors together may be that are asked for: some share their storage.
const VIEWS_MAX: usize = 8;

/// Why a file of PyTorch cannot be read. Nothing of it changes by trying again.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The zip archive is not what PyTorch writes, or is damaged.
    #[error("{0}")]
    Archive(String),
    /// The pickle is damaged, or no pickle.
    #[error("its pickle is damaged at byte {at}: {why}")]
    Pickle {
        /// Bytes before the fault.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// More than any checkpoint has.
    #[error("it is over a limit: {0}")]
    Limit(String),
    /// Written on a machine with another order of bytes.
    #[error("it was written on a big-endian machine; load it there and save it as safetensors")]
    BigEndian,
    /// A tensor's values are not there.
    #[error("the values of `{name}` cannot be read: {why}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// Where each storage's bytes are, by its key.
type Storages = HashMap<String, Range<usize>>;

/// An open file.
pub(crate) struct TorchFile {
    map: Arc<Mmap>,
    storages: Storages,
    dictionaries: Vec<Dictionary>,
    is_script: bool,
    /// Bytes that may still be copied, of tensors that do not lie in the file as they are.
    copies_left: usize,
    /// Bytes of tensors that may still be handed out: a part of the file may belong to several tensors, not to all too many.
    bytes_left: usize,
}

/// Whether a file with these bytes is one that [`TorchFile::open`] reads.
pub(crate) fn is_torch(file: &[u8]) -> bool {
    file.starts_with(&ZIP) || legacy::is_legacy(file)
}

impl TorchFile {
    /// Reads the file's pickle; tensors' values stay where they are.
    pub(crate) fn open(path: &Path) -> Result<TorchFile, CheckpointError> {
        let map = Arc::new(crate::checkpoint::map(path)?);
        Self::read(map).map_err(|source| CheckpointError::Torch { path: path.to_owned(), source })
    }

    fn read(map: Arc<Mmap>) -> Result<TorchFile, TorchError> {
        let (copies_left, bytes_left) = (map.len(), map.len().saturating_mul(VIEWS_MAX));
        if legacy::is_legacy(&map) {
            let (dictionaries, storages) = legacy::read(&map)?;
            return Ok(TorchFile { map, storages, dictionaries, is_script: false, copies_left, bytes_left });
        }
        let archive = Archive::read(&map)?;
        let root = root(&archive)?;
        let entry = |name: &str| archive.find(&format!("{root}{name}"));
        if let Some(order) = entry("byteorder")?
            && map[order].trim_ascii() == b"big"
        {
            return Err(TorchError::BigEndian);
        }
        let pickle = entry("data.pkl")?.expect("the root was found by it");
        if pickle.len() > PICKLE_BYTES_MAX {
            return Err(TorchError::Limit(format!("its pickle has more than {PICKLE_BYTES_MAX} bytes")));
        }
        let dictionaries = dictionaries::find(&Pickle::read(&map[pickle])?)?;
        let is_script = entry("constants.pkl")?.is_some();
        let data = format!("{root}data/");
        let mut storages = HashMap::new();
        for name in archive.names() {
            if let Some(key) = name.strip_prefix(&data)
                && let Some(range) = archive.find(name)?
            {
                storages.insert(key.to_owned(), range);
            }
        }
        Ok(TorchFile { map, storages, dictionaries, is_script, copies_left, bytes_left })
    }

    /// All that hold tensors, those near the root first.
    pub(crate) fn dictionaries(&self) -> &[Dictionary] {
        &self.dictionaries
    }

    /// Whether it is a TorchScript archive: a program with its values.
    pub(crate) fn is_script(&self) -> bool {
        self.is_script
    }

    /// Each tensor of a dictionary, as [`TorchFile::stored`].
    pub(crate) fn stored_all(&mut self, tensors: &BTreeMap<String, TensorRef>) -> Result<StoredMap, TorchError> {
        tensors.iter().map(|(name, tensor)| Ok((name.clone(), self.stored(name, tensor)?))).collect()
    }

    /// A tensor's values: a part of the mapped file, or a copy where they do not lie there row by row. All copies together are
    /// no larger than the file.
    pub(crate) fn stored(&mut self, name: &str, tensor: &TensorRef) -> Result<Stored, TorchError> {
        let wrong = |why: String| TorchError::Tensor { name: name.to_owned(), why };
        let range = self.storages.get(&tensor.key);
        let range =
            range.ok_or_else(|| wrong(format!("the file lacks its storage `{}`", tensor.key.escape_debug())))?;
        if tensor.storage_bytes > range.len() as u64 {
            let (claimed, there) = (tensor.storage_bytes, range.len());
            return Err(wrong(format!("its storage is to have {claimed} bytes, and the file has {there}")));
        }
        let too_large =
            || wrong("it repeats values and is larger than its file; save it with `.contiguous()`".to_owned());
        let values = tensor.values().ok_or_else(too_large)?;
        let bytes = values.checked_mul(tensor.width).filter(|bytes| *bytes <= self.bytes_left).ok_or_else(too_large)?;
        self.bytes_left -= bytes;
        let (dtype, shape) = (tensor.dtype, tensor.shape.clone());
        if tensor.is_contiguous() || values == 0 {
            let start = range.start + tensor.offset.min(range.len()) * tensor.width;
            let start = if values == 0 { range.start } else { start };
            return Ok(Stored::mapped(dtype, shape, &self.map, start..start + bytes));
        }
        self.copies_left = self.copies_left.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(Stored::held(dtype, shape, tensor.gathered(&self.map[range.clone()], values)))
    }
}

/// What all names in the archive begin with: `NAME/`, the name that the file had when it was saved.
fn root(archive: &Archive) -> Result<String, TorchError> {
    let roots: Vec<&str> = archive
        .names()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|root| root.is_empty() || root.ends_with('/'))
        .collect();
    match roots[..] {
        [root] => Ok(root.to_owned()),
        [] => Err(TorchError::Archive("it is a zip archive without `data.pkl`, so not PyTorch's".to_owned())),
        _ => Err(TorchError::Archive("it has more than one `data.pkl`: pack one checkpoint alone".to_owned())),
    }
}
