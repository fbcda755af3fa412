//! Adds to the errors that commands end with what they know about what to do.

use std::error::Error;

use dqa_pipelines::registry::RegistryError;
use dqa_pipelines::report::ReportError;
use dqa_pipelines::report::compare::CompareError;
use dqa_pipelines::run::RunRecordError;
use dqa_query::SqlError;
use dqa_service::program::with_hint;

use crate::run::{ClaimError, PrepareError};

/// An error that knows what the user can do about it.
pub(super) trait OwnHint: Error + Send + Sync + 'static {
    /// Returns what the user can do, if anything.
    fn own_hint(&self) -> Option<String>;
}

macro_rules! own_hint {
    ($($error:ty),+) => {
        $(impl OwnHint for $error {
            fn own_hint(&self) -> Option<String> {
                self.hint().map(Into::into)
            }
        })+
    };
}

own_hint!(ClaimError, PrepareError, RegistryError, ReportError, RunRecordError, SqlError);

impl OwnHint for CompareError {
    fn own_hint(&self) -> Option<String> {
        match self {
            CompareError::Report(error) => error.own_hint(),
            error => error.hint().map(Into::into),
        }
    }
}

#[cfg(feature = "cluster")]
own_hint!(dqa_service::net::NetError);

/// Adds what the user can do to an error that knows it.
pub(super) fn with_own_hint<E: OwnHint>(error: E) -> anyhow::Error {
    match error.own_hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}
