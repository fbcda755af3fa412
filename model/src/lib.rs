//! CLIP-DQA in Candle.

mod checkpoint;
pub mod config;
pub mod fingerprint;
mod mismatch;
pub mod prompts;
mod prompts_file;
pub mod tokens;
pub mod weights;

pub use checkpoint::CheckpointError;
pub use config::{ClipConfig, ConfigError, TextConfig, VisionConfig};
pub use fingerprint::{ALGORITHM_VERSION, Fingerprint, FingerprintError};
pub use mismatch::Mismatch;
pub use prompts::{PROMPT_LEN_MAX, PromptMode, Prompts};
pub use prompts_file::PromptsError;
pub use tokens::TokensError;
pub use weights::{ClipWeights, WeightsError};
