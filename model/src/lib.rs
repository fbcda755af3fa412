//! CLIP-DQA in Candle: weights, prompts, views, towers and scores.
//!
//! [`ClipWeights`] and [`PromptMode`] make a [`Scorer`]; a picture ([`Rgb8`]) becomes [`Prepared`]; a [`Batcher`] turns
//! prepared pictures into scores. No files but the model's, no network, no async: those are the worker's.

mod arithmetic;
mod backend;
mod batcher;
mod checkpoint;
mod config;
mod cpu;
mod dense;
pub mod device;
mod error;
mod explain;
mod files;
mod fingerprint;
mod initial;
mod kernels;
mod layers;
mod metadata;
mod mismatch;
mod names;
mod open_clip;
mod patches;
mod picture;
mod prompts;
mod prompts_file;
mod prompts_init;
mod resize;
mod saved;
mod score;
mod text;
pub mod tokens;
mod torch;
pub mod train;
mod views;
mod visual;
mod weights;

pub use arithmetic::Arithmetic;
pub use batcher::Batcher;
pub use checkpoint::CheckpointError;
pub use config::{Activation, ClipConfig, ConfigError, TextConfig, VisionConfig};
pub use cpu::Isa;
use device::is_out_of_memory;
pub use error::ModelError;
pub use explain::{Attention, Explained, Explainer, WindowLook};
pub use files::{PreferredFiles, preferred_files, shards_of};
pub use fingerprint::{ALGORITHM_VERSION, Fingerprint, FingerprintError};
pub use metadata::{header_bytes, parse_metadata, read_metadata, with_metadata};
pub use mismatch::Mismatch;
pub use picture::Rgb8;
pub use prompts::{PROMPT_LEN_MAX, PromptMode, PromptShape, Prompts};
pub use prompts_file::PromptsError;
pub use prompts_init::PromptInit;
pub use resize::whole_view;
pub use score::{Operations, Options, PictureScore, Prepared, Scorer, TooSmall, fingerprint_of};
pub use tokens::{TokensError, Words};
pub use torch::TorchError;
pub use views::{INPUT_SIDE, Origin, Placement, ViewMode, Views, ViewsError};
pub use weights::{ClipWeights, WeightsError, WeightsForm, weight_files};
