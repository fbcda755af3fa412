//! Reads pictures ahead of inference, several at once and in order. The bytes that are ready are bounded; `read_ahead`
//! makes sure that this bound cannot cause a deadlock.

mod read_ahead;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dqa_pipelines::store::{StoreError, StoreResolver};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use crate::decode::{Limits, PictureError};

/// Concurrent requests: enough to keep a GPU busy at a store's usual latency of 50 ms.
const REQUESTS_MAX: usize = 32;

/// KiB of files that were read and not yet decoded. A larger file is read alone.
const AHEAD_KIB_MAX: u32 = 64 << 10;

/// The address of a file and its length in bytes.
pub(crate) type FileToRead = (String, u64);

/// The files of a picture: its own, and those of the pictures that metrics compare it with.
#[derive(Clone, Debug)]
pub(crate) struct PictureFiles {
    pub(crate) picture: FileToRead,
    pub(crate) clear: Option<FileToRead>,
    pub(crate) hazy: Option<FileToRead>,
}

/// A picture's bytes on their way to inference.
pub(crate) struct FetchedPicture {
    /// Index of the picture in the list given to [`read_pictures`].
    pub(crate) index: usize,
    /// BLAKE3 digest of the picture's file.
    pub(crate) digest: Option<String>,
    /// Error of a remote store that did not answer, rather than answer that an object is missing, or of this machine if
    /// its errors do not count as the picture's: another attempt may succeed.
    pub(crate) store_error: Option<StoreError>,
    files: RefCell<Option<FetchedFiles>>,
}

/// The contents of a picture's files.
pub(crate) struct FetchedFiles {
    pub(crate) picture: Result<Vec<u8>, PictureError>,
    pub(crate) clear: Option<Result<Vec<u8>, PictureError>>,
    pub(crate) hazy: Option<Result<Vec<u8>, PictureError>>,
}

impl FetchedPicture {
    /// Takes the bytes of the picture's file; may be called once.
    pub(crate) fn take(&self) -> Result<Vec<u8>, PictureError> {
        self.take_files().picture
    }

    /// Takes the bytes of all files; may be called once.
    pub(crate) fn take_files(&self) -> FetchedFiles {
        self.files.take().expect("a picture's bytes are taken once")
    }
}

/// Reads files ahead of the iterator's consumer, in order. The iterator blocks, so use it outside the runtime's threads.
pub(crate) fn read_pictures(
    resolver: &Arc<StoreResolver>,
    files: Vec<FileToRead>,
    limits: &Limits,
    runtime: &Handle,
) -> impl Iterator<Item = FetchedPicture> + Send + use<> {
    let alone = files.into_iter().map(|picture| PictureFiles { picture, clear: None, hazy: None });
    read_with_references(resolver, alone.collect(), runtime, ReadPolicy { limits, accepts_unreadable: true })
}

/// When a file counts as unreadable.
pub(crate) struct ReadPolicy<'a> {
    pub(crate) limits: &'a Limits,
    /// A file that this machine cannot read, and another might, is the picture's own failure. Otherwise it is an error
    /// of the store.
    pub(crate) accepts_unreadable: bool,
}

/// Does the same as [`read_pictures`] with the files of the pictures that metrics compare with.
pub(crate) fn read_with_references(
    resolver: &Arc<StoreResolver>,
    files: Vec<PictureFiles>,
    runtime: &Handle,
    policy: ReadPolicy<'_>,
) -> impl Iterator<Item = FetchedPicture> + Send + use<> {
    let (bytes_max, accepts_unreadable) = (policy.limits.bytes_max, policy.accepts_unreadable);
    let permits = Arc::new(Semaphore::new(AHEAD_KIB_MAX as usize));
    let (started, mut ahead) = mpsc::channel(REQUESTS_MAX);
    let sized = files.into_iter().map(|files| {
        let references = [&files.clear, &files.hazy].into_iter().flatten().map(|(_, bytes)| *bytes);
        let bytes = references.fold(files.picture.1, u64::saturating_add);
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, AHEAD_KIB_MAX);
        (files, kib)
    });
    let (resolver, spawner) = (resolver.clone(), runtime.clone());
    // Tasks, not futures: they make progress while nobody polls them.
    let start = move |files: PictureFiles| {
        let resolver = resolver.clone();
        spawner.spawn(async move { read_all(&resolver, files, bytes_max).await })
    };
    runtime.spawn(read_ahead::start_in_order(sized, permits, started, start));
    let runtime = runtime.clone();
    let mut index = 0;
    std::iter::from_fn(move || {
        let (read, _share) = runtime.block_on(async {
            let (task, share) = ahead.recv().await?;
            Some((task.await.expect("reading does not panic"), share))
        })?;
        let digest = read[0].as_ref().and_then(|read| read.as_ref().ok());
        let digest = digest.map(|bytes| blake3::hash(bytes).to_hex().to_string());
        let mut store_error = None;
        let mut split = |read| split_error(read, accepts_unreadable, &mut store_error);
        let [picture, clear, hazy] = read.map(|read| read.map(&mut split));
        let files = FetchedFiles { picture: picture.expect("a picture has a file"), clear, hazy };
        let fetched = FetchedPicture { index, digest, store_error, files: RefCell::new(Some(files)) };
        index += 1;
        Some(fetched)
    })
}

/// Reads the files of a picture: its own, then the references.
async fn read_all(
    resolver: &StoreResolver,
    files: PictureFiles,
    bytes_max: u64,
) -> [Option<Result<Bytes, ReadError>>; 3] {
    let read = async |file: Option<FileToRead>| match file {
        Some((uri, bytes)) => Some(read(resolver, &uri, bytes, bytes_max).await),
        None => None,
    };
    [read(Some(files.picture)).await, read(files.clear).await, read(files.hazy).await]
}

/// Returns the bytes or the picture's own failure, and keeps the first error that is not the picture's own.
fn split_error(
    read: Result<Bytes, ReadError>,
    accepts_unreadable: bool,
    store_error: &mut Option<StoreError>,
) -> Result<Vec<u8>, PictureError> {
    match read {
        Ok(bytes) => Ok(Vec::from(bytes)),
        Err(ReadError::TooLarge(error)) => Err(error),
        Err(ReadError::Store { error, .. })
            if error.is_store_wide() || error.depends_on_machine() && !accepts_unreadable =>
        {
            store_error.get_or_insert(error);
            Err(PictureError::Io { path: String::new(), source: unread() })
        }
        Err(ReadError::Store { uri, error }) => {
            let kind = if error.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
            Err(PictureError::Io { path: uri, source: io::Error::new(kind, cause(error)) })
        }
    }
}

/// Why a file cannot be read.
enum ReadError {
    /// It has more bytes than a picture may have.
    TooLarge(PictureError),
    Store {
        uri: String,
        error: StoreError,
    },
}

fn unread() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

async fn read(resolver: &StoreResolver, uri: &str, bytes: u64, bytes_max: u64) -> Result<Bytes, ReadError> {
    if bytes > bytes_max {
        let error = PictureError::TooLarge { what: format!("{bytes} bytes"), limit: bytes_max };
        return Err(ReadError::TooLarge(error));
    }
    resolver.read(uri).await.map_err(|error| ReadError::Store { uri: uri.to_owned(), error })
}

/// Returns the cause below the error that names the address, which `PictureError::Io` names already.
fn cause(error: StoreError) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        StoreError::Object { source, .. } => source.into(),
        StoreError::Store { source, .. } => source.into(),
        other => other.into(),
    }
}

/// Reads a picture's file on this machine if it has at most `bytes_max` bytes.
///
/// # Errors
/// Fails if the file cannot be read or is larger.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PictureError> {
    let io = |source| PictureError::Io { path: path.display().to_string(), source };
    let too_large = |what| Err(PictureError::TooLarge { what, limit: bytes_max });
    let file = File::open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    if length > bytes_max {
        return too_large(format!("{length} bytes"));
    }
    // A pipe or a device has no length: it is read until the limit shows.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > bytes_max {
        return too_large(format!("{} bytes or more", bytes.len()));
    }
    Ok(bytes)
}
