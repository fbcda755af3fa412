//! Why a file or a set of tensors gives no prompts.

use super::shape::PROMPT_LEN_MAX;
use super::tokens::TokensError;
use crate::weights::checkpoint::CheckpointError;
use crate::weights::mismatch::Mismatch;

/// Where a safetensors file's metadata has the words.
pub(super) const WORDS_KEY: &str = "dqa.words";

/// Why a file or a set of tensors gives no prompts. [`PromptsError::retry`] says whether another try may help.
#[derive(Debug, thiserror::Error)]
pub enum PromptsError {
    /// The file cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Nothing in there is a prompt.
    #[error("{origin} holds no prompts, which are called `prompts_text.0` and the like: {looked}")]
    NoPrompts {
        /// The file, or `memory`.
        origin: String,
        /// What is there, or where prompts were looked for.
        looked: String,
    },
    /// There are several sets of prompts.
    #[error("{origin} holds more than one set of prompts, under {prefixes}: keep one")]
    Several {
        /// The file, or `memory`.
        origin: String,
        /// What their names begin with.
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
    /// A depth of 0 in both towers.
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
    /// The words after the text prompts are no sentence.
    #[error("the words in {origin} cannot be used")]
    Words {
        /// The file, or `memory`.
        origin: String,
        /// Why.
        source: TokensError,
    },
    /// The words in a file's metadata are written in another way.
    #[error(
        "`{WORDS_KEY}` in the metadata of {origin} is not of the form {{\"bad\": \"bad photo.\", \"good\": \"good photo.\"}}"
    )]
    WordsForm {
        /// The file.
        origin: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The tensors are not a complete set for the model.
    #[error("the prompts in {origin} are not a complete set for this model")]
    Tensors {
        /// The file, or `memory`.
        origin: String,
        /// Which and how.
        source: Mismatch,
    },
    /// Candle failed on a tensor.
    #[error("cannot take the tensor `{name}`")]
    Tensor {
        /// Its name.
        name: String,
        /// What Candle said.
        source: candle_core::Error,
    },
}

impl PromptsError {
    /// Whether another try may help: only when the system failed to read a file that is there.
    pub fn retry(&self) -> bool {
        matches!(self, PromptsError::Checkpoint(error) if error.retry())
    }
}
