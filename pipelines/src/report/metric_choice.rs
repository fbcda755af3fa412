//! Chooses one metric of a run. Everything that is computed from a record is of one metric: two never meet in one column.

use super::error::ReportError;
use crate::metric::MetricSpec;
use crate::names::MetricName;
use crate::run::RunRecord;

/// Returns the record restricted to one metric: the named one, or else CLIP-DQA, or else the run's only metric.
///
/// # Errors
/// The run does not have the metric, or none is named and the run has several without CLIP-DQA.
pub fn select_metric(record: &RunRecord, name: Option<&MetricName>) -> Result<RunRecord, ReportError> {
    let metrics = record.metrics();
    let found = match (name, metrics.as_slice()) {
        (Some(name), _) => metrics.iter().find(|metric| metric.name == *name),
        (None, [only]) => Some(only),
        (None, _) => metrics.iter().find(|metric| metric.is_clip_dqa()),
    };
    found.map(|metric| record.for_metric(metric)).ok_or_else(|| unknown(record, name))
}

fn unknown(record: &RunRecord, name: Option<&MetricName>) -> ReportError {
    let run = record.name.to_string();
    let has = record.metrics().iter().map(|metric| metric.name.to_string()).collect();
    match name {
        Some(name) => ReportError::UnknownMetric { run, metric: name.to_string(), has },
        None => ReportError::SeveralMetrics { run, has },
    }
}

/// Returns the metric of a record that [`select_metric`] returned.
pub(super) fn only_metric(record: &RunRecord) -> MetricSpec {
    let [metric] = <[MetricSpec; 1]>::try_from(record.metrics()).expect("the record is restricted to one metric");
    metric
}

/// Returns whether texts name the metrics of a run: not if it has CLIP-DQA alone.
pub(super) fn are_named(record: &RunRecord) -> bool {
    record.metrics().iter().any(|metric| !metric.is_clip_dqa())
}

/// Returns the name and the direction of a metric, for titles.
pub(super) fn title(metric: &MetricSpec) -> String {
    format!("{} ({} is better)", metric.name, metric.direction)
}
