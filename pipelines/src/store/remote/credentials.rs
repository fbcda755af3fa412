//! Credentials that a client fetches: from the service of an instance or a container, from a token service, or with the key
//! in a file. Fetching fails quickly, and the error says what was tried.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use object_store::{CredentialProvider, Result};

use super::diagnostics::StoreContext;
use crate::store::fault::{StoreFault, StoreFaultKind};

/// Time limit of a service that accepts the connection and does not answer.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// Time limit of the instance metadata service, which is on the same host or does not exist.
const INSTANCE_WAIT_MAX: Duration = Duration::from_secs(4);

/// A source of credentials.
#[derive(Debug)]
pub(super) struct CredentialSource {
    /// The error message if the source has no credentials.
    pub(super) missing: String,
    /// What the user can do about it.
    pub(super) hint: String,
    /// Whether it is the instance metadata service: the last source to try, which most machines lack.
    pub(super) is_instance: bool,
}

/// Credentials that are fetched from a source.
pub(super) struct FetchedCredentials<C> {
    provider: Arc<dyn CredentialProvider<Credential = C>>,
    source: CredentialSource,
    has_succeeded: AtomicBool,
}

impl<C> FetchedCredentials<C> {
    pub(super) fn new(
        provider: Arc<dyn CredentialProvider<Credential = C>>,
        source: CredentialSource,
    ) -> Arc<FetchedCredentials<C>> {
        Arc::new(FetchedCredentials { provider, source, has_succeeded: AtomicBool::new(false) })
    }
}

impl<C> fmt::Debug for FetchedCredentials<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

#[async_trait]
impl<C: Send + Sync + 'static> CredentialProvider for FetchedCredentials<C> {
    type Credential = C;

    async fn get_credential(&self) -> Result<Arc<C>> {
        let wait_max = if self.source.is_instance { INSTANCE_WAIT_MAX } else { WAIT_MAX };
        let (status, message) = match tokio::time::timeout(wait_max, self.provider.get_credential()).await {
            Ok(Ok(credential)) => {
                self.has_succeeded.store(true, Relaxed);
                return Ok(credential);
            }
            Ok(Err(error)) => StoreContext::response_text(&error),
            Err(_) => (None, format!("no answer within {} s", wait_max.as_secs())),
        };
        let is_transient = self.has_succeeded.load(Relaxed) || !self.source.is_instance;
        let kind = match status {
            Some(400..=499) if !self.source.is_instance => StoreFaultKind::Refused,
            _ if is_transient => StoreFaultKind::Unavailable,
            _ => StoreFaultKind::Setup,
        };
        let fault =
            StoreFault::new(kind, self.source.missing.clone()).with_hint(self.source.hint.clone()).with_cause(message);
        Err(fault.into_object_error())
    }
}
