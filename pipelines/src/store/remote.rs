//! How an address beyond this machine and the environment become an object store: S3, Google Cloud Storage, Azure. It owns
//! which variables are read. A store reads those of its own prefix (`AWS_`, `GOOGLE_`, `AZURE_`) that its client knows, and no
//! others: what another program's `TOKEN` says goes to nobody.
//!
//! Until a store has answered once, patience is short: what is set up wrongly is said at once. Later a store that goes away
//! for some minutes is waited for.

mod aws;
mod azure;
mod contact;
mod credentials;
mod explain;
mod google;
mod http;
mod variables;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::Url;

use super::StoreError;
use super::fault::StoreFault;
use crate::causes;
use contact::Contact;
use explain::Facts;
use http::Shared;
use variables::Variables;

/// A folder in a store.
pub(super) struct Remote {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// Ends with a slash.
    pub(super) url: Url,
}

/// One store's clients.
struct Clients {
    patient: Arc<dyn ObjectStore>,
    /// Until the store has answered once.
    quick: Arc<dyn ObjectStore>,
    facts: Facts,
}

impl Clients {
    /// Both, over one HTTP client.
    fn build(
        facts: Facts,
        build: impl Fn(RetryConfig, Shared) -> Result<Arc<dyn ObjectStore>, StoreFault>,
    ) -> Result<Clients, StoreFault> {
        let shared = Shared::default();
        Ok(Clients { patient: build(patient(), shared.again())?, quick: build(quick(), shared.again())?, facts })
    }
}

/// Opens the folder at an address with the variables of this process's environment.
///
/// # Errors
/// An address of no known kind, or variables with which the store cannot be reached.
pub(super) fn open(address: &str) -> Result<Remote, StoreError> {
    open_with(address, std::env::vars_os())
}

/// As [`open`], with other variables.
fn open_with(address: &str, environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Remote, StoreError> {
    let wrong = |source| StoreError::Address { address: without_password(address), source };
    let mut url = Url::parse(address).map_err(|source| wrong(source.into()))?;
    let is_azure = matches!(url.scheme(), "az" | "azure" | "abfs" | "abfss");
    if !is_azure && !matches!(url.scheme(), "s3" | "s3a" | "gs") {
        return Err(wrong(format!("`{}` is no store's scheme", url.scheme()).into()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(wrong("it names no bucket".into()));
    }
    if url.password().is_some() || (!is_azure && !url.username().is_empty()) {
        return Err(wrong("credentials are taken from the environment, not from an address".into()));
    }
    if url.port().is_some() {
        return Err(wrong(
            "it has a port; AWS_ENDPOINT, GOOGLE_BASE_URL or AZURE_STORAGE_ENDPOINT says where a store is".into(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a `?` or a `#`; in a folder's name they are %3F and %23".into()));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    let prefix = Path::from_url_path(url.path()).map_err(|source| wrong(source.into()))?;
    let cannot = |source| StoreError::Store { what: "open", address: url.to_string(), source };
    let clients = match url.scheme() {
        "s3" | "s3a" => aws::clients(&url, &Variables::of("AWS_", environment)),
        "gs" => google::clients(&url, &Variables::of("GOOGLE_", environment)),
        _ => azure::clients(&url, &Variables::of("AZURE_", environment)),
    };
    let objects = Arc::new(Contact::new(clients.map_err(&cannot)?));
    Ok(Remote { objects, prefix, url })
}

/// An address that is shown: not with what somebody took it to hold.
fn without_password(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((before, after))) if before.contains(':') && before.len() > scheme.len() + 3 => {
            format!("{scheme}://...@{after}")
        }
        _ => address.to_owned(),
    }
}

/// Until a store has answered once. 5 s: a server that is started again, or one packet that is lost, is survived.
fn quick() -> RetryConfig {
    retry(6, Duration::from_secs(5))
}

/// For what gives out credentials, which is near or is not there.
fn for_credentials() -> RetryConfig {
    retry(2, Duration::from_secs(2))
}

/// For a store that has answered: it is back within some minutes, or what was asked for is tried again by who asked.
fn patient() -> RetryConfig {
    RetryConfig::default()
}

fn retry(max_retries: usize, retry_timeout: Duration) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    RetryConfig { backoff, max_retries, retry_timeout }
}

/// What a client could not be made of: says which variable it was, where one alone fails too.
fn unusable<'a, K>(
    known: &'a [(String, K, String)],
    error: &object_store::Error,
    fails: impl Fn(&'a K, &'a str) -> bool,
) -> StoreFault {
    match known.iter().find(|(_, key, value)| fails(key, value)) {
        Some((name, ..)) => StoreFault::setup(format!("{name} has a value that it cannot have")),
        None => {
            // A library's words may hold a variable's value.
            let words = causes(error).to_string();
            let shows = known.iter().any(|(_, _, value)| value.len() > 3 && words.contains(value.as_str()));
            let fault = StoreFault::setup("the environment's variables do not make a client of the store");
            if shows { fault } else { fault.caused_by(words) }
        }
    }
}

/// Scheme, host and port of a URL.
fn server_of(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| "the store".to_owned(),
        |url| {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", url.scheme())
        },
    )
}

/// What must hold of a variable with a server's address.
///
/// # Errors
/// No URL, or one without TLS where that is not allowed.
fn check_endpoint(name: &str, value: &str, allow: &str, is_allowed: bool) -> Result<(), StoreFault> {
    let lower = value.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err(StoreFault::setup(format!("{name} is no URL: it begins with https:// or http://"))
            .hint_at(format!("for a server without TLS: export {name}=http://HOST:PORT {allow}=true")));
    }
    if Url::parse(value).is_err() {
        return Err(StoreFault::setup(format!("{name} is no URL")).hint_at("it is like https://HOST:PORT"));
    }
    if lower.starts_with("http://") && !is_allowed {
        return Err(StoreFault::setup(format!("{name} begins with http://, and {allow} is not set"))
            .hint_at(format!("export {allow}=true where nobody else can read the network, or take https://")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
