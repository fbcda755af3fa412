//! Errors of stores, of their addresses and of their objects.

use std::path::PathBuf;

use super::fault::StoreFault;
use crate::{Hint, Retryable};

/// Why a store or an object in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is of an unknown kind, or of one that this build leaves out.
    #[error("`{address}` is not a valid store address: expected a path, or a URL with file://, s3://, gs:// or az://")]
    Address {
        /// The address that was given.
        address: String,
        /// Why it is invalid.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder on this machine is missing, or cannot be created.
    #[error("cannot open the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the file system.
        #[source]
        source: std::io::Error,
    },
    /// The text after an address's `#` is not a range of bytes.
    #[error(
        "`{address}` has an invalid range of bytes: expected #offset=N&bytes=N&member=NAME; a `#` in a name is written %23"
    )]
    Range {
        /// The address that was given.
        address: String,
    },
    /// An object ends before the end of a range that was found in it earlier.
    #[error(
        "{address} has {found} of {expected} bytes from offset {offset} on: it was changed or truncated since it was listed; \
         plan again"
    )]
    Truncated {
        /// The object's address.
        address: String,
        /// Where the range starts.
        offset: u64,
        /// The range's length in bytes.
        expected: u64,
        /// Bytes of the range that the object has.
        found: u64,
    },
    /// A remote store cannot be reached, or refuses the operation.
    #[error("cannot {operation} {address}")]
    Store {
        /// The operation as a verb: `read`.
        operation: &'static str,
        /// The address of the folder or object.
        address: String,
        /// Why it failed.
        #[source]
        source: StoreFault,
    },
    /// An object cannot be read, written or listed.
    #[error("cannot {operation} {address}")]
    Object {
        /// The operation as a verb: `read`.
        operation: &'static str,
        /// The object's address.
        address: String,
        /// The error of the object store.
        #[source]
        source: object_store::Error,
    },
}

impl StoreError {
    /// Returns whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StoreError::Object { source: object_store::Error::NotFound { .. }, .. })
    }

    /// Returns whether the object was not created because it exists already.
    pub fn is_already_exists(&self) -> bool {
        let exists = |source: &object_store::Error| {
            matches!(source, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
        };
        matches!(self, StoreError::Object { source, .. } if exists(source))
    }

    /// Returns whether the object was not replaced because its content is not the one that was read.
    pub fn is_changed(&self) -> bool {
        matches!(self, StoreError::Object { source: object_store::Error::Precondition { .. }, .. })
    }

    /// Returns whether the error concerns one object alone (it is missing, or may not be read), so that others may be
    /// available.
    pub fn is_object_specific(&self) -> bool {
        match self {
            StoreError::Range { .. } | StoreError::Truncated { .. } => true,
            StoreError::Object { address, source, .. } => {
                let is_refused = matches!(
                    source,
                    object_store::Error::PermissionDenied { .. } | object_store::Error::InvalidPath { .. }
                );
                address.starts_with("file://") || is_refused || self.is_not_found()
            }
            StoreError::Store { source, .. } => source.is_object_specific(),
            StoreError::Address { .. } | StoreError::Folder { .. } => false,
        }
    }

    /// Returns whether another machine may succeed with the same request: this machine's credentials, clock, mounts or disk
    /// may be at fault.
    pub fn depends_on_machine(&self) -> bool {
        match self {
            StoreError::Folder { .. } => true,
            StoreError::Object { address, source, .. } => {
                let is_refused = matches!(
                    source,
                    object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }
                );
                is_refused || address.starts_with("file://")
            }
            StoreError::Store { source, .. } => source.depends_on_machine(),
            StoreError::Address { .. } | StoreError::Range { .. } | StoreError::Truncated { .. } => false,
        }
    }

    /// Returns whether the error concerns the whole store and not the requested object: the store did not answer, or cannot
    /// be reached with its settings.
    pub fn is_store_wide(&self) -> bool {
        self.is_retryable() || matches!(self, StoreError::Store { source, .. } if !source.is_object_specific())
    }
}

impl Retryable for StoreError {
    fn is_retryable(&self) -> bool {
        if let StoreError::Store { source, .. } = self {
            return source.is_retryable();
        }
        let StoreError::Object { address, source, .. } = self else {
            return false;
        };
        !address.starts_with("file://") && matches!(source, object_store::Error::Generic { .. })
    }
}

impl Hint for StoreError {
    fn hint(&self) -> Option<String> {
        match self {
            StoreError::Store { source, .. } => source.hint(),
            _ => None,
        }
    }
}
