//! Traits of errors: whether another attempt may succeed, and what the user can do.

use std::error::Error;

/// An error that knows whether the same operation may succeed when it is attempted again.
pub trait Retryable: Error {
    /// Returns whether another attempt may succeed, because a store or a network did not answer or was busy. A definite
    /// answer (the object does not exist, permission is denied) would stay the same.
    fn is_retryable(&self) -> bool;
}

/// An error that knows what the user can do about it.
pub trait Hint: Error {
    /// Returns what the user can do, as the text after `hint: `. None if nothing is known.
    fn hint(&self) -> Option<String>;
}
