//! Conversions between this program's types and the messages of the protocol.

use anyhow::{anyhow, bail};
use dqa_pipelines::report::ReportTable;
use dqa_proto::v1;
use dqa_query::distributed::{GroupAgreement, GroupKind};
use dqa_service::program::with_hint;

use crate::cli::output::json_text;
use crate::cli::report::ReportArgs;
use crate::cli::result_format::ResultFormat;
use crate::cli::run_summary::RunSummary;

/// Returns the class of the device that a `--device` flag names.
pub(in crate::cli) fn device_class(device: &str) -> anyhow::Result<v1::DeviceClass> {
    match device.split(':').next() {
        Some("cpu") => Ok(v1::DeviceClass::Cpu),
        Some("cuda") => Ok(v1::DeviceClass::Cuda),
        _ => Err(with_hint(anyhow!("unknown device class `{device}`"), "--device takes cpu or cuda")),
    }
}

/// Returns the message of a report's table.
pub(in crate::cli) fn table_to_wire(table: ReportTable) -> v1::Table {
    match table {
        ReportTable::Correlations => v1::Table::Correlations,
        ReportTable::Leaderboard => v1::Table::Leaderboard,
        ReportTable::Comparisons => v1::Table::Comparisons,
        ReportTable::CrossDataset => v1::Table::CrossDataset,
        ReportTable::Metrics => v1::Table::Metrics,
        ReportTable::MetricDifferences => v1::Table::MetricDifferences,
        ReportTable::MetricMatrix => v1::Table::MetricMatrix,
        ReportTable::MetricRanks => v1::Table::MetricRanks,
        ReportTable::MetricDisagreements => v1::Table::MetricDisagreements,
    }
}

/// Returns the message of a format of results.
pub(in crate::cli) fn table_format(format: ResultFormat) -> v1::TableFormat {
    match format {
        ResultFormat::Table => v1::TableFormat::Text,
        ResultFormat::Json => v1::TableFormat::Json,
        ResultFormat::Csv => v1::TableFormat::Csv,
        ResultFormat::Markdown => v1::TableFormat::Markdown,
        ResultFormat::Latex => v1::TableFormat::Latex,
    }
}

/// Returns the request for a report of a run as text. Without tables the coordinator answers with those that a run ends
/// with.
pub(in crate::cli) fn report_request(run: String, tables: &[v1::Table], report: &ReportArgs) -> v1::GetReportRequest {
    v1::GetReportRequest {
        name: run,
        tables: tables.iter().map(|table| i32::from(*table)).collect(),
        format: table_format(report.result.format).into(),
        options: json_text(&report.options()),
        wide: report.result.wide,
        ..v1::GetReportRequest::default()
    }
}

/// Reads the agreement of a group's scores with labels from an answer.
pub(in crate::cli) fn group_agreement(group: v1::GroupAgreement) -> anyhow::Result<GroupAgreement> {
    let group_kind = match group.group_kind() {
        v1::GroupKind::All => GroupKind::All,
        v1::GroupKind::Algorithm => GroupKind::Algorithm,
        v1::GroupKind::SceneGroup => GroupKind::SceneGroup,
        v1::GroupKind::Unspecified => bail!("the coordinator's answer has a group of an unknown kind"),
    };
    Ok(GroupAgreement {
        dataset: group.dataset,
        group_kind,
        group_name: group.group_name,
        pictures: group.pictures,
        failed: group.failed,
        unlabelled: group.unlabelled,
        n: group.n,
        srcc: group.srcc,
        plcc: group.plcc,
    })
}

/// Returns the name of a run's state, such as `running`.
pub(super) fn state_name(run: &v1::Run) -> String {
    run.state().as_str_name().trim_start_matches("RUN_STATE_").to_lowercase()
}

/// Estimates how long a run takes from now on, by the speed of the last minute. None unless it is being scored: a paused
/// run has windows in its last minute too, and nobody knows when it ends.
pub(super) fn seconds_left(run: &v1::Run) -> Option<u64> {
    let progress = run.progress.unwrap_or_default();
    let is_scored = run.state() == v1::RunState::Running && progress.windows_per_second > 0.0;
    let windows_left = progress.windows.saturating_sub(progress.windows_done);
    is_scored.then(|| (windows_left as f64 / progress.windows_per_second).round() as u64)
}

/// Summarizes a run of a coordinator.
pub(in crate::cli) fn run_summary(run: &v1::Run) -> RunSummary {
    let (spec, progress) = (run.spec.clone().unwrap_or_default(), run.progress.unwrap_or_default());
    let non_empty = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    RunSummary {
        run: run.name.clone(),
        state: state_name(run),
        failure: non_empty(&run.failure),
        activity: non_empty(&run.activities.join("; ")),
        conductor: non_empty(&run.conductor),
        hint: non_empty(&run.hint),
        created: run.created.clone(),
        updated: run.updated.clone(),
        fingerprint: run.fingerprint.clone(),
        datasets: spec.datasets.join(","),
        algorithms: spec.algorithms.join(","),
        metrics: spec.metrics.join(","),
        model: spec.model,
        prompts: spec.prompts,
        views: spec.views,
        dtype: spec.dtype,
        device: spec.device,
        remark: spec.remark,
        priority: spec.priority,
        trains: run.is_training,
        shards: progress.shards,
        shards_done: progress.shards_done,
        shards_running: Some(progress.shards_running),
        shards_retrying: Some(progress.shards_retrying),
        shards_quarantined: Some(progress.shards_quarantined),
        windows: progress.windows,
        windows_done: progress.windows_done,
        pictures: progress.pictures,
        pictures_done: progress.pictures_done,
        pictures_failed: progress.pictures_failed,
        windows_per_second: Some(progress.windows_per_second),
        seconds_left: seconds_left(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_is_being_scored_has_time_left() {
        let run = |state: v1::RunState, windows_per_second| v1::Run {
            state: state.into(),
            progress: Some(v1::RunProgress {
                windows: 100,
                windows_done: 40,
                windows_per_second,
                ..Default::default()
            }),
            ..v1::Run::default()
        };
        assert_eq!(run_summary(&run(v1::RunState::Running, 2.0)).seconds_left, Some(30));
        assert_eq!(run_summary(&run(v1::RunState::Running, 0.0)).seconds_left, None, "it waits for workers");
        for state in [v1::RunState::Paused, v1::RunState::Cancelled, v1::RunState::Planning] {
            assert_eq!(run_summary(&run(state, 2.0)).seconds_left, None, "{state:?}");
        }
    }
}
