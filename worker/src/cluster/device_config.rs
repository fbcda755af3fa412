//! A device of a node, as its models and trainings use it.

use candle_core::Device;
use dqa_engine::inference::InferenceSettings;

/// A device with its settings.
pub struct DeviceConfig {
    /// The device.
    pub device: Device,
    /// The device's label.
    pub label: String,
    /// Settings of inference for each shard on the device.
    pub settings: InferenceSettings,
    /// Bytes of decoded pictures that trainings on the device keep from one epoch to the next.
    pub kept_bytes_max: u64,
}
