//! The parts of a file that are known: all of it, or those that were read so far for its header. A decoder that needs
//! other bytes fails, and they are then the missing ones, so that the caller can read them and try again.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// A file of which some parts are known. The first begins at byte 0.
pub struct FileParts<'a> {
    bytes: u64,
    /// Parts with their offsets.
    parts: Vec<(u64, Cow<'a, [u8]>)>,
    missing: Cell<Option<Range<u64>>>,
}

impl<'a> FileParts<'a> {
    /// Creates a file that is known as a whole.
    pub fn whole(bytes: &'a [u8]) -> FileParts<'a> {
        FileParts { bytes: bytes.len() as u64, parts: vec![(0, bytes.into())], missing: Cell::new(None) }
    }

    /// Creates a file of this many bytes whose first ones are known.
    pub fn beginning(first: Vec<u8>, bytes: u64) -> FileParts<'a> {
        FileParts { bytes, parts: vec![(0, first.into())], missing: Cell::new(None) }
    }

    /// Adds a part.
    pub fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        self.parts.push((offset, bytes.into()));
    }

    /// Returns the bytes of the file that a decoder asked for last and that are not known, and forgets them.
    pub fn take_missing(&self) -> Option<Range<u64>> {
        self.missing.take()
    }

    /// Returns the file's length in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the known bytes at the file's beginning.
    pub(super) fn first(&self) -> &[u8] {
        &self.parts[0].1
    }

    /// Returns a range of bytes. None if the file ends before, or the range is not known.
    pub(super) fn get(&self, offset: u64, bytes: u64) -> Option<&[u8]> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.bytes)?;
        let known = self.parts.iter().find_map(|(start, part)| {
            let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
            part.get(from..from.checked_add(usize::try_from(bytes).ok()?)?)
        });
        if known.is_none() {
            self.missing.set(Some(offset..end));
        }
        known
    }

    /// Returns `N` bytes at an offset. None if the file ends before, or they are not known.
    pub(super) fn array<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        self.get(offset, N as u64)?.try_into().ok()
    }

    /// Returns a reader for decoders that read files.
    pub(super) fn reader(&self) -> FileReader<'_> {
        FileReader { file: self, position: 0 }
    }
}

/// Reads the known parts of a file. Reading others is an error.
pub(super) struct FileReader<'a> {
    file: &'a FileParts<'a>,
    position: u64,
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (position, file) = (self.position, self.file);
        if buffer.is_empty() || position >= file.bytes {
            return Ok(0);
        }
        let known = file.parts.iter().find_map(|(start, part)| {
            let from = usize::try_from(position.checked_sub(*start)?).ok()?;
            part.get(from..).filter(|rest| !rest.is_empty())
        });
        let Some(known) = known else {
            file.missing.set(Some(position..position + 1));
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let count = known.len().min(buffer.len());
        buffer[..count].copy_from_slice(&known[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.file.bytes.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_missing() {
        let mut file = FileParts::beginning(b"abc".to_vec(), 10);
        assert_eq!((file.get(1, 2), file.take_missing()), (Some(&b"bc"[..]), None));
        assert_eq!((file.get(9, 2), file.take_missing()), (None, None), "the file ends before");
        assert_eq!((file.get(2, 3), file.take_missing()), (None, Some(2..5)));
        let mut text = Vec::new();
        assert!(file.reader().read_to_end(&mut text).is_err());
        assert_eq!((text.as_slice(), file.take_missing()), (&b"abc"[..], Some(3..4)));
        file.add(2, b"cdefghij".to_vec());
        assert_eq!(file.array(2), Some(*b"cde"));
        file.reader().read_to_end(&mut text).unwrap();
        assert_eq!(text, b"abcabcdefghij");
    }
}
