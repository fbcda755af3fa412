//! Lists the members of a tar from its headers: name, offset and length of each. This module owns the walk from header to header,
//! and what makes a member unreadable by range. It does not read the content of members.
//!
//! - Members are listed in the tar's order, each name once, relative to the tar and without `..`.
//! - Every listed range is within the tar. Unusable members, and the place where a tar breaks off, are reported.
//! - A member's name is the one in a pax record, else GNU's long name, else the header's with ustar's prefix. Its length is the
//!   one in a pax record, else the header's.

use std::collections::HashMap;

use bytes::Bytes;
use tar::{EntryType, Header};

use super::error::DatasetError;
use super::load_policy::LoadPolicy;
use super::tar_error::TarError;
use crate::causes;
use crate::store::{ByteRange, Object, Store};

/// Length of a header in bytes. The content of members is padded to it.
const BLOCK: u64 = 512;

/// Bytes that are read at a time: several headers if members are small, and no more of a large member than planning reads of a
/// picture anyway.
const READ_AHEAD: u64 = 64 << 10;

/// Maximum length of a long name or of pax records in bytes. Longer ones are not names, and reading them would read the tar.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// The first bytes of compressed files, and the programs that wrote them.
const COMPRESSED: [(&[u8], &str); 4] =
    [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2")];

/// A file in a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The path below the tar, as if the tar were a folder.
    pub(super) name: String,
    pub(super) range: ByteRange,
}

/// The content of a tar.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Its files. Folders are left out.
    pub(super) members: Vec<Member>,
    /// Names of members that cannot be read, with the reasons.
    pub(super) unusable: Vec<(String, TarError)>,
    /// Why the tar cannot be read to its end, if it cannot.
    pub(super) broken: Option<TarError>,
}

/// Lists a tar as far as it can be read.
///
/// # Errors
/// If the store fails.
pub(super) async fn list(store: &Store, tar: &Object, policy: &LoadPolicy) -> Result<Contents, DatasetError> {
    let mut walk = Walk { store, tar, policy, ahead: Bytes::new(), ahead_offset: 0 };
    let (mut contents, mut headers) = (Contents::default(), Vec::new());
    match read(&mut walk, &mut contents, &mut headers).await {
        Ok(()) => {}
        Err(DatasetError::Tar { source, .. }) => contents.broken = Some(source),
        Err(error) => return Err(error),
    }
    keep_last_of_each(&mut contents, &headers);
    Ok(contents)
}

async fn read(walk: &mut Walk<'_>, contents: &mut Contents, headers: &mut Vec<u64>) -> Result<(), DatasetError> {
    walk.refuse_compressed().await?;
    let mut extended = ExtendedHeader::default();
    let mut offset = 0;
    while let Some(block) = walk.header(offset).await? {
        let header = Header::from_byte_slice(&block);
        let data = ByteRange { offset: offset + BLOCK, bytes: walk.check(extended.bytes(header, offset))? };
        let what = || format!("`{}` of {} bytes", String::from_utf8_lossy(&header.path_bytes()), data.bytes);
        let next = data.bytes.checked_next_multiple_of(BLOCK).and_then(|padded| data.offset.checked_add(padded));
        let next = next.filter(|next| *next <= walk.tar.bytes).ok_or_else(|| walk.truncated(what(), offset))?;
        match header.entry_type() {
            EntryType::GNULongName => extended.name = Some(walk.text(data, offset).await?),
            EntryType::XHeader => {
                let records = walk.extension(data, offset).await?;
                walk.check(extended.read_pax(&records, offset))?;
            }
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            kind => match std::mem::take(&mut extended).member(header, kind, offset) {
                Ok(Some(name)) => {
                    walk.policy.charge(size_of::<Member>() + 2 * name.len())?;
                    contents.members.push(Member { name, range: data });
                    headers.push(offset);
                }
                Ok(None) => {}
                Err((name, error)) => {
                    walk.policy.charge(size_of::<(String, TarError)>() + 2 * name.len())?;
                    contents.unusable.push((name, error));
                }
            },
        }
        offset = next;
    }
    Ok(())
}

/// Keeps the last of the members with the same name, which would be unpacked over the others, and reports the others.
fn keep_last_of_each(contents: &mut Contents, headers: &[u64]) {
    let mut last = HashMap::with_capacity(headers.len());
    for (member, header) in contents.members.iter().zip(headers) {
        last.insert(member.name.clone(), *header);
    }
    if last.len() == headers.len() {
        return;
    }
    let mut header = headers.iter();
    contents.members.retain(|member| {
        let (first, second) = (*header.next().expect("each member has a header"), last[&member.name]);
        if first != second {
            let name = member.name.clone();
            contents.unusable.push((name.clone(), TarError::Duplicate { name, first, second }));
        }
        first == second
    });
}

/// A tar, and the bytes of it that were read last.
struct Walk<'t> {
    store: &'t Store,
    tar: &'t Object,
    policy: &'t LoadPolicy,
    ahead: Bytes,
    ahead_offset: u64,
}

impl Walk<'_> {
    fn failed(&self, source: TarError) -> DatasetError {
        DatasetError::Tar { address: self.store.address(&self.tar.key), source }
    }

    fn check<T>(&self, checked: Result<T, TarError>) -> Result<T, DatasetError> {
        checked.map_err(|error| self.failed(error))
    }

    fn truncated(&self, what: String, offset: u64) -> DatasetError {
        self.failed(TarError::Truncated { what, offset, end: self.tar.bytes })
    }

    /// Reads a range of the tar, and the bytes after it for the next call.
    async fn read(&mut self, range: ByteRange) -> Result<Bytes, DatasetError> {
        let offsets = range.as_range();
        let buffered = self.ahead_offset..self.ahead_offset + self.ahead.len() as u64;
        if offsets.start < buffered.start || offsets.end > buffered.end {
            let bytes = range.bytes.max(READ_AHEAD).min(self.tar.bytes - range.offset);
            self.ahead = self.store.get_range(&self.tar.key, ByteRange { offset: range.offset, bytes }).await?;
            self.ahead_offset = range.offset;
        }
        let begin = (range.offset - self.ahead_offset) as usize;
        Ok(self.ahead.slice(begin..begin + range.bytes as usize))
    }

    async fn refuse_compressed(&mut self) -> Result<(), DatasetError> {
        let first = self.read(ByteRange { offset: 0, bytes: self.tar.bytes.min(BLOCK) }).await?;
        match COMPRESSED.iter().find(|(magic, _)| first.starts_with(magic)) {
            Some((_, with)) => Err(self.failed(TarError::Compressed { with })),
            None => Ok(()),
        }
    }

    /// Reads the header at `offset`. None at the tar's end.
    async fn header(&mut self, offset: u64) -> Result<Option<Bytes>, DatasetError> {
        if offset + BLOCK > self.tar.bytes {
            return Err(self.truncated("the next header or the last block".to_owned(), offset));
        }
        let block = self.read(ByteRange { offset, bytes: BLOCK }).await?;
        if block.iter().all(|byte| *byte == 0) {
            self.refuse_trailing_data(offset + BLOCK).await?;
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block);
        // The eight bytes of the checksum itself count as spaces.
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        if header.cksum().ok() != Some(sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..])) {
            let why = "its checksum is not that of its bytes".to_owned();
            return Err(self.failed(TarError::Header { offset, why }));
        }
        Ok(Some(block))
    }

    /// Refuses a tar with data after its end. Programs pad a tar with zeros, most to 10 KiB, so that an appended tar starts within
    /// the bytes that are checked here.
    async fn refuse_trailing_data(&mut self, end: u64) -> Result<(), DatasetError> {
        let rest = self.read(ByteRange { offset: end, bytes: (self.tar.bytes - end).min(READ_AHEAD) }).await?;
        match rest.iter().position(|byte| *byte != 0) {
            Some(index) => Err(self.failed(TarError::TrailingData { offset: end + index as u64 })),
            None => Ok(()),
        }
    }

    /// Reads a long name or pax records, whose header is at `offset`.
    async fn extension(&mut self, data: ByteRange, offset: u64) -> Result<Bytes, DatasetError> {
        if data.bytes > EXTENSION_BYTES_MAX {
            let why = format!("it is followed by a name or records of {} bytes", data.bytes);
            return Err(self.failed(TarError::Header { offset, why }));
        }
        self.read(data).await
    }

    /// Reads a text that may be padded with zeros.
    async fn text(&mut self, data: ByteRange, offset: u64) -> Result<Vec<u8>, DatasetError> {
        let bytes = self.extension(data, offset).await?;
        Ok(bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec())
    }
}

/// What the headers before a member's own header say about it.
#[derive(Default)]
struct ExtendedHeader {
    name: Option<Vec<u8>>,
    pax_name: Option<Vec<u8>>,
    pax_bytes: Option<u64>,
    is_sparse: bool,
}

impl ExtendedHeader {
    /// Returns the length of the content after a header.
    fn bytes(&self, header: &Header, offset: u64) -> Result<u64, TarError> {
        let header_bytes =
            header.entry_size().map_err(|error| TarError::Header { offset, why: causes(&error).to_string() })?;
        // A length for a member does not apply to the names and records before it.
        let is_extension = matches!(
            header.entry_type(),
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
        );
        Ok(if is_extension { header_bytes } else { self.pax_bytes.unwrap_or(header_bytes) })
    }

    /// Reads pax records. The `tar` crate splits records at line ends, which values (a file's attributes) may contain.
    fn read_pax(&mut self, mut records: &[u8], offset: u64) -> Result<(), TarError> {
        let unreadable =
            || TarError::Header { offset, why: "it is followed by pax records that cannot be read".to_owned() };
        while !records.is_empty() {
            let PaxRecord { key, value, rest } = PaxRecord::first(records).ok_or_else(unreadable)?;
            match key {
                b"path" => self.pax_name = Some(value.to_vec()),
                b"size" => {
                    let bytes = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.pax_bytes = Some(bytes.ok_or_else(unreadable)?);
                }
                _ => self.is_sparse |= key.starts_with(b"GNU.sparse."),
            }
            records = rest;
        }
        Ok(())
    }

    /// Returns the name of a file. None for a folder. An error has the name with bytes that are not UTF-8 replaced.
    fn member(self, header: &Header, kind: EntryType, offset: u64) -> Result<Option<String>, (String, TarError)> {
        let name = self.pax_name.or(self.name).unwrap_or_else(|| header.path_bytes().into_owned());
        // Tars from before the type for folders end their names in a slash.
        if kind.is_dir() || name.ends_with(b"/") {
            return Ok(None);
        }
        let unfit = |kind: &str, remedy| {
            let name = String::from_utf8_lossy(&name).into_owned();
            Err((name.clone(), TarError::Kind { name, offset, kind: kind.to_owned(), remedy }))
        };
        match kind {
            _ if self.is_sparse => unfit("a sparse file", "without --sparse"),
            EntryType::Regular | EntryType::Continuous => match normalize_name(&name, offset) {
                Ok(name) => Ok(Some(name)),
                Err(error) => Err((String::from_utf8_lossy(&name).into_owned(), error)),
            },
            EntryType::GNUSparse => unfit("a sparse file", "without --sparse"),
            EntryType::Symlink => unfit("a symbolic link", "with --dereference"),
            EntryType::Link => unfit("a link to another member", "with --hard-dereference"),
            other => unfit(&format!("of the type `{}`", other.as_byte().escape_ascii()), "without it"),
        }
    }
}

/// A pax record: `20 path=dcp/s1.png\n`. The number is the length of the whole record.
struct PaxRecord<'r> {
    key: &'r [u8],
    value: &'r [u8],
    /// The records after it.
    rest: &'r [u8],
}

impl PaxRecord<'_> {
    fn first(records: &[u8]) -> Option<PaxRecord<'_>> {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let bytes: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let (record, rest) = records.split_at_checked(bytes)?;
        let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        Some(PaxRecord { key: &record[..equals], value: &record[equals + 1..], rest })
    }
}

/// Normalizes a member's name as the end of a key: `./a//b` becomes `a/b`.
fn normalize_name(name: &[u8], offset: u64) -> Result<String, TarError> {
    let wrong = |why| TarError::Name { name: String::from_utf8_lossy(name).into_owned(), offset, why };
    let text = std::str::from_utf8(name).map_err(|_| wrong("is not UTF-8"))?;
    if text.starts_with('/') {
        return Err(wrong("is absolute"));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match parts.as_slice() {
        [] => Err(wrong("is empty")),
        parts if parts.contains(&"..") => Err(wrong("leads out of the tar")),
        parts => Ok(parts.join("/")),
    }
}

#[cfg(test)]
mod tests;
