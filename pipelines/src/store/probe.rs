//! Whether a store decides between two who make one object, found out by making one that is there. Some do not: an S3 that takes
//! `If-None-Match` and overwrites (older MinIO, Ceph, SeaweedFS), or refuses it; a file system without hard links (exFAT, SMB,
//! sshfs) by the usual way.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Write};
use std::path::Path as FilePath;

use bytes::Bytes;
use tracing::debug;

use super::{Store, StoreError};
use crate::causes;

/// Objects that are made to see what happens, and removed.
const PROBES: &str = "probes";

/// What becomes of a second one who makes an object.
#[derive(Debug)]
pub enum Creation {
    /// It is told that the object is there.
    Decided,
    /// It is told so, and the file system has no hard links: the file is made exclusively instead, and seen before it is whole.
    DecidedWithoutLinks,
    /// It overwrites the object, and is told that it made it.
    Ignored,
    /// Nobody can make an object on the condition that there is none.
    Refused(StoreError),
}

impl Store {
    /// Writes an object, makes it again, and removes it.
    ///
    /// # Errors
    /// Where nothing can be written at all, or the store does not answer.
    pub async fn probe_creation(&self) -> Result<Creation, StoreError> {
        let key = format!("{PROBES}/{:016x}", RandomState::new().hash_one(std::process::id()));
        self.put(&key, "dqa looks what this store does".into()).await?;
        let made = self.create_object(&key, "again".into()).await;
        let has_links = self.has_links(&key);
        if let Err(error) = self.delete(&key).await {
            // It does no harm where it is.
            debug!(error = %causes(&error), key, "a probe is not removed");
        }
        match made {
            Ok(()) => Ok(Creation::Ignored),
            Err(error) if error.is_taken() && has_links => Ok(Creation::Decided),
            Err(error) if error.is_taken() => Ok(Creation::DecidedWithoutLinks),
            Err(error) if error.may_pass() => Err(error),
            Err(error) => Ok(Creation::Refused(error)),
        }
    }

    fn has_links(&self, key: &str) -> bool {
        let Some(path) = self.file(key) else { return true };
        let link = path.with_extension("link");
        let linked = std::fs::hard_link(&path, &link).is_ok();
        // Where there are no links there is nothing to remove.
        let _ = std::fs::remove_file(&link);
        linked
    }
}

/// Makes a file that is not there yet, where hard links do not do it. It is seen before it is whole.
///
/// # Errors
/// Where there is one, or it cannot be written.
pub(super) fn create_file(path: &FilePath, bytes: &Bytes) -> std::io::Result<()> {
    let open = || File::create_new(path);
    let mut file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            open()?
        }
        other => other?,
    };
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_on_this_machine_decides_and_the_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
        assert!(matches!(place.probe_creation().await.unwrap(), Creation::Decided));
        assert!(place.list_sorted("").await.unwrap().is_empty());
    }

    #[test]
    fn a_file_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b.json");
        create_file(&path, &"one".into()).unwrap();
        assert_eq!(create_file(&path, &"two".into()).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    }
}
