//! A PyTorch file that is open: its dictionaries of tensors, and their values where they lie.
//!
//! It reads a file of either kind, a zip archive or the form before PyTorch 1.6, and bounds the bytes that it hands out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use memmap2::Mmap;

use super::archive::{Archive, ZIP};
use super::dictionaries::{self, Dictionary};
use super::error::TorchError;
use super::legacy;
use super::pickle_vm;
use super::tensor_ref::{StorageRanges, TensorRef};
use crate::weights::stored_tensor::{StoredTensor, TensorMap};

/// The most bytes of a pickle: that of a training with a long history has some 10 MB.
const PICKLE_BYTES_MAX: usize = 256 << 20;
/// The most bytes of all requested tensors together, as a multiple of the file's length: some tensors share their
/// storage.
pub(super) const VIEWS_MAX: usize = 8;

/// An open file.
pub(crate) struct TorchFile {
    map: Arc<Mmap>,
    storages: StorageRanges,
    dictionaries: Vec<Dictionary>,
    is_script: bool,
    /// Bytes that may still be copied, for tensors whose values do not lie in the file row by row.
    copies_left: usize,
    /// Bytes of tensors that may still be handed out. Several tensors may share a part of the file, but not without
    /// limit.
    bytes_left: usize,
}

/// Returns whether a file with these first bytes is PyTorch's.
pub(crate) fn is_torch(file: &[u8]) -> bool {
    file.starts_with(&ZIP) || legacy::is_legacy(file)
}

impl TorchFile {
    /// Reads the pickle of a mapped file; tensors' values stay where they are.
    pub(crate) fn read(map: Arc<Mmap>) -> Result<TorchFile, TorchError> {
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
        let dictionaries = dictionaries::find(&pickle_vm::run(&map[pickle])?)?;
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

    /// Returns all dictionaries that hold tensors, those near the root first.
    pub(crate) fn dictionaries(&self) -> &[Dictionary] {
        &self.dictionaries
    }

    /// Returns whether it is a TorchScript archive, a program with its values.
    pub(crate) fn is_script(&self) -> bool {
        self.is_script
    }

    /// Returns each tensor of a dictionary, as [`TorchFile::stored`] does.
    pub(crate) fn stored_all(&mut self, tensors: &BTreeMap<String, TensorRef>) -> Result<TensorMap, TorchError> {
        tensors.iter().map(|(name, tensor)| Ok((name.clone(), self.stored(name, tensor)?))).collect()
    }

    /// Returns a tensor's values: a part of the mapped file, or a copy if they do not lie there row by row. All copies
    /// together are no larger than the file.
    pub(crate) fn stored(&mut self, name: &str, tensor: &TensorRef) -> Result<StoredTensor, TorchError> {
        let wrong = |why: String| TorchError::Tensor { name: name.to_owned(), why };
        let range = self.storages.get(&tensor.key);
        let range =
            range.ok_or_else(|| wrong(format!("the file lacks its storage `{}`", tensor.key.escape_debug())))?;
        if tensor.storage_bytes > range.len() as u64 {
            let (claimed, there) = (tensor.storage_bytes, range.len());
            return Err(wrong(format!("its storage should have {claimed} bytes, but the file has {there}")));
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
            return Ok(StoredTensor::mapped(dtype, shape, &self.map, start..start + bytes));
        }
        self.copies_left = self.copies_left.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(StoredTensor::from_bytes(dtype, shape, tensor.gathered(&self.map[range.clone()], values)))
    }
}

/// Returns the prefix of all names in the archive: `NAME/`, the name that the file had when it was saved.
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
