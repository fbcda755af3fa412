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

/// A picture's bytes on their way to inference.
pub(crate) struct FetchedPicture {
    /// Index of the file in the list given to [`read_pictures`].
    pub(crate) index: usize,
    /// BLAKE3 digest of the file.
    pub(crate) digest: Option<String>,
    /// Error of a remote store that did not answer, rather than answer that the object is missing: another attempt may
    /// succeed.
    pub(crate) store_error: Option<StoreError>,
    bytes: RefCell<Option<Result<Bytes, PictureError>>>,
}

impl FetchedPicture {
    /// Takes the bytes; may be called once.
    pub(crate) fn take(&self) -> Result<Vec<u8>, PictureError> {
        self.bytes.take().expect("a picture's bytes are taken once").map(Vec::from)
    }
}

/// Reads files ahead of the iterator's consumer, in order. `files` are their addresses and lengths in bytes. The
/// iterator blocks, so use it outside the runtime's threads.
pub(crate) fn read_pictures(
    resolver: &Arc<StoreResolver>,
    files: Vec<(String, u64)>,
    limits: &Limits,
    runtime: &Handle,
) -> impl Iterator<Item = FetchedPicture> + Send + use<> {
    let permits = Arc::new(Semaphore::new(AHEAD_KIB_MAX as usize));
    let (started, mut ahead) = mpsc::channel(REQUESTS_MAX);
    let sized = files.into_iter().map(|(uri, bytes)| {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, AHEAD_KIB_MAX);
        ((uri, bytes), kib)
    });
    let (resolver, bytes_max, spawner) = (resolver.clone(), limits.bytes_max, runtime.clone());
    // Tasks, not futures: they make progress while nobody polls them.
    let start = move |(uri, bytes): (String, u64)| {
        let resolver = resolver.clone();
        spawner.spawn(async move { read(&resolver, &uri, bytes, bytes_max).await })
    };
    runtime.spawn(read_ahead::start_in_order(sized, permits, started, start));
    let runtime = runtime.clone();
    let mut index = 0;
    std::iter::from_fn(move || {
        let (read, _share) = runtime.block_on(async {
            let (task, share) = ahead.recv().await?;
            Some((task.await.expect("reading does not panic"), share))
        })?;
        let digest = read.as_ref().ok().map(|bytes| blake3::hash(bytes).to_hex().to_string());
        let (bytes, store_error) = match read {
            Ok(bytes) => (Ok(bytes), None),
            Err(ReadError::Picture(error)) => (Err(error), None),
            Err(ReadError::Store(error)) => {
                (Err(PictureError::Io { path: String::new(), source: unread() }), Some(error))
            }
        };
        let fetched = FetchedPicture { index, digest, store_error, bytes: RefCell::new(Some(bytes)) };
        index += 1;
        Some(fetched)
    })
}

/// Why a picture cannot be read.
enum ReadError {
    /// The picture's own failure.
    Picture(PictureError),
    /// A remote store does not answer, or cannot be reached as it is configured.
    Store(StoreError),
}

fn unread() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

async fn read(resolver: &StoreResolver, uri: &str, bytes: u64, bytes_max: u64) -> Result<Bytes, ReadError> {
    if bytes > bytes_max {
        let error = PictureError::TooLarge { what: format!("{bytes} bytes"), limit: bytes_max };
        return Err(ReadError::Picture(error));
    }
    resolver.read(uri).await.map_err(|error| {
        if error.is_store_wide() {
            return ReadError::Store(error);
        }
        let kind = if error.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        ReadError::Picture(PictureError::Io { path: uri.to_owned(), source: io::Error::new(kind, cause(error)) })
    })
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
