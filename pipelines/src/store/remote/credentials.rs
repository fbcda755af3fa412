//! Credentials that a client fetches: from an instance's or a container's service, a token service, a file's key. They are
//! asked for with little patience, and what cannot be had is said with what was tried.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use object_store::{CredentialProvider, Result};

use super::super::fault::{StoreFault, StoreFaultKind};
use super::explain::Facts;

/// A service that takes the connection and does not answer.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The metadata service is on the same host, or there is none.
const WAIT_MAX_FOR_INSTANCE: Duration = Duration::from_secs(4);

/// Where credentials are looked for.
#[derive(Debug)]
pub(super) struct Source {
    /// A sentence for where they cannot be had from there.
    pub(super) missing: String,
    /// What to do about it.
    pub(super) hint: String,
    /// It is the last thing to try, which is not there on most machines.
    pub(super) is_instance: bool,
}

/// Credentials from a source.
pub(super) struct Fetched<C> {
    provider: Arc<dyn CredentialProvider<Credential = C>>,
    source: Source,
    has_given: AtomicBool,
}

impl<C> Fetched<C> {
    pub(super) fn new(provider: Arc<dyn CredentialProvider<Credential = C>>, source: Source) -> Arc<Fetched<C>> {
        Arc::new(Fetched { provider, source, has_given: AtomicBool::new(false) })
    }
}

impl<C> fmt::Debug for Fetched<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

#[async_trait]
impl<C: Send + Sync + 'static> CredentialProvider for Fetched<C> {
    type Credential = C;

    async fn get_credential(&self) -> Result<Arc<C>> {
        let wait_max = if self.source.is_instance { WAIT_MAX_FOR_INSTANCE } else { WAIT_MAX };
        let (status, words) = match tokio::time::timeout(wait_max, self.provider.get_credential()).await {
            Ok(Ok(credential)) => {
                self.has_given.store(true, Relaxed);
                return Ok(credential);
            }
            Ok(Err(error)) => Facts::words(&error),
            Err(_) => (None, format!("no answer within {} s", wait_max.as_secs())),
        };
        let may_pass = self.has_given.load(Relaxed) || !self.source.is_instance;
        let kind = match status {
            Some(400..=499) if !self.source.is_instance => StoreFaultKind::Refused,
            _ if may_pass => StoreFaultKind::Unanswered,
            _ => StoreFaultKind::Setup,
        };
        let fault =
            StoreFault::new(kind, self.source.missing.clone()).hint_at(self.source.hint.clone()).caused_by(words);
        Err(fault.into_store_error())
    }
}
