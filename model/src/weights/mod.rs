//! CLIP's weights: the forms in which files hold them, the configuration that fixes their shapes, and the complete set in memory.

pub(crate) mod checkpoint;
pub(crate) mod clip_config;
mod clip_weights;
mod error;
mod export;
mod file_names;
mod loader;
pub(crate) mod mismatch;
mod name_mapping;
mod open_clip_config;
mod random_init;
mod safetensors_metadata;
mod source;
pub(crate) mod stored_tensor;

pub use checkpoint::{CheckpointError, is_torch};
pub use clip_config::{Activation, ClipConfig, ConfigError, TextConfig, VisionConfig};
pub use clip_weights::{ClipWeights, WeightsForm};
pub use error::WeightsError;
pub use file_names::{PreferredFiles, preferred_files};
pub use mismatch::Mismatch;
pub use safetensors_metadata::{header_bytes, parse_metadata, read_metadata, with_metadata};
pub use source::list_shards;
