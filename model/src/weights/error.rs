//! Why a model's weights cannot be taken from a file, a directory or memory.

use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::clip_config::ConfigError;
use super::file_names::{CONFIG, OPEN_CLIP_CONFIG};
use super::mismatch::Mismatch;

/// Why a directory or file does not give a model's weights. [`WeightsError::is_retryable`] tells whether another try may
/// succeed.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The path does not exist.
    #[error(
        "there is no file or directory `{}`: a model is a directory with `{CONFIG}` and `model.safetensors`, or another \
         checkpoint of CLIP",
        path.display()
    )]
    Absent {
        /// The path as given.
        path: PathBuf,
    },
    /// The directory has no weights.
    #[error(
        "`{}` has no weights of CLIP: neither `model.safetensors`, `pytorch_model.bin`, `open_clip_model.safetensors` nor a \
         single checkpoint of another name",
        dir.display()
    )]
    NoWeights {
        /// The path as given.
        dir: PathBuf,
    },
    /// The directory has several files of tensors, none under a usual name.
    #[error("`{}` has more than one checkpoint, {files}: give the path of the one that is meant", dir.display())]
    SeveralFiles {
        /// The path as given.
        dir: PathBuf,
        /// The first of the files' names.
        files: String,
    },
    /// The configuration is missing beside the weights.
    #[error("`{config}` is missing beside `{}`: it says what model these weights are of", weights.display())]
    NoConfig {
        /// The file of weights.
        weights: PathBuf,
        /// The configuration's name.
        config: &'static str,
    },
    /// The model's activation is unknown.
    #[error(
        "it is unknown whether the model in `{}` has GELU or quick-GELU: put its `{OPEN_CLIP_CONFIG}` beside it, or, for a \
         fine-tuned model of OpenAI, a file of this name with {{\"model_cfg\": {{\"quick_gelu\": true}}}}",
        weights.display()
    )]
    NoActivation {
        /// The file of weights.
        weights: PathBuf,
    },
    /// The configuration describes a model that dqa does not run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tensors belong to a model that dqa does not run, or to something else.
    #[error("the model in {origin} cannot be run: {why}")]
    NotRun {
        /// The file or directory.
        origin: String,
        /// The reason.
        why: String,
    },
    /// A file of weights cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tensors do not match the model that the configuration describes.
    #[error("the weights in {origin} are not those of the model that its configuration describes")]
    Tensors {
        /// The file or directory, or `memory`.
        origin: String,
        /// The differences.
        source: Mismatch,
    },
    /// A buffer of positions does not hold 0, 1, 2, ...
    #[error("`{name}` in {origin} is not 0, 1, ... {last}: this model reads its positions in another order")]
    Positions {
        /// The file or directory, or `memory`.
        origin: String,
        /// The buffer's name.
        name: String,
        /// The last position.
        last: usize,
    },
    /// Candle failed on a tensor.
    #[error("cannot read the tensor `{name}`")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// Candle's error.
        source: candle_core::Error,
    },
}

impl WeightsError {
    /// Returns whether another try may succeed: only if the system failed to read a file that exists.
    pub fn is_retryable(&self) -> bool {
        matches!(self, WeightsError::Checkpoint(error) if error.is_retryable())
    }
}
