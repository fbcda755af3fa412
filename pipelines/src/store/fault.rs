//! Why a store beyond this machine did not do what was asked, in a sentence that names what to change, with a hint. It
//! travels inside the errors of the library that stores are reached by.

use std::error::Error;
use std::fmt;

use object_store::Error as ObjectError;

/// What a store's failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFaultKind {
    /// The environment's variables do not say how to reach the store.
    Setup,
    /// The store did not answer, or said that it cannot at the moment.
    Unanswered,
    /// The store does not accept the credentials, the region or the time of the requests.
    Refused,
    /// The store knows who asks, and does not allow it.
    Denied,
    /// The bucket or container does not exist.
    Bucket,
    /// The store does not do what was asked.
    Unsupported,
}

/// A store's failure with what to do about it.
#[derive(Debug)]
pub struct StoreFault {
    kind: StoreFaultKind,
    message: String,
    hint: Option<String>,
    /// The server's words, or the network's.
    source: Option<Said>,
}

/// What a server or the network said.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Said {}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for StoreFault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|said| said as &(dyn Error + 'static))
    }
}

impl StoreFault {
    pub(super) fn new(kind: StoreFaultKind, message: impl Into<String>) -> StoreFault {
        StoreFault { kind, message: message.into(), hint: None, source: None }
    }

    /// The environment's variables do not say how to reach the store.
    pub(super) fn setup(message: impl Into<String>) -> StoreFault {
        StoreFault::new(StoreFaultKind::Setup, message)
    }

    pub(super) fn hint_at(mut self, hint: impl Into<String>) -> StoreFault {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn caused_by(mut self, said: impl Into<String>) -> StoreFault {
        self.source = Some(Said(said.into()));
        self
    }

    /// What it is about.
    pub fn kind(&self) -> StoreFaultKind {
        self.kind
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether another try may do better.
    pub fn may_pass(&self) -> bool {
        self.kind == StoreFaultKind::Unanswered
    }

    /// Whether it says something of one object alone: others may be allowed.
    pub fn is_of_object(&self) -> bool {
        self.kind == StoreFaultKind::Denied
    }

    /// As an error of the library that stores are reached by.
    pub(super) fn into_store_error(self) -> ObjectError {
        ObjectError::Generic { store: "remote", source: Box::new(self) }
    }

    /// The fault in a store's error, if there is one in it.
    pub(super) fn of(error: &ObjectError) -> Option<&StoreFault> {
        match error {
            ObjectError::Generic { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }

    /// Takes the fault out of a store's error.
    ///
    /// # Errors
    /// The error itself, where there is none in it.
    pub(super) fn take(error: ObjectError) -> Result<StoreFault, ObjectError> {
        match error {
            ObjectError::Generic { store, source } => match source.downcast() {
                Ok(fault) => Ok(*fault),
                Err(source) => Err(ObjectError::Generic { store, source }),
            },
            other => Err(other),
        }
    }
}
