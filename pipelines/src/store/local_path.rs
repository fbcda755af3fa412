//! Local addresses.

use std::path::{Path as FilePath, PathBuf};

use url::Url;

use super::error::StoreError;

/// Returns the path that an address means on this machine, or None if the address is remote.
pub(super) fn local_path(address: &str, base: &FilePath) -> Result<Option<PathBuf>, StoreError> {
    if !address.contains("://") {
        return Ok(Some(base.join(address)));
    }
    if !address.starts_with("file://") {
        return Ok(None);
    }
    let invalid = |source| StoreError::Address { address: address.to_owned(), source };
    let url = Url::parse(address).map_err(|source| invalid(source.into()))?;
    url.to_file_path().map(Some).map_err(|()| invalid("it has a host".into()))
}
