//! CLIP-DQA in Candle.

mod checkpoint;
pub mod config;
pub mod fingerprint;
mod mismatch;
pub mod tokens;
pub mod weights;

pub use checkpoint::CheckpointError;
pub use config::{ClipConfig, ConfigError, TextConfig, VisionConfig};
pub use fingerprint::{ALGORITHM_VERSION, Fingerprint, FingerprintError};
pub use mismatch::Mismatch;
pub use tokens::TokensError;
pub use weights::{ClipWeights, WeightsError};
