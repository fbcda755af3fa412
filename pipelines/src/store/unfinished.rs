//! Files of a local store that their process had not finished when it was killed. No listing shows them, nothing reads them,
//! and nothing but this module removes them.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use walkdir::{DirEntry, WalkDir};

use super::staged_file::is_staged;
use super::{Store, StoreError};

impl Store {
    /// Returns the paths, relative to the store's folder, of the files that were begun more than `grace` ago and not
    /// finished, sorted. A store that is not on this machine has none.
    ///
    /// # Errors
    /// If the process cannot start a thread.
    pub(crate) async fn list_unfinished(&self, grace: SignedDuration) -> Result<Vec<String>, StoreError> {
        self.on_folder(move |folder| find(folder, grace)).await
    }

    /// Removes the files that were begun more than `grace` ago and not finished. Returns their paths, relative to the
    /// store's folder. A file that cannot be removed is left.
    ///
    /// # Errors
    /// If the process cannot start a thread.
    pub(crate) async fn remove_unfinished(&self, grace: SignedDuration) -> Result<Vec<String>, StoreError> {
        self.on_folder(move |folder| {
            let mut files = find(folder, grace);
            files.retain(|file| std::fs::remove_file(folder.join(file)).is_ok());
            files
        })
        .await
    }

    async fn on_folder(
        &self,
        work: impl FnOnce(&Path) -> Vec<String> + Send + 'static,
    ) -> Result<Vec<String>, StoreError> {
        let Some(folder) = self.local_folder() else { return Ok(Vec::new()) };
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(|error| self.io_error("", std::io::Error::other(error)))
    }
}

/// Links are not followed: what lies behind them may belong to others.
fn find(folder: &Path, grace: SignedDuration) -> Vec<String> {
    let entries = WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let is_unfinished =
        |entry: &DirEntry| entry.file_type().is_file() && is_staged(entry.path()) && is_older(entry, grace);
    let unfinished = entries.filter(is_unfinished);
    let below = |entry: DirEntry| Some(entry.path().strip_prefix(folder).ok()?.to_str()?.to_owned());
    let mut files: Vec<String> = unfinished.filter_map(below).collect();
    files.sort_unstable();
    files
}

fn is_older(entry: &DirEntry, grace: SignedDuration) -> bool {
    let written = entry.metadata().ok().and_then(|metadata| Timestamp::try_from(metadata.modified().ok()?).ok());
    written.is_some_and(|written| Timestamp::now().duration_since(written) > grace)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::super::staged_file::StagedFile;
    use super::*;

    #[tokio::test]
    async fn a_file_that_a_killed_process_left_is_found_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        for number in 0..2 {
            // The process ends without dropping it.
            std::mem::forget(StagedFile::create(dir.path().join(format!("runs/{number}/run.json"))).unwrap());
        }
        std::fs::write(dir.path().join("runs/notes#1"), "a user's own").unwrap();
        let files = store.list_unfinished(SignedDuration::from_secs(-1)).await.unwrap();
        assert!(files.len() == 2 && files[0].starts_with("runs/0/run.json#"), "{files:?}");
        let old = File::options().write(true).open(dir.path().join(&files[0])).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
        let hour = SignedDuration::from_hours(1);
        assert_eq!(store.remove_unfinished(hour).await.unwrap(), files[..1]);
        assert_eq!(store.list_unfinished(SignedDuration::from_secs(-1)).await.unwrap(), files[1..]);
        assert!(dir.path().join("runs/notes#1").exists());
    }
}
