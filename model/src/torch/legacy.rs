//! Reads the format of `torch.save` before 1.6, and with `_use_new_zipfile_serialization=False`: five pickles in a row
//! (a magic number, a version, the machine, the value, the keys of its storages), then each storage's length and
//! values.

use std::collections::HashMap;

use super::dictionaries::{self, Dictionary};
use super::error::TorchError;
use super::pickle_vm;
use super::tensor_ref::StorageRanges;
use super::value::{Node, Pickle};

/// The magic number's pickle, after its protocol.
const MAGIC: [u8; 12] = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Returns whether a file begins as these do.
pub(super) fn is_legacy(file: &[u8]) -> bool {
    file.first() == Some(&0x80) && file.get(2..14) == Some(&MAGIC)
}

/// Returns the dictionaries in a file, and where each storage lies.
pub(super) fn read(file: &[u8]) -> Result<(Vec<Dictionary>, StorageRanges), TorchError> {
    let mut position = 0;
    let mut next = || -> Result<Pickle<'_>, TorchError> {
        let pickle = pickle_vm::run(&file[position..])?;
        position += pickle.len;
        Ok(pickle)
    };
    let (_magic, _version, machine, value, keys) = (next()?, next()?, next()?, next()?, next()?);
    check_order(&machine)?;
    // Only the value has the storages' widths.
    let widths: HashMap<&str, Option<usize>> = value
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Storage(storage) => Some((storage.key.as_str(), storage.width)),
            _ => None,
        })
        .collect();
    let damaged = |why: &str| TorchError::Archive(why.to_owned());
    let Node::List(ids) = keys.node(keys.root) else { return Err(damaged("the list of its storages is missing")) };
    let mut storages = HashMap::new();
    for id in ids {
        let Node::Str(key) = keys.node(*id) else { return Err(damaged("a storage has no key")) };
        let width = widths.get(key).copied().flatten();
        let width = width.ok_or_else(|| damaged("a storage is of an unknown type"))?;
        let values = file.get(position..).and_then(|rest| rest.first_chunk::<8>());
        let values = u64::from_le_bytes(*values.ok_or_else(|| damaged("it is cut short"))?);
        let bytes = values.checked_mul(width as u64).filter(|bytes| *bytes <= (file.len() - position - 8) as u64);
        let bytes = bytes.ok_or_else(|| damaged("it is cut short"))? as usize;
        storages.insert((*key).to_owned(), position + 8..position + 8 + bytes);
        position += 8 + bytes;
    }
    Ok((dictionaries::find(&value)?, storages))
}

/// Checks the byte order of the machine that wrote the file.
fn check_order(machine: &Pickle<'_>) -> Result<(), TorchError> {
    let Node::Dict(pairs) = machine.node(machine.root) else { return Ok(()) };
    let is_big = |(key, value): &(u32, u32)| {
        matches!(machine.node(*key), Node::Str("little_endian")) && matches!(machine.node(*value), Node::Bool(false))
    };
    if pairs.iter().any(is_big) { Err(TorchError::BigEndian) } else { Ok(()) }
}
