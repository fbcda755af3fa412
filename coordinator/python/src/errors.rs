//! Errors of Rust as Python's `dqa.Error`, with the causes and the hint that the programs print.

use dqa_pipelines::{Hint, causes};
use dqa_service::program::hint_of;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    dqa,
    Error,
    PyException,
    "Why something could not be done. `hint` says what to do about it, or is None."
);

/// Returns the exception of an error with its causes. Its hint is the one that a program would print.
pub(crate) fn raised(error: &anyhow::Error) -> PyErr {
    exception(causes(error.as_ref()).to_string(), hint_of(error))
}

/// Returns the exception of an error that knows its own hint.
pub(crate) fn raised_with_hint(error: &(impl Hint + 'static)) -> PyErr {
    exception(causes(error).to_string(), error.hint())
}

/// Returns an exception with a hint.
pub(crate) fn exception(message: String, hint: Option<String>) -> PyErr {
    Python::attach(|py| {
        let text = hint.as_ref().map_or(message.clone(), |hint| format!("{message}\nhint: {hint}"));
        let error = Error::new_err(text);
        let value = error.value(py);
        match value.setattr("message", message).and_then(|()| value.setattr("hint", hint)) {
            Ok(()) => error,
            Err(error) => error,
        }
    })
}
