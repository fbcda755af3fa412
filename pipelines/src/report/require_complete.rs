//! Refuses runs that are not complete: a report of some of the pictures would look like a report of all of them.

use super::error::ReportError;
use crate::run::{RunRecord, RunState};
use crate::status::RunStatus;
use crate::store::Store;

/// Returns an error if a run is not complete. The error says how far the first such run is and what the user can do.
///
/// # Errors
/// A run is not complete, or the store fails.
pub async fn require_complete(store: &Store, records: &[RunRecord]) -> Result<(), ReportError> {
    let Some(record) = records.iter().find(|record| record.state != RunState::Complete) else {
        return Ok(());
    };
    let status = RunStatus::read(store, record.clone()).await?;
    let (extent, advice) = (Some(status.progress.text()), status.advice());
    Err(ReportError::Unfinished { run: record.name.to_string(), state: status.state, extent, advice })
}

/// Checks the same as [`require_complete`] without reading the store, so its error does not say how far the run is.
///
/// # Errors
/// The record says that the run is not complete.
pub fn check_complete(record: &RunRecord) -> Result<(), ReportError> {
    if record.state == RunState::Complete {
        return Ok(());
    }
    let (run, state) = (record.name.to_string(), record.state);
    Err(ReportError::Unfinished { run, state, extent: None, advice: None })
}
