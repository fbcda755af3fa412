//! Reads a zip archive as `torch.save` and TorchScript write it: finds where each entry's bytes lie in the file.
//!
//! It reads headers alone. A compressed entry is listed, but refused when it is requested: PyTorch compresses nothing
//! but source text. Entries that overlap, lie outside the file or share a name are an error, so that all entries
//! together are no larger than the file.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::TorchError;

/// A file of a thousand tensors has some 1,010 entries.
const ENTRIES_MAX: usize = 1 << 18;

/// A zip archive's first bytes.
pub(super) const ZIP: [u8; 4] = *b"PK\x03\x04";

const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// The tag of the extra field that has 64-bit sizes.
const EXTRA_64: u16 = 1;

/// The entries of an archive by name.
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    data: Range<usize>,
    is_stored: bool,
}

fn damaged(why: impl Into<String>) -> TorchError {
    TorchError::Archive(why.into())
}

/// Returns the `N` bytes of `file` from `position`.
fn bytes<const N: usize>(file: &[u8], position: usize) -> Result<[u8; N], TorchError> {
    let end = position.checked_add(N).ok_or_else(|| damaged("a header lies outside it"))?;
    let bytes = file.get(position..end).ok_or_else(|| damaged("it is cut short"))?;
    Ok(bytes.try_into().expect("as many bytes as were taken"))
}

fn u16_at(file: &[u8], position: usize) -> Result<u16, TorchError> {
    Ok(u16::from_le_bytes(bytes(file, position)?))
}

fn u32_at(file: &[u8], position: usize) -> Result<u32, TorchError> {
    Ok(u32::from_le_bytes(bytes(file, position)?))
}

fn u64_at(file: &[u8], position: usize) -> Result<u64, TorchError> {
    Ok(u64::from_le_bytes(bytes(file, position)?))
}

/// The position of the list of entries.
struct Directory {
    count: u64,
    range: Range<usize>,
}

impl Directory {
    fn find(file: &[u8]) -> Result<Directory, TorchError> {
        const LEN: usize = 22;
        let no_end = || damaged("it has no list of its entries, so it is cut short");
        let last = file.len().checked_sub(LEN).ok_or_else(no_end)?;
        // A comment of up to 65,535 bytes may follow.
        let first = last.saturating_sub(usize::from(u16::MAX));
        let is_end = |position: &usize| {
            file[*position..].starts_with(&END)
                && u16_at(file, position + 20).is_ok_and(|len| position + LEN + usize::from(len) == file.len())
        };
        let end = (first..=last).rev().find(is_end).ok_or_else(no_end)?;
        let (mut count, mut size, mut start) = (
            u64::from(u16_at(file, end + 10)?),
            u64::from(u32_at(file, end + 12)?),
            u64::from(u32_at(file, end + 16)?),
        );
        let locator = end.checked_sub(20).filter(|position| file[*position..].starts_with(&LOCATOR_64));
        if let Some(locator) = locator {
            let end_64 =
                usize::try_from(u64_at(file, locator + 8)?).map_err(|_| damaged("a header lies outside it"))?;
            if bytes::<4>(file, end_64)? != END_64 {
                return Err(damaged("its 64-bit header is missing"));
            }
            (count, size, start) = (u64_at(file, end_64 + 32)?, u64_at(file, end_64 + 40)?, u64_at(file, end_64 + 48)?);
        }
        let range =
            start.checked_add(size).filter(|stop| *stop <= end as u64).map(|stop| start as usize..stop as usize);
        Ok(Directory { count, range: range.ok_or_else(|| damaged("its list of entries lies outside it"))? })
    }
}

impl Archive {
    pub(super) fn read(file: &[u8]) -> Result<Archive, TorchError> {
        let directory = Directory::find(file)?;
        if directory.count > ENTRIES_MAX as u64 {
            return Err(TorchError::Limit(format!(
                "it has {} entries, and at most {ENTRIES_MAX} are read",
                directory.count
            )));
        }
        let mut entries = BTreeMap::new();
        let mut taken: Vec<Range<usize>> = Vec::new();
        let mut position = directory.range.start;
        for _ in 0..directory.count {
            let (name, entry, whole, next) = central(file, position)?;
            if next > directory.range.end {
                return Err(damaged("its list of entries is cut short"));
            }
            position = next;
            taken.push(whole);
            if entries.insert(name.clone(), entry).is_some() {
                return Err(damaged(format!("it has two entries `{}`", name.escape_debug())));
            }
        }
        taken.sort_unstable_by_key(|range| range.start);
        if taken.windows(2).any(|pair| pair[0].end > pair[1].start) {
            return Err(damaged("entries of it overlap"));
        }
        Ok(Archive { entries })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns the byte range of an entry; `None` if the archive lacks it.
    pub(super) fn find(&self, name: &str) -> Result<Option<Range<usize>>, TorchError> {
        match self.entries.get(name) {
            None => Ok(None),
            Some(Entry { data, is_stored: true }) => Ok(Some(data.clone())),
            Some(_) => Err(TorchError::Archive(format!(
                "its entry `{}` is compressed or encrypted, which PyTorch never does; load it with `torch.load` and save \
                 it again with `torch.save`",
                name.escape_debug()
            ))),
        }
    }
}

/// Reads an entry of the list: its name, its data, its byte range with the header, and the position of the next entry.
fn central(file: &[u8], position: usize) -> Result<(String, Entry, Range<usize>, usize), TorchError> {
    if bytes::<4>(file, position)? != CENTRAL {
        return Err(damaged("its list of entries is damaged"));
    }
    let (flags, method) = (u16_at(file, position + 8)?, u16_at(file, position + 10)?);
    let lengths = [28, 30, 32].map(|field| u16_at(file, position + field).map(usize::from));
    let [name_len, extra_len, comment_len] = lengths;
    let (name_len, extra_len) = (name_len?, extra_len?);
    let name_bytes = slice(file, position + 46, name_len)?;
    let extra = slice(file, position + 46 + name_len, extra_len)?;
    // The sizes and the offset that do not fit 32 bits are in an extra field, in this order.
    let mut wide = extra_64(extra);
    let mut value = |field: usize| -> Result<u64, TorchError> {
        match u32_at(file, position + field)? {
            u32::MAX => match wide.split_first_chunk::<8>() {
                Some((bytes, rest)) => {
                    wide = rest;
                    Ok(u64::from_le_bytes(*bytes))
                }
                None => Ok(u64::from(u32::MAX)),
            },
            narrow => Ok(u64::from(narrow)),
        }
    };
    let (size, packed, local) = (value(24)?, value(20)?, value(42)?);
    let local = usize::try_from(local).map_err(|_| damaged("an entry lies outside it"))?;
    if bytes::<4>(file, local)? != LOCAL {
        return Err(damaged("an entry has no header"));
    }
    let local_name = usize::from(u16_at(file, local + 26)?);
    let local_extra = usize::from(u16_at(file, local + 28)?);
    if slice(file, local + 30, local_name)? != name_bytes {
        return Err(damaged("an entry has two names"));
    }
    let start = local + 30 + local_name + local_extra;
    let packed = usize::try_from(packed).map_err(|_| damaged("an entry lies outside it"))?;
    slice(file, start, packed)?;
    let is_stored = method == 0 && flags & 1 == 0;
    if is_stored && packed as u64 != size {
        return Err(damaged("an entry has two lengths"));
    }
    let name = String::from_utf8_lossy(name_bytes).into_owned();
    let next = position + 46 + name_len + extra_len + comment_len?;
    Ok((name, Entry { data: start..start + packed, is_stored }, local..start + packed, next))
}

fn slice(file: &[u8], position: usize, len: usize) -> Result<&[u8], TorchError> {
    let end = position.checked_add(len).ok_or_else(|| damaged("an entry lies outside it"))?;
    file.get(position..end).ok_or_else(|| damaged("an entry lies outside it"))
}

/// Returns the content of the extra field with 64-bit sizes, or an empty slice.
fn extra_64(mut extra: &[u8]) -> &[u8] {
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let (tag, len) = (u16::from_le_bytes([head[0], head[1]]), usize::from(u16::from_le_bytes([head[2], head[3]])));
        if tag == EXTRA_64 {
            return rest.get(..len).unwrap_or_default();
        }
        extra = rest.get(len..).unwrap_or_default();
    }
    &[]
}
