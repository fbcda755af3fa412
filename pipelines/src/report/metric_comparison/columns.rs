//! Which metrics are compared: those of the report's own run, then those of other runs that it does not have.

use crate::metric::MetricSpec;
use crate::report::combine_runs::dataset_differences;
use crate::report::error::ReportError;
use crate::run::RunRecord;

/// A metric of a run.
#[derive(Clone, Debug)]
pub(super) struct MetricColumn {
    /// The metric's name. If a column before it has the same name, `name@run`.
    pub(super) label: String,
    pub(super) metric: MetricSpec,
    /// The run's record, restricted to the metric.
    pub(super) record: RunRecord,
    /// The index of the run's report.
    pub(super) report: usize,
}

/// Returns the metrics of all runs. A metric whose name and fingerprint a run before it has is left out.
///
/// # Errors
/// A data set has another source than in the first run.
pub(super) fn metric_columns(records: &[&RunRecord]) -> Result<Vec<MetricColumn>, ReportError> {
    let mut columns: Vec<MetricColumn> = Vec::new();
    for (report, record) in records.iter().enumerate() {
        check_sources(records[0], record)?;
        for metric in record.metrics() {
            if columns.iter().any(|known| known.metric == metric) {
                continue;
            }
            let is_taken = columns.iter().any(|known| known.metric.name == metric.name);
            let label = if is_taken { format!("{}@{}", metric.name, record.name) } else { metric.name.to_string() };
            columns.push(MetricColumn { label, record: record.for_metric(&metric), metric, report });
        }
    }
    Ok(columns)
}

fn check_sources(first: &RunRecord, second: &RunRecord) -> Result<(), ReportError> {
    let differences = second.spec.datasets.iter().flat_map(|dataset| {
        let own = first.spec.datasets.iter().find(|own| own.name == dataset.name);
        own.map_or_else(Vec::new, |own| dataset_differences(own, dataset))
    });
    let differences: Vec<String> = differences.collect();
    if differences.is_empty() {
        return Ok(());
    }
    let (first, second) = (first.name.to_string(), second.name.to_string());
    Err(ReportError::IncomparableRuns { first, second, differences })
}
