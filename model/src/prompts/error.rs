//! Why a file or a set of tensors gives no prompts.

use super::shape::PROMPT_LEN_MAX;
use super::tokens::TokensError;
use crate::weights::checkpoint::CheckpointError;
use crate::weights::mismatch::Mismatch;

/// The metadata key of the words in a safetensors file.
pub(super) const WORDS_KEY: &str = "dqa.words";

/// Why a file or a set of tensors gives no prompts. [`PromptsError::is_retryable`] tells whether another try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum PromptsError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No tensor is a prompt.
    #[error("{origin} holds no prompts, which are called `prompts_text.0` and the like: {found}")]
    NoPrompts {
        /// The file, or `memory`.
        origin: String,
        /// What the file holds, or where prompts were looked for.
        found: String,
    },
    /// There are several sets of prompts.
    #[error("{origin} holds more than one set of prompts, under {prefixes}: keep one")]
    Several {
        /// The file, or `memory`.
        origin: String,
        /// The prefixes of their names.
        prefixes: String,
    },
    /// A tower has fewer layers than its prompts.
    #[error("{origin} has `{kind}` for {depth} layers, but the model has only {layers} there")]
    Depth {
        /// The file, or `memory`.
        origin: String,
        /// `prompts_text` or `prompts_vis`.
        kind: &'static str,
        /// Layers with prompts.
        depth: usize,
        /// Layers of the tower.
        layers: usize,
    },
    /// The depth is 0 in both towers.
    #[error("{origin} has prompts in no layer: the depth in one of the towers must be 1 or more")]
    NoLayer {
        /// The file, or `memory`.
        origin: String,
    },
    /// A layer has no prompt, or more than fit.
    #[error("{origin} has {length} prompts in a layer of `{kind}`; there may be 1 to {PROMPT_LEN_MAX}")]
    Length {
        /// The file, or `memory`.
        origin: String,
        /// `prompts_text` or `prompts_vis`.
        kind: &'static str,
        /// Prompts in a layer.
        length: usize,
    },
    /// The words after the text prompts do not make a sentence.
    #[error("the words in {origin} cannot be used")]
    Words {
        /// The file, or `memory`.
        origin: String,
        /// The reason.
        source: TokensError,
    },
    /// The words in a file's metadata have an invalid form.
    #[error(
        "`{WORDS_KEY}` in the metadata of {origin} is not of the form {{\"bad\": \"bad photo.\", \"good\": \"good photo.\"}}"
    )]
    WordsForm {
        /// The file.
        origin: String,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The tensors are not a complete set for the model.
    #[error("the prompts in {origin} are not a complete set for this model")]
    Tensors {
        /// The file, or `memory`.
        origin: String,
        /// The differences.
        source: Mismatch,
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

impl PromptsError {
    /// Returns whether another try may succeed: only if the system failed to read a file that exists.
    pub fn is_retryable(&self) -> bool {
        matches!(self, PromptsError::Checkpoint(error) if error.is_retryable())
    }
}
