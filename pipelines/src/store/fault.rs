//! Why a remote store failed: a sentence that names what to change, with a hint. A [`StoreFault`] travels inside the errors
//! of the `object_store` library.

use std::error::Error;
use std::fmt;

use object_store::Error as ObjectError;

use crate::{Hint, Retryable};

/// Kinds of failures of a remote store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFaultKind {
    /// The environment variables do not say how to reach the store.
    Setup,
    /// The store did not answer, or reported that it is unavailable.
    Unavailable,
    /// The store does not accept the credentials, the region or the time of the requests.
    Refused,
    /// The store accepts the credentials, but does not allow the operation.
    Denied,
    /// The bucket or container does not exist.
    Bucket,
    /// The store does not support the operation.
    Unsupported,
}

/// The failure of a remote store, with what the user can do about it.
#[derive(Debug)]
pub struct StoreFault {
    kind: StoreFaultKind,
    message: String,
    hint: Option<String>,
    /// The message of the server or of the network.
    source: Option<Message>,
}

/// The message of a server or of the network.
#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Message {}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|message| message as &(dyn Error + 'static))
    }
}

impl StoreFault {
    pub(super) fn new(kind: StoreFaultKind, message: impl Into<String>) -> StoreFault {
        StoreFault { kind, message: message.into(), hint: None, source: None }
    }

    /// Creates a fault of the kind [`StoreFaultKind::Setup`].
    pub(super) fn setup(message: impl Into<String>) -> StoreFault {
        StoreFault::new(StoreFaultKind::Setup, message)
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> StoreFault {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn with_cause(mut self, message: impl Into<String>) -> StoreFault {
        self.source = Some(Message(message.into()));
        self
    }

    /// Returns the kind of the failure.
    pub fn kind(&self) -> StoreFaultKind {
        self.kind
    }

    /// Returns whether the fault concerns one object alone, so that others may be allowed.
    pub fn is_object_specific(&self) -> bool {
        self.kind == StoreFaultKind::Denied
    }

    /// Returns whether the environment, the credentials or the clock of this machine may be the cause.
    pub fn depends_on_machine(&self) -> bool {
        matches!(self.kind, StoreFaultKind::Setup | StoreFaultKind::Refused | StoreFaultKind::Denied)
    }

    /// Wraps the fault in an error of `object_store`.
    pub(super) fn into_object_error(self) -> ObjectError {
        ObjectError::Generic { store: "remote", source: Box::new(self) }
    }

    /// Returns the fault inside an error of `object_store`, if it has one.
    pub(super) fn find(error: &ObjectError) -> Option<&StoreFault> {
        match error {
            ObjectError::Generic { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Unwraps the fault from an error of `object_store`.
    ///
    /// # Errors
    /// Returns the error itself if it has no fault.
    pub(super) fn extract(error: ObjectError) -> Result<StoreFault, ObjectError> {
        match error {
            ObjectError::Generic { store, source } => match source.downcast() {
                Ok(fault) => Ok(*fault),
                Err(source) => Err(ObjectError::Generic { store, source }),
            },
            other => Err(other),
        }
    }
}

impl Retryable for StoreFault {
    fn is_retryable(&self) -> bool {
        self.kind == StoreFaultKind::Unavailable
    }
}

impl Hint for StoreFault {
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}
