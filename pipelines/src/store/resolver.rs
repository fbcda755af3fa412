//! Opens objects, and ranges of bytes in them, by their addresses in any store.

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use url::Url;

use super::byte_range::{ByteRange, member_path};
use super::{Object, Store, StoreError};

/// Reads objects and ranges of them by their addresses. Every picture is opened through it. It creates one client for each
/// machine or bucket, when an address first needs it.
#[derive(Debug, Default)]
pub struct StoreResolver(Mutex<HashMap<String, Store>>);

/// The object or range that an address names.
struct Location {
    /// The root of the address's file system or bucket.
    store: Store,
    key: String,
    /// None for the whole object.
    range: Option<ByteRange>,
}

impl StoreResolver {
    /// Reads the object, or the range of one, at an address.
    ///
    /// # Errors
    /// If the address is invalid, nothing exists there, or the store fails.
    pub async fn read(&self, address: &str) -> Result<Bytes, StoreError> {
        let Location { store, key, range } = self.resolve(address)?;
        match range {
            None => store.get(&key).await,
            Some(range) => store.get_range(&key, range).await,
        }
    }

    /// Reads the first `bytes` of the object or range at an address, or all of it if it is shorter.
    ///
    /// # Errors
    /// The same as [`StoreResolver::read`].
    pub async fn read_first(&self, address: &str, bytes: u64) -> Result<Bytes, StoreError> {
        let Location { store, key, range } = self.resolve(address)?;
        match range {
            None => store.get_first(&key, bytes).await,
            Some(range) => store.get_range(&key, range.first(bytes)).await,
        }
    }

    /// Reads a part of the object or range at an address.
    ///
    /// # Errors
    /// The same as [`StoreResolver::read`], and if the object or range ends before the part does.
    pub async fn read_part(&self, address: &str, part: ByteRange) -> Result<Bytes, StoreError> {
        let Location { store, key, range } = self.resolve(address)?;
        let part = match range {
            None => part,
            Some(range) => range.part(part).ok_or_else(|| StoreError::Range { address: address.to_owned() })?,
        };
        store.get_range(&key, part).await
    }

    /// Returns what a listing would show of the object or range at an address.
    ///
    /// # Errors
    /// The same as [`StoreResolver::read`].
    pub async fn head(&self, address: &str) -> Result<Object, StoreError> {
        let Location { store, key, range } = self.resolve(address)?;
        let object = store.head(&key).await?;
        let Some(range) = range else { return Ok(object) };
        if range.as_range().end > object.bytes {
            let (expected, found) = (range.bytes, object.bytes.saturating_sub(range.offset));
            return Err(StoreError::Truncated { address: store.address(&key), offset: range.offset, expected, found });
        }
        Ok(object.slice(member_path(address), range))
    }

    fn resolve(&self, address: &str) -> Result<Location, StoreError> {
        let invalid = |source| StoreError::Address { address: address.to_owned(), source };
        let url = Url::parse(address).map_err(|source| invalid(source.into()))?;
        let key = percent_decode_str(url.path().trim_start_matches('/')).decode_utf8();
        let key = key.map_err(|source| invalid(source.into()))?.into_owned();
        let invalid_range = || StoreError::Range { address: address.to_owned() };
        let range = url.fragment().map(|text| ByteRange::parse(text).ok_or_else(invalid_range)).transpose()?;
        let origin = format!("{}://{}/", url.scheme(), url.authority());
        Ok(Location { store: self.open(&origin)?, key, range })
    }

    /// Opens the store at an absolute address, and returns the same client when it is called again.
    ///
    /// # Errors
    /// The same as [`Store::open`].
    pub fn open(&self, address: &str) -> Result<Store, StoreError> {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(address) {
            return Ok(store.clone());
        }
        let store = Store::open(address, FilePath::new(""))?;
        stores.insert(address.to_owned(), store.clone());
        Ok(store)
    }
}
