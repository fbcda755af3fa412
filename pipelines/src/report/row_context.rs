//! The columns that are equal in all report rows of one metric on one data set.

use crate::metric::MetricSpec;
use crate::names::{DatasetName, RunName};
use crate::run::RunRecord;

/// The run, metric and data set of a report's rows.
pub(super) struct RowContext<'a> {
    pub(super) run: &'a RunName,
    pub(super) metric: &'a MetricSpec,
    pub(super) dataset: &'a DatasetName,
}

impl<'a> RowContext<'a> {
    pub(super) fn new(record: &'a RunRecord, metric: &'a MetricSpec, dataset: &'a DatasetName) -> RowContext<'a> {
        RowContext { run: &record.name, metric, dataset }
    }
}
