//! A folder, wherever it is: on this machine, or in S3, Google Cloud Storage, Azure. Data sets are read from one, results
//! are kept in one. It owns how an address becomes an object store and what stands for an object's version; it refuses to
//! know what is inside.
//!
//! A key is an object's path below the folder, with `/` between its parts.

mod extent;
#[cfg_attr(not(feature = "cloud"), allow(dead_code, reason = "stores beyond this machine alone have faults"))]
mod fault;
#[cfg(feature = "cloud")]
mod odd_keys;
mod probe;
#[cfg(feature = "cloud")]
mod remote;
mod walk;

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload, WriteMultipart};
use percent_encoding::percent_decode_str;
use url::Url;

pub use extent::{Extent, plain_name};
pub use fault::{StoreFault, StoreFaultKind};
pub use probe::Creation;
use walk::{Step, Walk};
pub use walk::{Unusable, UnusableKind};

/// Of an object that is written in pieces: larger than the 5 MiB that S3 takes at least.
const PIECE_BYTES: usize = 8 << 20;
/// Of them under way at once.
const PIECES_MAX: usize = 4;

/// What an address or an object in it can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not an address of a kind that is known, or one that this build leaves out.
    #[error("`{address}` is no address of a folder: it takes a path, or a URL with file://, s3://, gs:// or az://")]
    Address {
        /// As given.
        address: String,
        /// What was wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder on this machine that is not there or cannot be made.
    #[error("cannot open the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// An address whose `#` is followed by something else than a range of bytes.
    #[error(
        "`{address}` names no range of bytes: behind its `#` it takes offset=N&bytes=N&member=NAME; a `#` in a name is %23"
    )]
    Extent {
        /// As given.
        address: String,
    },
    /// An object that ends within a range that was found in it before.
    #[error(
        "{address} has {got} of {wanted} bytes from offset {offset} on: it was changed or cut off since it was listed; plan again"
    )]
    Short {
        /// Of the object.
        address: String,
        /// Of the range.
        offset: u64,
        /// Bytes of the range.
        wanted: u64,
        /// Bytes that are there.
        got: u64,
    },
    /// A store beyond this machine that cannot be reached, or does not do what was asked.
    #[error("cannot {what} {address}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// On which folder or object.
        address: String,
        /// Why.
        #[source]
        source: StoreFault,
    },
    /// An object that cannot be read, written or listed.
    #[error("cannot {what} {address}")]
    Object {
        /// What was tried.
        what: &'static str,
        /// On which object.
        address: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
}

impl StoreError {
    /// Whether what was asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StoreError::Object { source: object_store::Error::NotFound { .. }, .. })
    }

    /// Whether somebody else had written there first.
    pub fn is_taken(&self) -> bool {
        let taken = |source: &object_store::Error| {
            matches!(source, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
        };
        matches!(self, StoreError::Object { source, .. } if taken(source))
    }

    /// Whether it says something of one object alone, so that others may be had: it is not there, or may not be read.
    pub fn is_of_object(&self) -> bool {
        match self {
            StoreError::Extent { .. } | StoreError::Short { .. } => true,
            StoreError::Object { address, source, .. } => {
                let is_refused = matches!(
                    source,
                    object_store::Error::PermissionDenied { .. } | object_store::Error::InvalidPath { .. }
                );
                address.starts_with("file://") || is_refused || self.is_not_found()
            }
            StoreError::Store { source, .. } => source.is_of_object(),
            StoreError::Address { .. } | StoreError::Folder { .. } => false,
        }
    }

    /// Whether another try may do better: a store beyond this machine did not answer, or said that it is busy. What it
    /// said clearly (no such object, no permission) stays.
    pub fn may_pass(&self) -> bool {
        if let StoreError::Store { source, .. } = self {
            return source.may_pass();
        }
        let StoreError::Object { address, source, .. } = self else {
            return false;
        };
        !address.starts_with("file://") && matches!(source, object_store::Error::Generic { .. })
    }
}

impl StoreError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        match self {
            StoreError::Store { source, .. } => source.hint(),
            _ => None,
        }
    }

    /// Whether it says nothing of the object that was asked for: the store cannot be reached as it is set up, or did not
    /// answer.
    pub fn is_of_store(&self) -> bool {
        self.may_pass() || matches!(self, StoreError::Store { source, .. } if !source.is_of_object())
    }
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Below the folder.
    pub key: String,
    /// Length in bytes.
    pub bytes: u64,
    /// Another one means other content: the store's ETag, or length and time of change.
    pub version: String,
}

impl Object {
    /// A part of it as an object of its own: where the whole changes, all its parts do.
    pub fn part(&self, key: String, extent: Extent) -> Object {
        let version = format!("{}-{:x}-{:x}", self.version, extent.offset, extent.bytes);
        Object { key, bytes: extent.bytes, version }
    }
}

/// What a listing finds, where nothing is left out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// An object.
    Object(Object),
    /// The key of a folder that was not to be entered.
    Skipped(String),
    /// What cannot be had as an object.
    Unusable(Unusable),
}

/// Entries of a folder of this machine that are looked at before somebody waits for them.
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
    /// The folder at `address`: a URL, or a path that is taken from `base`. A local folder must be there.
    ///
    /// # Errors
    /// An address of no known kind; a local folder that is not there.
    pub fn open(address: &str, base: &FilePath) -> Result<Store, StoreError> {
        match local_path(address, base)? {
            Some(path) => Store::local(&path),
            None => Store::remote(address),
        }
    }

    /// As [`Store::open`]; a local folder is made where there is none.
    ///
    /// # Errors
    /// As [`Store::open`], and where the folder cannot be made.
    pub fn create(address: &str, base: &FilePath) -> Result<Store, StoreError> {
        match local_path(address, base)? {
            Some(path) => {
                std::fs::create_dir_all(&path).map_err(|source| StoreError::Folder { path: path.clone(), source })?;
                Store::local(&path)
            }
            None => Store::remote(address),
        }
    }

    /// A store's top, whatever store it is; `url` ends with a slash.
    pub fn of(objects: Arc<dyn ObjectStore>, url: Url) -> Store {
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

    /// Credentials and options come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, ...).
    #[cfg(feature = "cloud")]
    fn remote(address: &str) -> Result<Store, StoreError> {
        let remote::Remote { objects, prefix, url } = remote::open(address)?;
        Ok(Store { objects, prefix, url })
    }

    #[cfg(not(feature = "cloud"))]
    fn remote(address: &str) -> Result<Store, StoreError> {
        Err(StoreError::Address { address: address.to_owned(), source: "this build has local stores alone".into() })
    }

    /// Whether the folder can be listed: what is set up wrongly is said before anything is computed.
    ///
    /// # Errors
    /// Where the store does not answer or refuses.
    pub async fn check(&self) -> Result<(), StoreError> {
        if self.is_local() {
            return Ok(());
        }
        match self.objects.list(Some(&self.prefix)).next().await {
            Some(Err(source)) => Err(self.failed("list", "", source)),
            _ => Ok(()),
        }
    }

    /// The folder's address, with a slash at its end.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        self.url.scheme() == "file"
    }

    /// The store that it is in.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// An object's path in [`Store::objects`].
    pub fn path(&self, key: &str) -> Path {
        let prefix = self.prefix.as_ref();
        let joined = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
        // As it is: `Path::from` would look for the name with its `#` and `%` escaped. Only where a name cannot be in a
        // store at all (control characters) is it escaped, and then not found.
        Path::parse(joined.trim_matches('/')).unwrap_or_else(|_| Path::from(joined))
    }

    /// An object's address, for tables and errors.
    pub fn address(&self, key: &str) -> String {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(key.split('/'));
        }
        url.into()
    }

    /// The address of a part of an object; `member` is what people call it.
    pub fn address_of_part(&self, key: &str, extent: Extent, member: &str) -> String {
        format!("{}#{}", self.address(key), extent.fragment(member))
    }

    /// All objects below `folder` (a key, or nothing for all), in no order. What cannot be an object is left out, but a
    /// folder that may not be read is an error.
    pub fn list(&self, folder: &str) -> BoxStream<'static, Result<Object, StoreError>> {
        let place = self.clone();
        let object = move |listed| match listed {
            Ok(Listed::Object(object)) => Some(Ok(object)),
            Ok(Listed::Unusable(Unusable { key, kind: UnusableKind::Unreadable, why, .. })) => {
                let source = object_store::Error::Generic { store: "file", source: why.into() };
                Some(Err(place.failed("list", &key, source)))
            }
            Ok(Listed::Skipped(_) | Listed::Unusable(_)) => None,
            Err(error) => Some(Err(error)),
        };
        self.list_all(folder, |_| true).filter_map(move |listed| std::future::ready(object(listed))).boxed()
    }

    /// All that is below `folder`, in no order: objects, and what cannot be one. On this machine only folders are entered
    /// that `enters` takes by their keys; in a bucket there are no folders.
    pub fn list_all(
        &self,
        folder: &str,
        enters: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> BoxStream<'static, Result<Listed, StoreError>> {
        let (place, folder) = (self.clone(), folder.to_owned());
        let path = self.path(&folder);
        if let Some(root) = self.local_folder() {
            return place.walk(Walk::new(root, path.as_ref(), Arc::new(enters)), folder);
        }
        let listed = move |meta: object_store::Result<ObjectMeta>| match meta {
            Ok(meta) => Ok(place.listed(&meta)),
            Err(source) => Err(place.failed("list", &folder, source)),
        };
        self.objects.list(Some(&path)).map(listed).boxed()
    }

    fn walk(self, walk: Walk, folder: String) -> BoxStream<'static, Result<Listed, StoreError>> {
        let batches = futures::stream::try_unfold(walk, |mut walk| async move {
            // Not on the runtime's threads: a file system may keep one waiting.
            let looked =
                tokio::task::spawn_blocking(move || (walk.by_ref().take(WALK_BATCH).collect::<Vec<_>>(), walk));
            let (batch, walk) = looked.await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(if batch.is_empty() { None } else { Some((futures::stream::iter(batch), walk)) })
        });
        let listed = move |step: std::io::Result<Step>| match step {
            Ok(Step::File(meta)) => Ok(Listed::Object(self.object(&meta))),
            Ok(Step::Skipped(key)) => Ok(Listed::Skipped(key)),
            Ok(Step::Unusable(unusable)) => Ok(Listed::Unusable(unusable)),
            Err(source) => Err(self.io_failed(&folder, source)),
        };
        batches.try_flatten().map(listed).boxed()
    }

    /// An object of a bucket's listing.
    fn listed(&self, meta: &ObjectMeta) -> Listed {
        #[cfg(feature = "cloud")]
        if let Some(unusable) = odd_keys::find(meta.location.as_ref(), self.prefix.as_ref()) {
            return Listed::Unusable(unusable);
        }
        let object = self.object(meta);
        if object.key.is_empty() {
            return Listed::Unusable(walk::marker("./".to_owned()));
        }
        Listed::Object(object)
    }

    /// What a listing would show of one object.
    ///
    /// # Errors
    /// Where it is not there or the store fails.
    pub async fn head(&self, key: &str) -> Result<Object, StoreError> {
        let meta = self.objects.head(&self.path(key)).await.map_err(|source| self.failed("look at", key, source))?;
        Ok(self.object(&meta))
    }

    /// When an object was written, by the store's clock.
    ///
    /// # Errors
    /// Where it is not there or the store fails.
    pub async fn modified(&self, key: &str) -> Result<Timestamp, StoreError> {
        let meta = self.objects.head(&self.path(key)).await.map_err(|source| self.failed("look at", key, source))?;
        let written = Timestamp::from_microsecond(meta.last_modified.timestamp_micros());
        Ok(written.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// Where it is not there or the store fails.
    pub async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        let got = async { self.objects.get(&self.path(key)).await?.bytes().await };
        got.await.map_err(|source| self.failed("read", key, source))
    }

    /// The first `bytes` of an object, or all of one that has fewer.
    ///
    /// # Errors
    /// Where it is not there or the store fails.
    pub async fn get_first(&self, key: &str, bytes: u64) -> Result<Bytes, StoreError> {
        if bytes == 0 {
            return Ok(Bytes::new()); // stores refuse to be asked for nothing
        }
        let range = object_store::GetRange::Bounded(0..bytes);
        let options = object_store::GetOptions { range: Some(range), ..Default::default() };
        let got = async { self.objects.get_opts(&self.path(key), options).await?.bytes().await };
        got.await.map_err(|source| self.failed("read", key, source))
    }

    /// Some of an object's bytes, by one request.
    ///
    /// # Errors
    /// Where it is not there, ends before the extent does, or the store fails.
    pub async fn get_part(&self, key: &str, extent: Extent) -> Result<Bytes, StoreError> {
        if extent.bytes == 0 {
            return Ok(Bytes::new()); // stores refuse to be asked for nothing
        }
        let got = self.objects.get_range(&self.path(key), extent.range()).await;
        let got = got.map_err(|source| self.failed("read", key, source))?;
        if got.len() as u64 != extent.bytes {
            let Extent { offset, bytes: wanted } = extent;
            return Err(StoreError::Short { address: self.address(key), offset, wanted, got: got.len() as u64 });
        }
        Ok(got)
    }

    /// Writes an object whole or not at all, over one that is there.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let put = self.objects.put(&self.path(key), PutPayload::from_bytes(bytes)).await;
        put.map(drop).map_err(|source| self.failed("write", key, source))
    }

    /// Writes an object that is not there yet: of several who try, one succeeds.
    ///
    /// # Errors
    /// Where the store fails, or somebody else was first ([`StoreError::is_taken`]).
    pub async fn create_object(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let payload = PutPayload::from_bytes(bytes.clone());
        let put = self.objects.put_opts(&self.path(key), payload, PutMode::Create.into()).await;
        match put.map_err(|source| self.failed("create", key, source)) {
            Ok(_) => Ok(()),
            Err(error) if error.is_taken() => Err(error),
            Err(error) => match self.file(key) {
                // There are file systems without the hard links that it was tried with.
                Some(path) => self.create_file(key, &path, &bytes),
                None => Err(error),
            },
        }
    }

    /// An object's file, if the folder is on this machine.
    fn file(&self, key: &str) -> Option<PathBuf> {
        Some(self.local_folder()?.join(key))
    }

    fn create_file(&self, key: &str, path: &FilePath, bytes: &Bytes) -> Result<(), StoreError> {
        probe::create_file(path, bytes).map_err(|error| {
            let source = if error.kind() == std::io::ErrorKind::AlreadyExists {
                object_store::Error::AlreadyExists { path: key.to_owned(), source: error.into() }
            } else {
                object_store::Error::Generic { store: "file", source: error.into() }
            };
            self.failed("create", key, source)
        })
    }

    /// A file of this machine as an object, in pieces; it appears when it is whole.
    ///
    /// # Errors
    /// Where the store fails or the file cannot be read.
    pub async fn put_stream(
        &self,
        key: &str,
        mut pieces: impl Stream<Item = std::io::Result<Bytes>> + Unpin,
    ) -> Result<(), StoreError> {
        let failed = |source| self.failed("write", key, source);
        let upload = self.objects.put_multipart(&self.path(key)).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
        while let Some(piece) = pieces.next().await {
            let went = match piece {
                Ok(piece) => {
                    upload.put(piece);
                    upload.wait_for_capacity(PIECES_MAX).await
                }
                Err(source) => Err(object_store::Error::Generic { store: "file", source: source.into() }),
            };
            if let Err(source) = went {
                // What was sent of it is for nobody; that it is removed is the store's good will.
                let _ = upload.abort().await;
                return Err(failed(source));
            }
        }
        upload.finish().await.map(drop).map_err(failed)
    }

    /// An object's bytes, piece by piece.
    ///
    /// # Errors
    /// Where it is not there or the store fails; later, in the stream, where it stops.
    pub async fn get_stream(&self, key: &str) -> Result<BoxStream<'static, object_store::Result<Bytes>>, StoreError> {
        let got = self.objects.get(&self.path(key)).await;
        Ok(got.map_err(|source| self.failed("read", key, source))?.into_stream())
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        match self.objects.delete(&self.path(key)).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other.map_err(|source| self.failed("remove", key, source)),
        }
    }

    /// The names of the folders directly below `folder`, sorted.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(folder);
        if let Some(root) = self.local_folder() {
            // The library gives up where one name is no key.
            let below = root.join(path.as_ref());
            let looked = tokio::task::spawn_blocking(move || walk::folders(&below)).await;
            let names = looked.unwrap_or_else(|error| Err(std::io::Error::other(error)));
            return names.map_err(|source| self.io_failed(folder, source));
        }
        let listed = self.objects.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|source| self.failed("list", folder, source))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let mut names: Vec<String> = listed.common_prefixes.iter().filter_map(name).collect();
        #[cfg(feature = "cloud")]
        names.retain(|name| !odd_keys::is_odd(name));
        names.sort();
        Ok(names)
    }

    /// All of [`Store::list`] at once, by key.
    ///
    /// # Errors
    /// Where the store fails.
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

    /// A local file's ETag holds its inode, which a copy with its times kept does not share.
    fn version(&self, meta: &ObjectMeta) -> String {
        match &meta.e_tag {
            Some(tag) if !self.is_local() => tag.trim_matches('"').to_owned(),
            _ => format!("{:x}-{:x}", meta.size, meta.last_modified.timestamp_micros()),
        }
    }

    /// Where it is, if it is on this machine.
    fn local_folder(&self) -> Option<PathBuf> {
        self.is_local().then(|| self.url.to_file_path().ok())?
    }

    /// A folder of this machine that cannot be listed.
    fn io_failed(&self, folder: &str, source: std::io::Error) -> StoreError {
        self.failed("list", folder, object_store::Error::Generic { store: "file", source: source.into() })
    }

    fn failed(&self, what: &'static str, key: &str, source: object_store::Error) -> StoreError {
        let address = self.address(key);
        match StoreFault::take(source) {
            Ok(source) => StoreError::Store { what, address, source },
            Err(source) => StoreError::Object { what, address, source },
        }
    }
}

/// Objects and parts of them by their addresses, wherever they are: the one way to open a picture by its address. One
/// client an address, made when it is first needed.
#[derive(Debug, Default)]
pub struct StoreResolver(Mutex<HashMap<String, Store>>);

/// Where an address leads.
struct Found {
    /// Everything on the address's machine or in its bucket.
    place: Store,
    key: String,
    /// None: the whole object.
    extent: Option<Extent>,
}

impl StoreResolver {
    /// What is at an address: an object's bytes, or those of a part of one.
    ///
    /// # Errors
    /// What is no address; where nothing is there or the store fails.
    pub async fn read(&self, address: &str) -> Result<Bytes, StoreError> {
        let Found { place, key, extent } = self.find(address)?;
        match extent {
            None => place.get(&key).await,
            Some(extent) => place.get_part(&key, extent).await,
        }
    }

    /// The first `bytes` of what is at an address, or all where that is less.
    ///
    /// # Errors
    /// As [`StoreResolver::read`].
    pub async fn read_first(&self, address: &str, bytes: u64) -> Result<Bytes, StoreError> {
        let Found { place, key, extent } = self.find(address)?;
        match extent {
            None => place.get_first(&key, bytes).await,
            Some(extent) => place.get_part(&key, extent.first(bytes)).await,
        }
    }

    /// What a listing would show of what is at an address.
    ///
    /// # Errors
    /// As [`StoreResolver::read`].
    pub async fn head(&self, address: &str) -> Result<Object, StoreError> {
        let Found { place, key, extent } = self.find(address)?;
        let object = place.head(&key).await?;
        let Some(extent) = extent else { return Ok(object) };
        if extent.range().end > object.bytes {
            let (wanted, got) = (extent.bytes, object.bytes.saturating_sub(extent.offset));
            return Err(StoreError::Short { address: place.address(&key), offset: extent.offset, wanted, got });
        }
        Ok(object.part(plain_name(address), extent))
    }

    fn find(&self, address: &str) -> Result<Found, StoreError> {
        let wrong = |source| StoreError::Address { address: address.to_owned(), source };
        let url = Url::parse(address).map_err(|source| wrong(source.into()))?;
        let key = percent_decode_str(url.path().trim_start_matches('/')).decode_utf8();
        let key = key.map_err(|source| wrong(source.into()))?.into_owned();
        let no_extent = || StoreError::Extent { address: address.to_owned() };
        let extent = url.fragment().map(|text| Extent::parse(text).ok_or_else(no_extent)).transpose()?;
        let origin = format!("{}://{}/", url.scheme(), url.authority());
        Ok(Found { place: self.open(&origin)?, key, extent })
    }

    /// As [`Store::open`], of an address that means the same from everywhere.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(&self, address: &str) -> Result<Store, StoreError> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(address) {
            return Ok(place.clone());
        }
        let place = Store::open(address, FilePath::new(""))?;
        places.insert(address.to_owned(), place.clone());
        Ok(place)
    }
}

/// The path that an address means on this machine; None for another machine's.
fn local_path(address: &str, base: &FilePath) -> Result<Option<PathBuf>, StoreError> {
    if !address.contains("://") {
        return Ok(Some(base.join(address)));
    }
    if !address.starts_with("file://") {
        return Ok(None);
    }
    let wrong = |source| StoreError::Address { address: address.to_owned(), source };
    let url = Url::parse(address).map_err(|source| wrong(source.into()))?;
    url.to_file_path().map(Some).map_err(|()| wrong("it has a host".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn odd_names_are_listed_read_and_addressed() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["plain.png", "with space.png", "100%.png", "a%20b.png", "hash#1.png", "q?x=1.png", "é/ü.png"];
        for name in names {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let place = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
        let listed: Vec<String> = place.list_sorted("").await.unwrap().into_iter().map(|o| o.key).collect();
        let mut sorted = names.to_vec();
        sorted.sort();
        assert_eq!(listed, sorted);
        let addresses = StoreResolver::default();
        for name in names {
            assert_eq!(place.get(name).await.unwrap(), name);
            let address = place.address(name);
            assert_eq!(addresses.read(&address).await.unwrap(), name, "{address}");
            assert_eq!(addresses.head(&address).await.unwrap().version, place.head(name).await.unwrap().version);
            let extent = Extent { offset: 1, bytes: name.len() as u64 - 2 };
            let part = place.address_of_part(name, extent, "any &name#");
            let inner = &name.as_bytes()[1..name.len() - 1];
            assert_eq!(addresses.read(&part).await.unwrap(), inner, "{part}");
            assert_eq!(addresses.read_first(&part, 2).await.unwrap(), inner[..2], "{part}");
            assert_eq!(addresses.read_first(&part, 99).await.unwrap(), inner, "{part}");
            assert_eq!(addresses.head(&part).await.unwrap().bytes, inner.len() as u64);
        }
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let address = dir.path().join("new/store").display().to_string();
        assert!(Store::open(&address, FilePath::new("")).is_err());
        let place = Store::create(&address, FilePath::new("")).unwrap();
        place.put("a/b.txt", "one".into()).await.unwrap();
        place.put("a/b.txt", "other".into()).await.unwrap();
        assert_eq!(place.get_first("a/b.txt", 2).await.unwrap(), "ot");
        assert_eq!(place.get_first("a/b.txt", 99).await.unwrap(), "other");
        assert_eq!(place.folders("").await.unwrap(), ["a"]);
        assert_eq!(place.list_sorted("a").await.unwrap()[0].key, "a/b.txt");
        place.delete("a/b.txt").await.unwrap();
        place.delete("a/b.txt").await.unwrap();
        assert!(place.get("a/b.txt").await.unwrap_err().is_not_found());
    }

    #[tokio::test]
    async fn parts_that_are_not_there_are_said_to_be_short() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x.tar"), "0123456789").unwrap();
        let place = Store::open(dir.path().to_str().unwrap(), FilePath::new("")).unwrap();
        let addresses = StoreResolver::default();
        let part = |offset, bytes| place.address_of_part("x.tar", Extent { offset, bytes }, "m");
        assert_eq!(addresses.read(&part(3, 7)).await.unwrap(), "3456789");
        assert!(addresses.read(&part(3, 0)).await.unwrap().is_empty());
        let whole = addresses.head(&place.address("x.tar")).await.unwrap().version;
        assert_eq!(addresses.head(&part(3, 7)).await.unwrap().version, format!("{whole}-3-7"));
        for error in [addresses.read(&part(3, 8)).await.unwrap_err(), addresses.head(&part(3, 8)).await.unwrap_err()] {
            assert!(error.to_string().contains("has 7 of 8 bytes from offset 3 on"), "{error}");
        }
        let error = addresses.read(&format!("{}#top", place.address("x.tar"))).await.unwrap_err();
        assert!(error.to_string().contains("names no range"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        for address in ["ftp://host/x", "s4://bucket/x", "file://host/x"] {
            let error = Store::open(address, FilePath::new("")).unwrap_err();
            assert!(error.to_string().contains(address), "{error}");
        }
    }
}
