//! CLIP-DQA in Candle: scores pictures, trains prompts or all of CLIP, and explains scores.
//!
//! [`ClipWeights`] and [`PromptMode`] make a [`Scorer`]. A picture ([`Rgb8`]) becomes [`Prepared`], and a [`Batcher`] turns
//! prepared pictures into scores. [`train::Trainer`] makes training steps; an [`Explainer`] shows where a model looks. The
//! crate reads no files but the model's, and has no network and no async code: those are the worker's.
//!
//! # Scoring
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use dqa_model::{Batcher, ClipConfig, ClipWeights, Options, Prepared, PromptMode, Rgb8, Scorer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A small model with random weights; `ClipWeights::open` reads a real one from a file or directory.
//! let config = r#"{
//!     "model_type": "clip", "projection_dim": 32,
//!     "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
//!     "text_config": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
//! }"#;
//! let weights = ClipWeights::initial(ClipConfig::parse(config, Path::new("config.json"))?, 1);
//! let scorer = Arc::new(Scorer::new(&weights, &PromptMode::Handcrafted, &Options::default())?);
//!
//! let mut batcher = Batcher::new(scorer.clone(), 16)?;
//! let picture = Rgb8::new(288, 224, vec![128; 288 * 224 * 3]);
//! batcher.push("grey.png", &Prepared::new(picture, scorer.views())?)?;
//! batcher.flush()?;
//! let (name, score) = batcher.pop().expect("one picture was pushed");
//! assert_eq!(name, "grey.png");
//! assert_eq!(score.windows.len(), 2, "224-pixel windows at stride 64");
//! assert!((0.0..=1.0).contains(&score.score));
//! # Ok(())
//! # }
//! ```
//!
//! # Training
//!
//! ```
//! # use std::path::Path;
//! # use std::sync::Arc;
//! use dqa_model::train::{Example, Trainer, TrainerOptions};
//! use dqa_model::{PromptInit, PromptMode, PromptShape, Prompts, Rgb8, Words};
//!
//! # use dqa_model::{ClipConfig, ClipWeights};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let config = r#"{
//! #     "model_type": "clip", "projection_dim": 32,
//! #     "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
//! #     "text_config": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
//! # }"#;
//! # let weights = ClipWeights::initial(ClipConfig::parse(config, Path::new("config.json"))?, 1);
//! let shape = PromptShape::paper(weights.config());
//! let prompts = Prompts::initial(&weights, shape, Words::default(), &PromptInit::Random, 1)?;
//! let mut trainer = Trainer::new(&weights, &PromptMode::Learned(prompts), &TrainerOptions::default())?;
//!
//! let view = Rgb8::new(224, 224, vec![128; 224 * 224 * 3]);
//! let example = Example { local: Some(view.clone()), whole: Some(Arc::new(view)), target: 0.9 };
//! let first = trainer.step(&[example.clone()], 1e-3)?;
//! let second = trainer.step(&[example], 1e-3)?;
//! assert!(second.loss < first.loss);
//! # Ok(())
//! # }
//! ```

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

/// Opens devices, describes them and measures them. Without the feature `cuda` there is only the CPU.
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
pub use picture::{
    FragmentCell, Fragments, INPUT_SIDE, Origin, Placement, Rgb8, ViewMode, Views, ViewsError, whole_view,
};
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
    VisionConfig, WeightsError, WeightsForm, header_bytes, is_torch, list_shards, parse_metadata, preferred_files,
    read_metadata, with_metadata,
};
