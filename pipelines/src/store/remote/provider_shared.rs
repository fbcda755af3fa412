//! What the clients of all providers share: retry settings, the check of an endpoint, and the error of an invalid variable.

use std::sync::Arc;
use std::time::Duration;

use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use url::Url;

use super::diagnostics::StoreContext;
use super::http_client::SharedConnector;
use crate::causes;
use crate::store::fault::StoreFault;

/// The clients of one store.
pub(super) struct Clients {
    /// Retries for minutes; used once the store has answered.
    pub(super) patient: Arc<dyn ObjectStore>,
    /// Fails within seconds; used until the store has answered once.
    pub(super) quick: Arc<dyn ObjectStore>,
    pub(super) context: StoreContext,
}

impl Clients {
    /// Builds both clients, which share one HTTP client.
    pub(super) fn build(
        context: StoreContext,
        build: impl Fn(RetryConfig, SharedConnector) -> Result<Arc<dyn ObjectStore>, StoreFault>,
    ) -> Result<Clients, StoreFault> {
        let shared = SharedConnector::default();
        let patient = build(patient_retries(), shared.clone())?;
        Ok(Clients { patient, quick: build(quick_retries(), shared)?, context })
    }
}

/// Retries until a store has answered once. 5 s survive the restart of a server, or a lost packet.
fn quick_retries() -> RetryConfig {
    retries(6, Duration::from_secs(5))
}

/// Retries of a service for credentials, which is near or does not exist.
pub(super) fn credential_retries() -> RetryConfig {
    retries(2, Duration::from_secs(2))
}

/// Retries of a store that has answered before: it is back within some minutes, or the caller tries again.
fn patient_retries() -> RetryConfig {
    RetryConfig::default()
}

fn retries(max_retries: usize, retry_timeout: Duration) -> RetryConfig {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(2), base: 2.0 };
    RetryConfig { backoff, max_retries, retry_timeout }
}

/// Returns the fault of a client that cannot be built. It names the variable that makes a client fail by itself, if one does.
pub(super) fn invalid_variables<'a, K>(
    known: &'a [(String, K, String)],
    error: &object_store::Error,
    fails: impl Fn(&'a K, &'a str) -> bool,
) -> StoreFault {
    match known.iter().find(|(_, key, value)| fails(key, value)) {
        Some((name, ..)) => StoreFault::setup(format!("{name} has an invalid value")),
        None => {
            // The library's message may hold a variable's value.
            let message = causes(error).to_string();
            let is_secret = known.iter().any(|(_, _, value)| value.len() > 3 && message.contains(value.as_str()));
            let fault = StoreFault::setup("the environment variables are not a valid configuration of the store");
            if is_secret { fault } else { fault.with_cause(message) }
        }
    }
}

/// Returns scheme, host and port of a URL.
pub(super) fn server_address(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| "the store".to_owned(),
        |url| {
            let host = url.host_str().unwrap_or_default();
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{host}{port}", url.scheme())
        },
    )
}

/// Checks a variable that holds a server's address.
///
/// # Errors
/// If it is not a valid URL, or one without TLS that is not allowed.
pub(super) fn check_endpoint(name: &str, value: &str, allow: &str, is_allowed: bool) -> Result<(), StoreFault> {
    let lower = value.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err(StoreFault::setup(format!("{name} is not a valid URL: expected https:// or http://"))
            .with_hint(format!("for a server without TLS: export {name}=http://HOST:PORT {allow}=true")));
    }
    if Url::parse(value).is_err() {
        return Err(StoreFault::setup(format!("{name} is not a valid URL")).with_hint("expected https://HOST:PORT"));
    }
    if lower.starts_with("http://") && !is_allowed {
        return Err(StoreFault::setup(format!("{name} begins with http://, and {allow} is not set"))
            .with_hint(format!("export {allow}=true on a trusted network, or use https://")));
    }
    Ok(())
}
