//! Opens remote stores (S3, Google Cloud Storage, Azure) from an address and the environment. This module owns which
//! environment variables are read: those of the store's own prefix (`AWS_`, `GOOGLE_`, `AZURE_`) that its client knows, and no
//! others, so that the `TOKEN` of another program is sent to no store.
//!
//! Until a store has answered once, requests fail quickly, so that wrong settings are reported at once. From then on a store
//! that is away for some minutes is waited for.

mod aws;
mod azure;
mod credentials;
mod diagnostics;
mod environment;
mod fail_fast;
mod google;
mod http_client;
mod provider_shared;

use std::ffi::OsString;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;

use super::error::StoreError;
use environment::EnvVariables;
use fail_fast::FailFastStore;

/// A folder in a remote store.
pub(super) struct Remote {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// Ends with a slash.
    pub(super) url: Url,
}

/// Opens the folder at an address with the environment variables of this process.
///
/// # Errors
/// If the address is invalid, or the variables do not say how to reach the store.
pub(super) fn open(address: &str) -> Result<Remote, StoreError> {
    open_with(address, std::env::vars_os())
}

/// Opens the folder at an address with the given environment variables.
fn open_with(address: &str, environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Remote, StoreError> {
    let invalid = |source| StoreError::Address { address: without_password(address), source };
    let mut url = Url::parse(address).map_err(|source| invalid(source.into()))?;
    let is_azure = matches!(url.scheme(), "az" | "azure" | "abfs" | "abfss");
    if !is_azure && !matches!(url.scheme(), "s3" | "s3a" | "gs") {
        return Err(invalid(format!("unknown scheme `{}`", url.scheme()).into()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(invalid("it names no bucket".into()));
    }
    if url.password().is_some() || (!is_azure && !url.username().is_empty()) {
        return Err(invalid("credentials are read from the environment, not from an address".into()));
    }
    if url.port().is_some() {
        return Err(invalid(
            "it has a port; set AWS_ENDPOINT, GOOGLE_BASE_URL or AZURE_STORAGE_ENDPOINT to the store's server".into(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a `?` or a `#`; in a folder's name write %3F and %23".into()));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    let prefix = Path::from_url_path(url.path()).map_err(|source| invalid(source.into()))?;
    let unusable = |source| StoreError::Store { operation: "open", address: url.to_string(), source };
    let clients = match url.scheme() {
        "s3" | "s3a" => aws::clients(&url, &EnvVariables::with_prefix("AWS_", environment)),
        "gs" => google::clients(&url, &EnvVariables::with_prefix("GOOGLE_", environment)),
        _ => azure::clients(&url, &EnvVariables::with_prefix("AZURE_", environment)),
    };
    let objects = Arc::new(FailFastStore::new(clients.map_err(unusable)?));
    Ok(Remote { objects, prefix, url })
}

/// Returns an address for a message, without a password that it may hold.
fn without_password(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((before, after))) if before.contains(':') && before.len() > scheme.len() + 3 => {
            format!("{scheme}://...@{after}")
        }
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests;
