//! Reads pictures' headers for planning: the first bytes of many pictures at once, and only those others that a header
//! needs. A header can be anywhere in a file (a TIFF's is often at its end), so that memory must not depend on the
//! lengths of files: a user names them, and a run may permit very long ones.
//!
//! Headers are read and kept without a run's limits; [`check`] applies a run's limits and views to one.

use std::sync::Arc;

use dqa_pipelines::dataset::{DataSet, Picture, PictureHeader};
use dqa_pipelines::store::{ByteRange, StoreError, StoreResolver};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::Semaphore;

use crate::decode::{self, FileParts, Header, Limits, PictureError};

/// Concurrent requests: a store answers each in tens of milliseconds, independently of the others.
const REQUESTS_MAX: usize = 64;

/// Length of a read. Most headers end within a few hundred bytes; a camera's JPEG has a preview before its header.
const PIECE_BYTES: u64 = 64 << 10;

/// Reads of one file's header after the first. Few headers need two: a directory, and values elsewhere.
const MORE_PIECES_MAX: usize = 16;

/// Length of a file that is read as a whole if its header is in more pieces, such as an animation of many frames.
const WHOLE_BYTES_MAX: u64 = 64 << 20;

/// KiB of files that are read as a whole at the same time.
const WHOLE_KIB_MAX: u32 = 128 << 10;

/// Reads the header of each of `pictures` (indices in `dataset.pictures`), in their order. A file of more than
/// `bytes_max` is unreadable: too large. An error is the store's, and another attempt may succeed.
pub fn read(
    dataset: &DataSet,
    pictures: Vec<usize>,
    bytes_max: u64,
) -> BoxStream<'_, (usize, Result<PictureHeader, StoreError>)> {
    let reader = Arc::new(HeaderReader {
        resolver: StoreResolver::default(),
        limits: Limits { bytes_max, ..Limits::none() },
        whole_files: Semaphore::new(WHOLE_KIB_MAX as usize),
    });
    let one = move |index: usize| {
        let (reader, picture) = (reader.clone(), &dataset.pictures[index]);
        let uri = dataset.uri(picture);
        async move { (index, reader.read(&uri, picture.bytes).await) }
    };
    futures::stream::iter(pictures).map(one).buffered(REQUESTS_MAX).boxed()
}

/// Returns a picture's header as a run with these limits sees it: unreadable if the picture is too large or too small.
/// None if the header is not known.
pub fn check(header: Option<&PictureHeader>, picture: &Picture, limits: &Limits) -> Option<PictureHeader> {
    if let Err(error) = limits.check_bytes(picture.bytes) {
        return Some(unreadable(&error));
    }
    let header = header?;
    let Some((width, height)) = header.size() else {
        return Some(header.clone());
    };
    let checked = limits.check_size(width.into(), height.into());
    Some(checked.map_or_else(|error| unreadable(&error), |_| header.clone()))
}

struct HeaderReader {
    resolver: StoreResolver,
    limits: Limits,
    /// KiB of files that may be read as a whole. Permits are given in the order of the requests.
    whole_files: Semaphore,
}

impl HeaderReader {
    async fn read(&self, uri: &str, bytes: u64) -> Result<PictureHeader, StoreError> {
        if let Err(error) = self.limits.check_bytes(bytes) {
            return Ok(unreadable(&error));
        }
        let first = self.resolver.read_first(uri, PIECE_BYTES.min(bytes)).await?;
        let mut file = FileParts::beginning(first.into(), bytes);
        let mut pieces = 0;
        let error = loop {
            let error = match decode::probe_parts(&file, &self.limits) {
                Ok(Header { width, height, .. }) => return Ok(PictureHeader::Size { width, height }),
                Err(error) => error,
            };
            let Some(missing) = file.take_missing() else { break error };
            if pieces == MORE_PIECES_MAX {
                return self.read_whole(uri, bytes).await;
            }
            pieces += 1;
            let piece_bytes = (missing.end - missing.start).max(PIECE_BYTES).min(bytes - missing.start);
            let piece = self.resolver.read_part(uri, ByteRange { offset: missing.start, bytes: piece_bytes }).await?;
            file.add(missing.start, piece.into());
        };
        Ok(unreadable(&error))
    }

    /// Reads the header from the whole file if that is short enough.
    async fn read_whole(&self, uri: &str, bytes: u64) -> Result<PictureHeader, StoreError> {
        if bytes > WHOLE_BYTES_MAX {
            let what = format!("file of {bytes} bytes with a header in more than {MORE_PIECES_MAX} places");
            return Ok(unreadable(&PictureError::UnsupportedFormat { what, advice: "convert the picture to PNG" }));
        }
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).expect("a file that is read as a whole is short");
        let _permit = self.whole_files.acquire_many(kib).await.expect("it is never closed");
        Ok(match decode::probe(&self.resolver.read_first(uri, bytes).await?, &self.limits) {
            Ok(Header { width, height, .. }) => PictureHeader::Size { width, height },
            Err(error) => unreadable(&error),
        })
    }
}

fn unreadable(error: &PictureError) -> PictureHeader {
    PictureHeader::Unreadable { code: error.code().to_string(), message: error.line() }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use dqa_pipelines::picture_limits::PictureLimits;
    use dqa_pipelines::store::Store;

    use super::*;

    /// A gray TIFF of 300x200 pixels whose directory is at this offset, in a file of a few bytes more.
    fn tiff_with_directory_at(offset: u32) -> Vec<(u64, Vec<u8>)> {
        let tags: [(u16, u32); 4] = [(256, 300), (257, 200), (258, 8), (262, 1)];
        let mut directory = (tags.len() as u16).to_le_bytes().to_vec();
        for (tag, value) in tags {
            directory.extend([&tag.to_le_bytes()[..], &4_u16.to_le_bytes(), &1_u32.to_le_bytes()].concat());
            directory.extend(value.to_le_bytes());
        }
        directory.extend([0; 4]);
        vec![(0, [b"II*\0", &offset.to_le_bytes()[..]].concat()), (offset.into(), directory)]
    }

    /// Returns the header of the only file of a data set, and its length.
    async fn header_of(parts: &[(u64, Vec<u8>)], bytes_max: u64) -> (PictureHeader, u64) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.tif");
        let file = File::create(&path).unwrap();
        parts.iter().for_each(|(offset, bytes)| file.write_all_at(bytes, *offset).unwrap());
        let bytes = file.metadata().unwrap().len();
        let root = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let picture = Picture { bytes, ..Picture::new("a".parse().unwrap(), "s.tif") };
        let dataset = DataSet::new("d".parse().unwrap(), root, vec![picture]);
        let (_, header) = read(&dataset, vec![0], bytes_max).next().await.unwrap();
        (header.unwrap(), bytes)
    }

    /// The file has holes, which take no space on a disk. As a whole it would take 3 GiB of memory.
    #[tokio::test]
    async fn a_header_at_the_end_of_a_long_file_is_read_alone() {
        let (header, bytes) = header_of(&tiff_with_directory_at(3 << 30), u64::MAX).await;
        assert_eq!(header, PictureHeader::Size { width: 300, height: 200 });
        assert!(bytes > 3 << 30);
    }

    #[tokio::test]
    async fn a_header_that_is_all_over_a_long_file_is_unreadable() {
        // JPEG markers, each of which skips more than a piece.
        let marker = |number: u64| (2 + number * 65_537, b"\xff\xe1\xff\xff".to_vec());
        let mut parts: Vec<(u64, Vec<u8>)> = (0..2000).map(marker).collect();
        parts.insert(0, (0, b"\xff\xd8".to_vec()));
        let (header, _) = header_of(&parts, u64::MAX).await;
        assert_eq!(header.error().unwrap().0, "unsupported_format", "{header:?}");
        // In a file that may be read as a whole, the same header is read.
        parts.truncate(100);
        parts.push((2 + 99 * 65_537, b"\xff\xc0\0\x0b\x08\0\xc8\x01\x2c\x01\x01\x11\0".to_vec()));
        let (header, _) = header_of(&parts, u64::MAX).await;
        assert_eq!(header, PictureHeader::Size { width: 300, height: 200 });
    }

    #[test]
    fn a_picture_is_too_large_or_too_small_for_a_run() {
        let picture = Picture {
            algorithm: "a".parse().unwrap(),
            scene: "s".into(),
            scene_group: None,
            image: "a/s.png".into(),
            uri: None,
            bytes: 1000,
            version: "v".into(),
            mos: None,
            raters: None,
            hazy: None,
            clear: None,
        };
        let code = |header: Option<&PictureHeader>, limits: PictureLimits, side_min| {
            let checked = check(header, &picture, &Limits::new(limits, side_min));
            checked.map(|header| header.error().map_or("size".to_owned(), |(code, _)| code.to_owned()))
        };
        let (usual, header) = (PictureLimits::default(), PictureHeader::Size { width: 300, height: 200 });
        let known = |limits, side_min| code(Some(&header), limits, side_min).unwrap();
        assert_eq!(known(usual, 224), "too_small");
        assert_eq!(known(usual, 112), "size");
        assert_eq!(known(PictureLimits { side_max: 299, ..usual }, 112), "too_large");
        assert_eq!(known(PictureLimits { pixels_max: 59_999, ..usual }, 112), "too_large");
        assert_eq!(known(PictureLimits { bytes_max: 999, ..usual }, 112), "too_large");
        assert_eq!(code(None, usual, 224), None);
        assert_eq!(
            code(None, PictureLimits { bytes_max: 999, ..usual }, 224).unwrap(),
            "too_large",
            "by the listing alone"
        );
        let damaged = PictureHeader::Unreadable { code: "corrupt".into(), message: "it is".into() };
        assert_eq!(code(Some(&damaged), usual, 224).unwrap(), "corrupt");
    }
}
