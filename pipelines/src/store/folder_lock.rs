//! Locks a local folder between processes of one machine. The kernel releases the lock when a process ends.

use std::fs::File;
use std::path::PathBuf;

use tracing::debug;

use crate::causes;

/// Waits for the lock of a folder, which is held until the returned file is dropped. None if the file system has no locks, or
/// the folder does not exist.
pub(super) async fn lock_folder(folder: PathBuf) -> Option<File> {
    let lock = move || {
        let file = File::open(folder)?;
        file.lock().map(|()| file)
    };
    match tokio::task::spawn_blocking(lock).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic))) {
        Ok(locked) => Some(locked),
        Err(error) => {
            debug!(error = %causes(&error), "a folder of the store cannot be locked");
            None
        }
    }
}
