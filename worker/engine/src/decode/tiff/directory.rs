//! A TIFF's first directory: its tags, without their meaning. The `tiff` crate can read directories too, but not those
//! of pictures that it does not support, and it refuses pictures that libtiff reads.
//!
//! Invariant: a tag's values are looked up in the file, and only as many are copied as the caller needs.

use std::collections::BTreeMap;

use super::{FORMAT, FileParts, PictureError};

/// The tags of one page.
pub(super) struct Directory<'a> {
    file: &'a FileParts<'a>,
    order: ByteOrder,
    entries: BTreeMap<u16, Entry>,
}

/// The byte order of numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

struct Entry {
    kind: Kind,
    count: u64,
    /// Offset of the values.
    offset: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Unsigned integers, with their size in bytes.
    Unsigned(usize),
    /// Other values, with their size in bytes.
    Other(usize),
}

impl Kind {
    fn from_code(code: u16) -> Option<Kind> {
        Some(match code {
            1 => Kind::Unsigned(1),
            3 => Kind::Unsigned(2),
            4 | 13 => Kind::Unsigned(4),
            16 | 18 => Kind::Unsigned(8),
            2 | 6 | 7 => Kind::Other(1),
            8 => Kind::Other(2),
            9 | 11 => Kind::Other(4),
            5 | 10 | 12 | 17 => Kind::Other(8),
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Kind::Unsigned(size) | Kind::Other(size) => size,
        }
    }
}

impl ByteOrder {
    fn number(self, bytes: &[u8]) -> u64 {
        let append = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        match self {
            ByteOrder::Little => bytes.iter().rev().fold(0, append),
            ByteOrder::Big => bytes.iter().fold(0, append),
        }
    }

    pub(super) fn is_native(self) -> bool {
        (self == ByteOrder::Little) == cfg!(target_endian = "little")
    }
}

impl<'a> Directory<'a> {
    /// Reads the first directory of a classic TIFF or a BigTIFF.
    pub(super) fn read(file: &'a FileParts<'a>) -> Result<Directory<'a>, PictureError> {
        let order = if file.first().starts_with(b"II") { ByteOrder::Little } else { ByteOrder::Big };
        let short = || PictureError::truncated(FORMAT, "it ends within its directory");
        let number = |offset: u64, size: u64| file.get(offset, size).map(|found| order.number(found));
        let two = |offset| number(offset, 2).ok_or_else(short);
        let four = |offset| number(offset, 4).ok_or_else(short);
        let eight = |offset| number(offset, 8).ok_or_else(short);
        let is_big = two(2)? == 43;
        let (start, count, first, entry_bytes, inline_bytes) = if is_big {
            if (two(4)?, two(6)?) != (8, 0) {
                return Err(PictureError::corrupt(FORMAT, "its offsets are not of eight bytes"));
            }
            let start = eight(8)?;
            (start, eight(start)?, start.saturating_add(8), 20, 8)
        } else {
            let start = four(4)?;
            (start, two(start)?, start.saturating_add(2), 12, 4)
        };
        let mut entries = BTreeMap::new();
        for index in 0..count {
            let position =
                index.checked_mul(entry_bytes).and_then(|offset| first.checked_add(offset)).ok_or_else(short)?;
            let tag = two(position)? as u16;
            let kind = Kind::from_code(two(position + 2)? as u16);
            let count = if is_big { eight(position + 4)? } else { four(position + 4)? };
            let value = position + if is_big { 12 } else { 8 };
            let offset = if is_big { eight(value)? } else { four(value)? };
            let Some(kind) = kind else { continue };
            let is_inline = count.saturating_mul(kind.size() as u64) <= inline_bytes;
            entries.entry(tag).or_insert(Entry { kind, count, offset: if is_inline { value } else { offset } });
        }
        if entries.is_empty() {
            return Err(PictureError::corrupt(FORMAT, format!("its directory at byte {start} is empty")));
        }
        Ok(Directory { file, order, entries })
    }

    pub(super) fn order(&self) -> ByteOrder {
        self.order
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entries.contains_key(&tag)
    }

    /// Returns the number of values that a tag states.
    pub(super) fn count(&self, tag: u16) -> u64 {
        self.entries.get(&tag).map_or(0, |entry| entry.count)
    }

    /// Returns the bytes of a tag's values, which are at most `bytes_max`.
    pub(super) fn raw(&self, tag: u16, bytes_max: u64) -> Result<Option<&'a [u8]>, PictureError> {
        let Some(entry) = self.entries.get(&tag) else {
            return Ok(None);
        };
        if entry.count.saturating_mul(entry.kind.size() as u64) > bytes_max {
            return Err(PictureError::corrupt(FORMAT, format!("its tag {tag} has more than {bytes_max} bytes")));
        }
        self.values(tag, entry, entry.count).map(Some)
    }

    /// Returns the first `max` unsigned integers of a tag.
    pub(super) fn numbers(&self, tag: u16, max: usize) -> Result<Option<Vec<u64>>, PictureError> {
        let Some(entry) = self.entries.get(&tag) else {
            return Ok(None);
        };
        let Kind::Unsigned(size) = entry.kind else {
            return Err(PictureError::corrupt(FORMAT, format!("its tag {tag} does not hold whole numbers")));
        };
        let values = self.values(tag, entry, entry.count.min(max as u64))?;
        Ok(Some(values.chunks_exact(size).map(|value| self.order.number(value)).collect()))
    }

    /// Returns a tag's first number.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, PictureError> {
        Ok(self.numbers(tag, 1)?.and_then(|numbers| numbers.first().copied()))
    }

    fn values(&self, tag: u16, entry: &Entry, count: u64) -> Result<&'a [u8], PictureError> {
        let values = count.checked_mul(entry.kind.size() as u64).and_then(|bytes| self.file.get(entry.offset, bytes));
        values.ok_or_else(|| PictureError::truncated(FORMAT, format!("it ends before the values of its tag {tag}")))
    }
}
