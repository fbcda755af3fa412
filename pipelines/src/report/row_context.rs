//! The columns that are equal in all report rows of one data set.

use crate::names::{DatasetName, RunName};
use crate::run::RunRecord;

/// The run, model and data set of a report's rows.
pub(super) struct RowContext<'a> {
    pub(super) run: &'a RunName,
    pub(super) fingerprint: &'a str,
    pub(super) dataset: &'a DatasetName,
}

impl<'a> RowContext<'a> {
    pub(super) fn new(record: &'a RunRecord, dataset: &'a DatasetName) -> RowContext<'a> {
        RowContext { run: &record.name, fingerprint: &record.fingerprint, dataset }
    }
}
