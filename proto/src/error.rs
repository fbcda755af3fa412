//! Errors as gRPC statuses: a gRPC code and a message and, in the metadata, dqa's own code and a hint.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Metadata key of dqa's own error code.
pub const CODE: &str = "dqa-error";
/// Metadata key of the hint.
pub const HINT: &str = "dqa-hint";

/// Returns the status of a refused request, with dqa's own code in snake_case.
pub fn refused(code: Code, own: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(code, message);
    status.metadata_mut().insert(CODE, MetadataValue::from_static(own));
    status
}

/// Adds a hint to a status. A hint that is not a valid header is left out.
pub fn hint(mut status: Status, hint: &str) -> Status {
    if let Ok(value) = hint.parse() {
        status.metadata_mut().insert(HINT, value);
    }
    status
}

/// Returns dqa's own code of a status, if it has one.
pub fn code(status: &Status) -> Option<&str> {
    status.metadata().get(CODE)?.to_str().ok()
}
