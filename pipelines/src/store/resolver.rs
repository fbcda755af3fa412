//! Opens objects, and ranges of bytes in them, by their addresses in any store.

use std::path::Path as FilePath;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use quick_cache::sync::Cache;
use url::Url;

use super::byte_range::{ByteRange, member_path};
use super::{Object, Store, StoreError};

/// Clients that are kept. Each has connections and credentials, and a manifest can name any number of buckets.
const CLIENTS_MAX: usize = 64;

/// Reads objects and ranges of them by their addresses. Every picture is opened through it. It creates one client for each
/// machine or bucket, when an address first needs it, and keeps those that were used last.
#[derive(Debug)]
pub struct StoreResolver(Cache<String, Store>);

impl Default for StoreResolver {
    fn default() -> StoreResolver {
        StoreResolver(Cache::new(CLIENTS_MAX))
    }
}

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

    /// Opens the store at an absolute address, and returns the same client when it is soon called again.
    ///
    /// # Errors
    /// The same as [`Store::open`].
    pub fn open(&self, address: &str) -> Result<Store, StoreError> {
        self.0.get_or_insert_with(address, || Store::open(address, FilePath::new("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_clients_are_kept() {
        let (resolver, dir) = (StoreResolver::default(), tempfile::tempdir().unwrap());
        for number in 0..3 * CLIENTS_MAX {
            let folder = dir.path().join(number.to_string());
            std::fs::create_dir(&folder).unwrap();
            resolver.open(folder.to_str().unwrap()).unwrap();
        }
        assert!(resolver.0.len() <= CLIENTS_MAX, "{}", resolver.0.len());
        assert!(resolver.open("/nothing/there").is_err() && resolver.open("/nothing/there").is_err());
    }
}
