//! Conversions between the protocol's messages and the coordinator's own types.

use dqa_pipelines::report::ReportTable;
use dqa_pipelines::result_page::{TableForm, TableStyle};
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::status::RunStatus;
use dqa_proto::v1::{self, DeviceClass};
use dqa_query::distributed::{GroupAgreement, GroupKind};
use dqa_service::wire::{device_class_from_name, limits_to_wire};

use super::scheduler::{Time, Worker};

/// Returns the report table of a message, or `None` for an unspecified one.
pub(super) fn table_from_wire(table: v1::Table) -> Option<ReportTable> {
    match table {
        v1::Table::Correlations => Some(ReportTable::Correlations),
        v1::Table::Leaderboard => Some(ReportTable::Leaderboard),
        v1::Table::Comparisons => Some(ReportTable::Comparisons),
        v1::Table::CrossDataset => Some(ReportTable::CrossDataset),
        v1::Table::Metrics => Some(ReportTable::Metrics),
        v1::Table::MetricDifferences => Some(ReportTable::MetricDifferences),
        v1::Table::MetricMatrix => Some(ReportTable::MetricMatrix),
        v1::Table::MetricRanks => Some(ReportTable::MetricRanks),
        v1::Table::MetricDisagreements => Some(ReportTable::MetricDisagreements),
        v1::Table::Unspecified => None,
    }
}

/// Returns the style of the tables that a request asks for. None for JSON and CSV.
pub(super) fn table_style(request: &v1::GetReportRequest) -> Option<TableStyle> {
    let form = match request.format() {
        v1::TableFormat::Json | v1::TableFormat::Csv => return None,
        v1::TableFormat::Text | v1::TableFormat::Unspecified => TableForm::Text,
        v1::TableFormat::Markdown => TableForm::Markdown,
        v1::TableFormat::Latex => TableForm::Latex,
    };
    Some(TableStyle { form, is_wide: request.wide, ..TableStyle::default() })
}

pub(super) fn agreement_to_wire(group: GroupAgreement) -> v1::GroupAgreement {
    let kind = match group.group_kind {
        GroupKind::All => v1::GroupKind::All,
        GroupKind::Algorithm => v1::GroupKind::Algorithm,
        GroupKind::SceneGroup => v1::GroupKind::SceneGroup,
    };
    v1::GroupAgreement {
        dataset: group.dataset,
        group_kind: kind.into(),
        group_name: group.group_name,
        pictures: group.pictures,
        failed: group.failed,
        unlabelled: group.unlabelled,
        n: group.n,
        srcc: group.srcc,
        plcc: group.plcc,
    }
}

/// Returns a worker's message. `to_timestamp` converts a duration before now to a timestamp.
pub(super) fn worker_to_wire(worker: &Worker, now: Time, to_timestamp: impl Fn(Time) -> String) -> v1::Worker {
    let registration = &worker.registration;
    let silence = now.saturating_sub(worker.last_seen);
    v1::Worker {
        id: registration.id.clone(),
        host: registration.host.clone(),
        program_version: registration.program_version.clone(),
        device: registration.device,
        devices: registration.devices.clone(),
        slots: registration.slots,
        draining: worker.is_draining,
        since: to_timestamp(now.saturating_sub(worker.registered)),
        silent_millis: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
        running: worker.running.clone(),
        totals: Some(worker.totals),
    }
}

fn run_state_to_wire(state: RunState) -> v1::RunState {
    match state {
        RunState::Planning => v1::RunState::Planning,
        RunState::Running => v1::RunState::Running,
        RunState::Paused => v1::RunState::Paused,
        RunState::Complete => v1::RunState::Complete,
        RunState::Cancelled => v1::RunState::Cancelled,
        RunState::Failed => v1::RunState::Failed,
        RunState::Interrupted => v1::RunState::Interrupted,
    }
}

/// Returns a run with its progress by what is in the store.
pub(super) fn run_from_status(status: &RunStatus) -> v1::Run {
    let progress = status.progress;
    v1::Run {
        state: run_state_to_wire(status.state).into(),
        hint: status.hint().unwrap_or_default(),
        conductor: status.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        progress: Some(v1::RunProgress {
            shards: progress.parts,
            shards_done: progress.parts_done,
            windows: progress.windows,
            windows_done: progress.windows_done,
            pictures: progress.pictures,
            pictures_done: progress.pictures_done(),
            pictures_failed: progress.failed,
            ..v1::RunProgress::default()
        }),
        ..run_from_record(&status.record)
    }
}

/// Returns a run without its progress.
pub(super) fn run_from_record(record: &RunRecord) -> v1::Run {
    let request = record.request.as_ref();
    v1::Run {
        name: record.name.to_string(),
        state: run_state_to_wire(record.state).into(),
        failure: record.failure.clone().unwrap_or_default(),
        fingerprint: record.fingerprint.clone(),
        device: request.map_or(DeviceClass::Unspecified, |request| device_class_from_name(&request.device)).into(),
        priority: request.map_or(0, |request| request.priority),
        created: record.created.to_string(),
        updated: record.updated.to_string(),
        hint: record.hint.clone().unwrap_or_default(),
        training_leaks: record.spec.training_leaks(),
        limits: Some(limits_to_wire(record.spec.limits)),
        spec: Some(run_spec(record)),
        is_training: record.is_training(),
        ..v1::Run::default()
    }
}

fn run_spec(record: &RunRecord) -> v1::RunSpec {
    let spec = &record.spec;
    v1::RunSpec {
        datasets: spec.datasets.iter().map(|dataset| dataset.name.to_string()).collect(),
        model: spec.model.clone(),
        prompts: spec.prompts.clone(),
        views: spec.views.clone(),
        dtype: spec.dtype.clone(),
        device: spec.device.clone(),
        remark: spec.remark.clone(),
        priority: record.request.as_ref().map(|request| request.priority),
        metrics: record.metrics().iter().map(|metric| metric.name.to_string()).collect(),
        algorithms: record.algorithms().into_iter().map(str::to_owned).collect(),
    }
}
