//! CLIP-DQA in Candle: weights, prompts, views, towers and scores.
//!
//! [`ClipWeights`] and [`PromptMode`] make a [`Scorer`]; a picture ([`Rgb8`]) becomes [`Prepared`]; a [`Batcher`] turns
//! prepared pictures into scores. No files but the model's, no network, no async: those are the worker's.

mod arithmetic;
mod cpu;
mod error;
mod fingerprint;
mod gpu;
mod picture;
mod prompts;
mod score;
mod torch;
mod tower;
pub mod train;
mod weights;

/// Devices: how one is opened, what it is called, and what is measured on it. Without CUDA there is the CPU alone.
pub mod device {
    #[cfg(feature = "cuda")]
    pub use crate::gpu::cuda::measure::{Ceilings, Profile, ceilings, kernel_checks, profile};
    pub use crate::gpu::device::{DeviceUnavailable, description, open_cuda};
    #[cfg(any(test, feature = "cuda"))]
    pub use crate::gpu::kernel_checks::KernelCheck;
}

pub use arithmetic::Arithmetic;
pub use cpu::Isa;
pub use error::ModelError;
pub use fingerprint::{ALGORITHM_VERSION, Fingerprint, FingerprintError};
pub use picture::{INPUT_SIDE, Origin, Placement, Rgb8, ViewMode, Views, ViewsError, whole_view};
pub use prompts::{
    PROMPT_LEN_MAX, PromptInit, PromptMode, PromptShape, Prompts, PromptsError, TokensError, Words, tokens,
};
pub use score::{
    AttentionMap, Batcher, Explainer, Explanation, KernelSet, Options, PictureScore, PictureTooSmall, Prepared, Scorer,
    WindowAttention, model_fingerprint,
};
pub use torch::TorchError;
pub use weights::{
    Activation, CheckpointError, ClipConfig, ClipWeights, ConfigError, Mismatch, PreferredFiles, TextConfig,
    VisionConfig, WeightsError, WeightsForm, header_bytes, list_shards, parse_metadata, preferred_files, read_metadata,
    weight_files, with_metadata,
};
