//! Writes objects. On this machine an object is on the disk before a call returns, and it is never seen in part: an object
//! that was acknowledged survives a crash of the machine.

use std::path::PathBuf;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use object_store::{GetOptions, ObjectMeta, ObjectStoreExt, PutMode, PutPayload, UpdateVersion, WriteMultipart};
use tokio::io::AsyncWriteExt;

use super::folder_lock::lock_folder;
use super::staged_file::{self, StagedFile};
use super::{Store, StoreError};
use crate::Retryable;

/// Size of the pieces of a multipart upload. S3 requires at least 5 MiB.
const PIECE_BYTES: usize = 8 << 20;
/// Pieces of one upload that are sent at the same time.
const PIECES_MAX: usize = 4;

/// The content of an object that was read, told apart from all later contents: for [`Store::replace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentVersion {
    e_tag: Option<String>,
    version: Option<String>,
    bytes: u64,
    modified_micros: i64,
}

impl ContentVersion {
    fn new(meta: &ObjectMeta) -> ContentVersion {
        ContentVersion {
            e_tag: meta.e_tag.clone(),
            version: meta.version.clone(),
            bytes: meta.size,
            modified_micros: meta.last_modified.timestamp_micros(),
        }
    }
}

impl Store {
    /// Writes an object atomically, and replaces one that exists.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        if let Some(path) = self.file(key) {
            return self.on_disk("write", key, move || staged_file::replace(path, &bytes)).await;
        }
        let put = self.objects.put(&self.object_path(key), PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|source| self.error("write", key, source))
    }

    /// Writes an object if it does not exist. If several processes try, one succeeds.
    ///
    /// # Errors
    /// If the object exists ([`StoreError::is_already_exists`]), or the store fails.
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        if let Some(path) = self.file(key) {
            return self.on_disk("create", key, move || staged_file::create(path, &bytes)).await;
        }
        let payload = PutPayload::from_bytes(bytes);
        let put = self.objects.put_opts(&self.object_path(key), payload, PutMode::Create.into()).await;
        put.map(drop).map_err(|source| self.error("create", key, source))
    }

    /// Reads an object, with the version of its content.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails.
    pub async fn get_versioned(&self, key: &str) -> Result<(Bytes, ContentVersion), StoreError> {
        let read = async {
            let response = self.objects.get_opts(&self.object_path(key), GetOptions::default()).await?;
            let version = ContentVersion::new(&response.meta);
            Ok((response.bytes().await?, version))
        };
        read.await.map_err(|source| self.error("read", key, source))
    }

    /// Replaces an object if its content is still the one that was read. Of several processes that do this at once, one
    /// succeeds. A store that cannot compare is asked for the content's version just before it is written.
    ///
    /// # Errors
    /// If the content is another one ([`StoreError::is_changed`]), or the store fails.
    pub async fn replace(&self, key: &str, bytes: Bytes, read: &ContentVersion) -> Result<(), StoreError> {
        if let Some(path) = self.file(key) {
            let folder = path.parent().unwrap_or(&path).to_owned();
            let _lock = lock_folder(folder).await;
            self.check_unchanged(key, read).await?;
            return self.put(key, bytes).await;
        }
        // Google's stores compare generations, which a server in their place may not have.
        if read.version.is_some() || self.url.scheme() != "gs" {
            let version = UpdateVersion { e_tag: read.e_tag.clone(), version: read.version.clone() };
            let payload = PutPayload::from_bytes(bytes.clone());
            let put = self.objects.put_opts(&self.object_path(key), payload, PutMode::Update(version).into()).await;
            match put.map_err(|source| self.error("replace", key, source)) {
                Ok(_) => return Ok(()),
                Err(error) if error.is_changed() || error.is_retryable() => return Err(error),
                // The store may not support conditional writes. Any other failure fails the write below too.
                Err(_) => {}
            }
        }
        self.check_unchanged(key, read).await?;
        self.put(key, bytes).await
    }

    async fn check_unchanged(&self, key: &str, read: &ContentVersion) -> Result<(), StoreError> {
        let path = self.object_path(key);
        let is_changed = |why: &str| {
            let source = object_store::Error::Precondition { path: path.to_string(), source: why.into() };
            self.error("replace", key, source)
        };
        match self.objects.head(&path).await {
            Ok(meta) if ContentVersion::new(&meta) == *read => Ok(()),
            Ok(_) => Err(is_changed("it was changed after it was read")),
            Err(object_store::Error::NotFound { .. }) => Err(is_changed("it was deleted after it was read")),
            Err(source) => Err(self.error("inspect", key, source)),
        }
    }

    /// Writes an object from a stream of pieces. The object appears when it is complete.
    ///
    /// # Errors
    /// If the store or the stream fails.
    pub async fn put_stream(
        &self,
        key: &str,
        mut pieces: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
    ) -> Result<(), StoreError> {
        if let Some(path) = self.file(key) {
            let written = write_file(path, pieces).await;
            return written.map_err(|error| self.file_error("write", key, error));
        }
        let failed = |source| self.error("write", key, source);
        let upload = self.objects.put_multipart(&self.object_path(key)).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
        while let Some(piece) = pieces.next().await {
            let sent = match piece {
                Ok(piece) => {
                    upload.put(piece);
                    upload.wait_for_capacity(PIECES_MAX).await
                }
                Err(source) => Err(object_store::Error::Generic { store: "file", source: source.into() }),
            };
            if let Err(source) = sent {
                // Best effort: a store deletes the pieces of an upload that was never finished by its own rules.
                let _ = upload.abort().await;
                return Err(failed(source));
            }
        }
        upload.finish().await.map(drop).map_err(failed)
    }

    /// Does work on the disk on a thread that may block.
    async fn on_disk(
        &self,
        operation: &'static str,
        key: &str,
        work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
    ) -> Result<(), StoreError> {
        let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        done.map_err(|error| self.file_error(operation, key, error))
    }

    fn file_error(&self, operation: &'static str, key: &str, error: std::io::Error) -> StoreError {
        let path = key.to_owned();
        let source = match error.kind() {
            std::io::ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source: error.into() },
            std::io::ErrorKind::PermissionDenied => {
                object_store::Error::PermissionDenied { path, source: error.into() }
            }
            _ => object_store::Error::Generic { store: "file", source: error.into() },
        };
        self.error(operation, key, source)
    }
}

/// Writes a file from a stream of pieces.
async fn write_file(
    path: PathBuf,
    mut pieces: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
) -> std::io::Result<()> {
    let staged = tokio::task::spawn_blocking(move || StagedFile::create(path)).await??;
    let mut output = tokio::fs::File::from_std(staged.writer()?);
    while let Some(piece) = pieces.next().await {
        output.write_all(&piece?).await?;
    }
    output.flush().await?;
    tokio::task::spawn_blocking(move || staged.replace()).await?
}
