//! What an error can tell its handler beyond its message: whether another attempt may succeed, and what the user can do.

use std::error::Error;

/// An error that knows whether the same operation may succeed when it is attempted again.
pub trait Retryable: Error {
    /// Returns whether another attempt may succeed: a store or a network did not answer, or was busy. A clear answer (no such
    /// object, no permission) stays the same.
    fn is_retryable(&self) -> bool;
}

/// An error that knows what the user can do about it.
pub trait Hint: Error {
    /// Returns what the user can do, as the text after `hint: `. None if nothing is known.
    fn hint(&self) -> Option<String>;
}
