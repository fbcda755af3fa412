//! CLIP-DQA in Candle.

pub mod config;
pub mod tokens;

pub use config::{ClipConfig, ConfigError, TextConfig, VisionConfig};
pub use tokens::TokensError;
