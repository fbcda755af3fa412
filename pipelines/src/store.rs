//! A folder on this machine, or in S3, Google Cloud Storage or Azure. Data sets are read from stores, and results are kept in
//! one. This module owns how an address becomes an object store, and what an object's version is. It does not know what
//! objects hold.
//!
//! A key is an object's path below the folder, with `/` between its parts.

mod byte_range;
mod conditional_create;
mod entry;
mod error;
#[cfg_attr(not(feature = "cloud"), allow(dead_code, reason = "only remote stores have faults"))]
mod fault;
mod folder_lock;
#[cfg(feature = "cloud")]
mod invalid_keys;
mod local_path;
mod local_walk;
#[cfg(feature = "simulation")]
mod registered;
#[cfg(feature = "cloud")]
mod remote;
mod resolver;
mod staged_file;
mod unfinished;
mod write;

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

pub use byte_range::{ByteRange, member_path};
pub use conditional_create::ConditionalCreate;
pub use entry::{ListEntry, Object, UnusableEntry, UnusableKind};
pub use error::StoreError;
pub use fault::{StoreFault, StoreFaultKind};
use local_path::local_path;
use local_walk::{LocalWalk, WalkStep};
pub use resolver::StoreResolver;
pub use write::ContentVersion;

/// Entries of a local folder that one blocking task reads before they are handed on.
const WALK_BATCH: usize = 1024;

/// A folder in an object store or on this machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// Ends with a slash.
    url: Url,
}

impl Store {
    /// Opens the folder at `address`: a URL, or a path relative to `base`. A local folder must exist.
    ///
    /// # Errors
    /// If the address is invalid, or a local folder does not exist.
    pub fn open(address: &str, base: &FilePath) -> Result<Store, StoreError> {
        #[cfg(feature = "simulation")]
        if let Some(store) = Store::registered(address) {
            return Ok(store);
        }
        match local_path(address, base)? {
            Some(path) => Store::local(&path),
            None => Store::remote(address),
        }
    }

    /// Opens the folder at `address` as [`Store::open`] does, and creates a local folder that does not exist.
    ///
    /// # Errors
    /// The same as [`Store::open`], and if the folder cannot be created.
    pub fn create(address: &str, base: &FilePath) -> Result<Store, StoreError> {
        match local_path(address, base)? {
            Some(path) => {
                std::fs::create_dir_all(&path).map_err(|source| StoreError::Folder { path: path.clone(), source })?;
                Store::local(&path)
            }
            None => Store::remote(address),
        }
    }

    /// Creates a store from the root of an object store; `url` ends with a slash.
    pub fn from_object_store(objects: Arc<dyn ObjectStore>, url: Url) -> Store {
        Store { objects, prefix: Path::default(), url }
    }

    fn local(path: &FilePath) -> Result<Store, StoreError> {
        let folder = |source| StoreError::Folder { path: path.to_owned(), source };
        let path = path.canonicalize().map_err(folder)?;
        if !path.is_dir() {
            return Err(folder(std::io::ErrorKind::NotADirectory.into()));
        }
        let url = Url::from_directory_path(&path).expect("a canonical path is absolute");
        let objects = LocalFileSystem::new_with_prefix(&path)
            .map_err(|source| StoreError::Address { address: url.to_string(), source: source.into() })?;
        Ok(Store { objects: Arc::new(objects), prefix: Path::default(), url })
    }

    /// Opens a remote folder. Credentials and options come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, ...).
    #[cfg(feature = "cloud")]
    fn remote(address: &str) -> Result<Store, StoreError> {
        let remote::Remote { objects, prefix, url } = remote::open(address)?;
        Ok(Store { objects, prefix, url })
    }

    #[cfg(not(feature = "cloud"))]
    fn remote(address: &str) -> Result<Store, StoreError> {
        Err(StoreError::Address { address: address.to_owned(), source: "this build supports local stores only".into() })
    }

    /// Checks that the folder can be listed, so that wrong settings are reported before anything is computed.
    ///
    /// # Errors
    /// If the store does not answer, or refuses.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.is_local() {
            return Ok(());
        }
        match self.objects.list(Some(&self.prefix)).next().await {
            Some(Err(source)) => Err(self.error("list", "", source)),
            _ => Ok(()),
        }
    }

    /// Returns the folder's address, with a slash at its end.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns whether the folder is on this machine.
    pub fn is_local(&self) -> bool {
        self.url.scheme() == "file"
    }

    /// Returns the object store that holds the folder.
    pub fn object_store(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// Returns an object's path in [`Store::object_store`].
    pub fn object_path(&self, key: &str) -> Path {
        let prefix = self.prefix.as_ref();
        let joined = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
        // Not `Path::from`, which would escape a name's `#` and `%`. A name that no store can have (control characters) is
        // escaped, and then not found.
        Path::parse(joined.trim_matches('/')).unwrap_or_else(|_| Path::from(joined))
    }

    /// Returns an object's address, for tables and errors.
    pub fn address(&self, key: &str) -> String {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(key.split('/'));
        }
        url.into()
    }

    /// Returns the address of a range of an object; `member` is the range's name for people.
    pub fn range_address(&self, key: &str, range: ByteRange, member: &str) -> String {
        format!("{}#{}", self.address(key), range.fragment(member))
    }

    /// Lists all objects below `folder` (a key; empty for all), in no order. Entries that cannot be objects are left out, but
    /// a folder that cannot be read is an error.
    pub fn list(&self, folder: &str) -> BoxStream<'static, Result<Object, StoreError>> {
        let store = self.clone();
        let object = move |entry| match entry {
            Ok(ListEntry::Object(object)) => Some(Ok(object)),
            Ok(ListEntry::Unusable(UnusableEntry { key, kind: UnusableKind::Unreadable, why, .. })) => {
                let source = object_store::Error::Generic { store: "file", source: why.into() };
                Some(Err(store.error("list", &key, source)))
            }
            Ok(ListEntry::SkippedFolder(_) | ListEntry::Unusable(_)) => None,
            Err(error) => Some(Err(error)),
        };
        self.list_entries(folder, |_| true).filter_map(move |entry| std::future::ready(object(entry))).boxed()
    }

    /// Lists everything below `folder`, in no order: objects, and entries that cannot be objects. A local folder is entered
    /// if `enters` returns true for its key; a bucket has no folders.
    pub fn list_entries(
        &self,
        folder: &str,
        enters: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<ListEntry, StoreError>> {
        let (store, folder) = (self.clone(), folder.to_owned());
        let path = self.object_path(&folder);
        if let Some(root) = self.local_folder() {
            return store.walk(LocalWalk::new(root, path.as_ref(), Arc::new(enters)), folder);
        }
        let to_entry = move |meta: object_store::Result<ObjectMeta>| match meta {
            Ok(meta) => Ok(store.bucket_entry(&meta)),
            Err(source) => Err(store.error("list", &folder, source)),
        };
        self.objects.list(Some(&path)).map(to_entry).boxed()
    }

    fn walk(self, walk: LocalWalk, folder: String) -> BoxStream<'static, Result<ListEntry, StoreError>> {
        let batches = futures::stream::try_unfold(walk, |mut walk| async move {
            // Not on the runtime's threads, which a slow file system would block.
            let task = tokio::task::spawn_blocking(move || (walk.by_ref().take(WALK_BATCH).collect::<Vec<_>>(), walk));
            let (batch, walk) = task.await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(if batch.is_empty() { None } else { Some((futures::stream::iter(batch), walk)) })
        });
        let to_entry = move |step: std::io::Result<WalkStep>| match step {
            Ok(WalkStep::File(meta)) => Ok(ListEntry::Object(self.object(&meta))),
            Ok(WalkStep::SkippedFolder(key)) => Ok(ListEntry::SkippedFolder(key)),
            Ok(WalkStep::Unusable(unusable)) => Ok(ListEntry::Unusable(unusable)),
            Err(source) => Err(self.io_error(&folder, source)),
        };
        batches.try_flatten().map(to_entry).boxed()
    }

    fn bucket_entry(&self, meta: &ObjectMeta) -> ListEntry {
        #[cfg(feature = "cloud")]
        if let Some(unusable) = invalid_keys::find(meta.location.as_ref(), self.prefix.as_ref()) {
            return ListEntry::Unusable(unusable);
        }
        let object = self.object(meta);
        if object.key.is_empty() {
            return ListEntry::Unusable(UnusableEntry::marker("./".to_owned()));
        }
        ListEntry::Object(object)
    }

    /// Returns what a listing would show of one object.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails.
    pub async fn head(&self, key: &str) -> Result<Object, StoreError> {
        let meta =
            self.objects.head(&self.object_path(key)).await.map_err(|source| self.error("inspect", key, source))?;
        Ok(self.object(&meta))
    }

    /// Returns when an object was written, by the store's clock.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails.
    pub async fn modified(&self, key: &str) -> Result<Timestamp, StoreError> {
        let meta =
            self.objects.head(&self.object_path(key)).await.map_err(|source| self.error("inspect", key, source))?;
        let written = Timestamp::from_microsecond(meta.last_modified.timestamp_micros());
        Ok(written.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Reads an object.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails.
    pub async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let response = async { self.objects.get(&self.object_path(key)).await?.bytes().await };
        response.await.map_err(|source| self.error("read", key, source))
    }

    /// Reads the first `bytes` of an object, or all of it if it is shorter.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails.
    pub async fn get_first(&self, key: &str, bytes: u64) -> Result<Bytes, StoreError> {
        if bytes == 0 {
            return Ok(Bytes::new()); // stores reject empty ranges
        }
        let range = object_store::GetRange::Bounded(0..bytes);
        let options = object_store::GetOptions { range: Some(range), ..Default::default() };
        let response = async { self.objects.get_opts(&self.object_path(key), options).await?.bytes().await };
        response.await.map_err(|source| self.error("read", key, source))
    }

    /// Reads a range of an object, in one request.
    ///
    /// # Errors
    /// If the object does not exist, it ends before the range does, or the store fails.
    pub async fn get_range(&self, key: &str, range: ByteRange) -> Result<Bytes, StoreError> {
        if range.bytes == 0 {
            return Ok(Bytes::new()); // stores reject empty ranges
        }
        let response = self.objects.get_range(&self.object_path(key), range.as_range()).await;
        let response = response.map_err(|source| self.error("read", key, source))?;
        if response.len() as u64 != range.bytes {
            let ByteRange { offset, bytes: expected } = range;
            return Err(StoreError::Truncated {
                address: self.address(key),
                offset,
                expected,
                found: response.len() as u64,
            });
        }
        Ok(response)
    }

    /// Returns an object's file, if the folder is on this machine.
    fn file(&self, key: &str) -> Option<PathBuf> {
        Some(self.local_folder()?.join(self.object_path(key).as_ref()))
    }

    /// Reads an object as a stream of pieces.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails. A failure while the object is read is an item of the stream.
    pub async fn get_stream(&self, key: &str) -> Result<BoxStream<'static, object_store::Result<Bytes>>, StoreError> {
        let response = self.objects.get(&self.object_path(key)).await;
        Ok(response.map_err(|source| self.error("read", key, source))?.into_stream())
    }

    /// Reads an object, piece by piece, and returns the digest of its content.
    ///
    /// # Errors
    /// If the object does not exist, or the store fails.
    pub async fn digest(&self, key: &str) -> Result<blake3::Hash, StoreError> {
        let mut pieces = self.get_stream(key).await?;
        let mut hasher = blake3::Hasher::new();
        while let Some(piece) = pieces.next().await {
            hasher.update(&piece.map_err(|source| self.error("read", key, source))?);
        }
        Ok(hasher.finalize())
    }

    /// Deletes an object. A missing object is not an error.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.object_path(key)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(|source| self.error("remove", key, source)),
        }
    }

    /// Removes a folder that has become empty. Only a local store has folders without objects.
    pub(crate) async fn remove_empty_folder(&self, folder: &str) {
        if let Some(root) = self.local_folder() {
            // It fails if the folder is not empty, or is gone.
            let _ = tokio::fs::remove_dir(root.join(self.object_path(folder).as_ref())).await;
        }
    }

    /// Lists the names of the folders directly below `folder`, sorted.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list_folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.object_path(folder);
        if let Some(root) = self.local_folder() {
            // `object_store` fails if one name cannot be a key.
            let below = root.join(path.as_ref());
            let listed = tokio::task::spawn_blocking(move || local_walk::list_folders(&below)).await;
            let names = listed.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            return names.map_err(|source| self.io_error(folder, source));
        }
        let listed = self.objects.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|source| self.error("list", folder, source))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = listed.common_prefixes.iter().filter_map(name).collect();
        #[cfg(feature = "cloud")]
        names.retain(|name| !invalid_keys::is_escaped(name));
        names.sort();
        Ok(names)
    }

    /// Lists all objects below `folder` at once, sorted by key.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list_sorted(&self, folder: &str) -> Result<Vec<Object>, StoreError> {
        let mut objects: Vec<Object> = self.list(folder).try_collect().await?;
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn object(&self, meta: &ObjectMeta) -> Object {
        let below: Vec<_> = meta.location.parts().skip(self.prefix.parts().count()).collect();
        let key = below.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
        Object { key, bytes: meta.size, version: self.version(meta) }
    }

    /// Returns an object's version. The ETag of a local file is not used: it holds the inode, which a copy that keeps its
    /// times does not share.
    fn version(&self, meta: &ObjectMeta) -> String {
        match &meta.e_tag {
            Some(tag) if !self.is_local() => tag.trim_matches('"').to_owned(),
            _ => format!("{:x}-{:x}", meta.size, meta.last_modified.timestamp_micros()),
        }
    }

    /// Returns the folder's path, if it is on this machine.
    fn local_folder(&self) -> Option<PathBuf> {
        self.is_local().then(|| self.url.to_file_path().ok())?
    }

    /// Returns the error of a local folder that cannot be listed.
    fn io_error(&self, folder: &str, source: std::io::Error) -> StoreError {
        self.error("list", folder, object_store::Error::Generic { store: "file", source: source.into() })
    }

    fn error(&self, operation: &'static str, key: &str, source: object_store::Error) -> StoreError {
        let address = self.address(key);
        match StoreFault::extract(source) {
            Ok(source) => StoreError::Store { operation, address, source },
            Err(source) => StoreError::Object { operation, address, source },
        }
    }
}

#[cfg(test)]
mod tests;
