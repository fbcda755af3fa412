//! Conversions, in both directions, between the protocol's messages and the types and names that both programs use.

use dqa_pipelines::model_spec::{ModelFile, ModelSpec};
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_proto::v1::{self, DeviceClass, FailureKind};

/// Returns a device class's name in flags, records and metrics.
pub fn device_class_name(class: DeviceClass) -> &'static str {
    match class {
        DeviceClass::Unspecified => "any",
        DeviceClass::Cpu => "cpu",
        DeviceClass::Cuda => "cuda",
    }
}

/// Returns a failure kind's name in logs and metrics.
pub fn failure_kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unspecified | FailureKind::Internal => "internal",
        FailureKind::Store => "store",
        FailureKind::Device => "device",
        FailureKind::Model => "model",
        FailureKind::Stopped => "stopped",
        FailureKind::Deadline => "deadline",
        FailureKind::HandedBack => "handed_back",
        FailureKind::Worker => "worker",
        FailureKind::Unreadable => "unreadable",
        FailureKind::Task => "task",
    }
}

/// Returns the device class that a flag or a record names: `cpu`, `cuda`, or unspecified.
pub fn device_class_from_name(name: &str) -> DeviceClass {
    match name {
        "cpu" => DeviceClass::Cpu,
        "cuda" => DeviceClass::Cuda,
        _ => DeviceClass::Unspecified,
    }
}

/// Returns the file of a model that a message describes.
pub fn model_file_from_wire(file: v1::ModelFile) -> ModelFile {
    ModelFile { name: file.name, digest: file.digest, bytes: file.bytes }
}

/// Returns the message of a model's file.
pub fn model_file_to_wire(file: ModelFile) -> v1::ModelFile {
    v1::ModelFile { name: file.name, digest: file.digest, bytes: file.bytes }
}

/// Returns the model that a message describes.
pub fn model_from_wire(model: v1::Model) -> ModelSpec {
    ModelSpec {
        name: model.name,
        prompts_name: Some(model.prompts_name).filter(|name| !name.is_empty()),
        weights: model.weights.into_iter().map(model_file_from_wire).collect(),
        prompts: model.prompts.map(model_file_from_wire),
        views: model.views,
        dtype: model.dtype,
        fingerprint: model.fingerprint,
    }
}

/// Returns the message of a model.
pub fn model_to_wire(model: ModelSpec) -> v1::Model {
    v1::Model {
        name: model.name,
        prompts_name: model.prompts_name.unwrap_or_default(),
        weights: model.weights.into_iter().map(model_file_to_wire).collect(),
        prompts: model.prompts.map(model_file_to_wire),
        views: model.views,
        dtype: model.dtype,
        fingerprint: model.fingerprint,
    }
}

/// Returns the picture limits that a message describes.
pub fn limits_from_wire(limits: v1::PictureLimits) -> PictureLimits {
    PictureLimits { pixels_max: limits.pixels_max, side_max: limits.side_max, bytes_max: limits.bytes_max }
}

/// Returns the message of picture limits.
pub fn limits_to_wire(limits: PictureLimits) -> v1::PictureLimits {
    v1::PictureLimits { pixels_max: limits.pixels_max, side_max: limits.side_max, bytes_max: limits.bytes_max }
}
