//! Between the protocol's messages and what they mean here.

use dqa_pipelines::limits::PictureLimits;
use dqa_pipelines::model::{ModelFile, ModelSpec};
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::status::RunStatus;
use dqa_proto::v1::{self, DeviceClass};

pub(super) fn state(state: RunState) -> v1::RunState {
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

pub(super) fn class(name: &str) -> DeviceClass {
    match name {
        "cpu" => DeviceClass::Cpu,
        "cuda" => DeviceClass::Cuda,
        _ => DeviceClass::Unspecified,
    }
}

pub(super) fn file(file: v1::ModelFile) -> ModelFile {
    ModelFile { name: file.name, digest: file.digest, bytes: file.bytes }
}

pub(super) fn model(model: v1::Model) -> ModelSpec {
    ModelSpec {
        name: model.name,
        prompts_name: Some(model.prompts_name).filter(|name| !name.is_empty()),
        weights: model.weights.into_iter().map(file).collect(),
        prompts: model.prompts.map(file),
        views: model.views,
        dtype: model.dtype,
        fingerprint: model.fingerprint,
    }
}

pub(super) fn limits(limits: v1::PictureLimits) -> PictureLimits {
    PictureLimits { pixels_max: limits.pixels_max, side_max: limits.side_max, bytes_max: limits.bytes_max }
}

/// A run as it stands by what is in the store.
pub(super) fn stored_run(status: &RunStatus) -> v1::Run {
    let progress = status.progress;
    v1::Run {
        state: state(status.state).into(),
        hint: status.hint().unwrap_or_default(),
        conductor: status.conductor.as_ref().map(ToString::to_string).unwrap_or_default(),
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
        ..run(&status.record)
    }
}

/// What a run's record says, without how far the run is.
pub(super) fn run(record: &RunRecord) -> v1::Run {
    let request = record.request.as_ref();
    let limits = record.spec.limits;
    v1::Run {
        name: record.name.to_string(),
        state: state(record.state).into(),
        failure: record.failure.clone().unwrap_or_default(),
        fingerprint: record.fingerprint.clone(),
        device: request.map_or(DeviceClass::Unspecified, |request| class(&request.device)).into(),
        priority: request.map_or(0, |request| request.priority),
        created: record.created.to_string(),
        updated: record.updated.to_string(),
        hint: record.hint.clone().unwrap_or_default(),
        training_leaks: record.spec.training_leaks(),
        limits: Some(v1::PictureLimits {
            pixels_max: limits.pixels_max,
            side_max: limits.side_max,
            bytes_max: limits.bytes_max,
        }),
        spec: Some(spec(record)),
        ..v1::Run::default()
    }
}

fn spec(record: &RunRecord) -> v1::RunSpec {
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
    }
}
