//! Conversions between the protocol's messages and the names that flags, records, logs and metrics use.

use dqa_proto::v1::{DeviceClass, FailureKind};

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
    }
}
