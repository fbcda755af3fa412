//! Finds out whether a store can create an object only if it does not exist, by creating one twice. Some cannot: an S3 that
//! accepts `If-None-Match` and overwrites (older MinIO, Ceph, SeaweedFS) or refuses it; a file system without hard links
//! (exFAT, SMB, sshfs) in the usual way.

use std::hash::{BuildHasher, RandomState};

use tracing::debug;

use super::{Store, StoreError};
use crate::{Retryable, causes};

/// The folder of probe objects. Each is deleted after the probe.
const PROBES: &str = "probes";

/// How a store treats the creation of an object that exists.
#[derive(Debug)]
pub enum ConditionalCreate {
    /// The store reports that the object exists.
    Supported,
    /// The store reports that the object exists. Its file system has no hard links: files are created exclusively instead,
    /// and are visible before they are complete.
    SupportedWithoutLinks,
    /// The store overwrites the object and reports success.
    Ignored,
    /// The store refuses every conditional creation.
    Refused(StoreError),
}

impl Store {
    /// Writes an object, creates it again, and deletes it.
    ///
    /// # Errors
    /// If nothing can be written, or the store does not answer.
    pub async fn probe_conditional_create(&self) -> Result<ConditionalCreate, StoreError> {
        let key = format!("{PROBES}/{:016x}", RandomState::new().hash_one(std::process::id()));
        self.put(&key, "dqa tests whether this store supports conditional writes".into()).await?;
        let created = self.put_if_absent(&key, "again".into()).await;
        let has_links = self.has_links(&key);
        if let Err(error) = self.delete(&key).await {
            // A probe that stays does no harm.
            debug!(error = %causes(&error), key, "cannot delete a probe object");
        }
        self.remove_empty_folder(PROBES).await;
        match created {
            Ok(()) => Ok(ConditionalCreate::Ignored),
            Err(error) if error.is_already_exists() && has_links => Ok(ConditionalCreate::Supported),
            Err(error) if error.is_already_exists() => Ok(ConditionalCreate::SupportedWithoutLinks),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => Ok(ConditionalCreate::Refused(error)),
        }
    }

    fn has_links(&self, key: &str) -> bool {
        let Some(path) = self.file(key) else { return true };
        let link = path.with_extension("link");
        let linked = std::fs::hard_link(&path, &link).is_ok();
        // Without hard links there is nothing to delete.
        let _ = std::fs::remove_file(&link);
        linked
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path as FilePath;

    use super::*;

    #[tokio::test]
    async fn a_local_folder_supports_conditional_creation_and_the_probe_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
        assert!(matches!(store.probe_conditional_create().await.unwrap(), ConditionalCreate::Supported));
        assert!(store.list_sorted("").await.unwrap().is_empty());
    }
}
