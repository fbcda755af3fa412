//! Reads pictures ahead of the engine, several at once and in order. What lies ready is bounded in bytes; [`read_ahead`]
//! sees to it that this bound cannot stop it.

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

/// Requests under way at once: enough for a GPU's hunger at a store's usual 50 ms an answer.
const REQUESTS_MAX: usize = 32;

/// For files that were read and not yet decoded. One larger than this goes alone.
const AHEAD_KIB_MAX: u32 = 64 << 10;

/// A picture's bytes on their way to the engine.
pub(crate) struct Fetched {
    /// Of the file in the list that was to be read.
    pub(crate) place: usize,
    /// BLAKE3 of the file.
    pub(crate) digest: Option<String>,
    /// What a store beyond this machine failed with, if it is not that it has no such object: another try may have it.
    pub(crate) unanswered: Option<StoreError>,
    bytes: RefCell<Option<Result<Bytes, PictureError>>>,
}

impl Fetched {
    /// The bytes; once.
    pub(crate) fn take(&self) -> Result<Vec<u8>, PictureError> {
        self.bytes.take().expect("the engine asks for a picture once").map(Vec::from)
    }
}

/// The files at these addresses, with their lengths in bytes, in order: read ahead while the iterator's user does other
/// things. To be used off the runtime's threads.
pub(crate) fn ahead(
    addresses: &Arc<StoreResolver>,
    wanted: Vec<(String, u64)>,
    limits: &Limits,
    runtime: &Handle,
) -> impl Iterator<Item = Fetched> + Send + use<> {
    let room = Arc::new(Semaphore::new(AHEAD_KIB_MAX as usize));
    let (started, mut ahead) = mpsc::channel(REQUESTS_MAX);
    let sized = wanted.into_iter().map(|(uri, bytes)| {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX).clamp(1, AHEAD_KIB_MAX);
        ((uri, bytes), kib)
    });
    let (addresses, bytes_max, spawner) = (addresses.clone(), limits.bytes_max, runtime.clone());
    // Tasks, not futures: they go on while nobody polls them.
    let start = move |(uri, bytes): (String, u64)| {
        let addresses = addresses.clone();
        spawner.spawn(async move { read(&addresses, &uri, bytes, bytes_max).await })
    };
    runtime.spawn(read_ahead::start_in_order(sized, room, started, start));
    let runtime = runtime.clone();
    let mut place = 0;
    std::iter::from_fn(move || {
        let (read, _share) = runtime.block_on(async {
            let (task, share) = ahead.recv().await?;
            Some((task.await.expect("reading does not panic"), share))
        })?;
        let digest = read.as_ref().ok().map(|bytes| blake3::hash(bytes).to_hex().to_string());
        let (bytes, unanswered) = match read {
            Ok(bytes) => (Ok(bytes), None),
            Err(ReadError::Picture(error)) => (Err(error), None),
            Err(ReadError::Store(error)) => {
                (Err(PictureError::Io { path: String::new(), source: unread() }), Some(error))
            }
        };
        let fetched = Fetched { place, digest, unanswered, bytes: RefCell::new(Some(bytes)) };
        place += 1;
        Some(fetched)
    })
}

/// Why a picture's bytes are not here.
enum ReadError {
    /// It is the picture's own failure.
    Picture(PictureError),
    /// A store beyond this machine did not answer, or cannot be reached as it is set up.
    Store(StoreError),
}

fn unread() -> io::Error {
    io::ErrorKind::Interrupted.into()
}

async fn read(addresses: &StoreResolver, uri: &str, bytes: u64, bytes_max: u64) -> Result<Bytes, ReadError> {
    if bytes > bytes_max {
        let error = PictureError::TooLarge { what: format!("{bytes} bytes"), limit: bytes_max };
        return Err(ReadError::Picture(error));
    }
    addresses.read(uri).await.map_err(|error| {
        if error.is_of_store() {
            return ReadError::Store(error);
        }
        let kind = if error.is_not_found() { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
        ReadError::Picture(PictureError::Io { path: uri.to_owned(), source: io::Error::new(kind, cause(error)) })
    })
}

/// What the store said: that it was reading this address is said around it.
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
