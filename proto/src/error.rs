//! Errors over the wire: gRPC's code and message, and in the metadata dqa's own code and what to do.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The metadata's key of dqa's own code, in snake_case.
pub const CODE: &str = "dqa-error";
/// The metadata's key of what to do.
pub const HINT: &str = "dqa-hint";

/// A refusal with dqa's own code, in snake_case.
pub fn refused(code: Code, own: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(code, message);
    status.metadata_mut().insert(CODE, MetadataValue::from_static(own));
    status
}

/// The same with what to do about it. A hint that no header can carry is left out.
pub fn hint(mut status: Status, hint: &str) -> Status {
    if let Ok(value) = hint.parse() {
        status.metadata_mut().insert(HINT, value);
    }
    status
}

/// dqa's own code of a status, where it has one.
pub fn code(status: &Status) -> Option<&str> {
    status.metadata().get(CODE)?.to_str().ok()
}
