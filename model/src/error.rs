//! Why a model cannot be built or run.

use thiserror::Error;

use crate::{PromptsError, TokensError, WeightsError};

/// Why a model cannot be built or run. A picture's own faults are no part of it.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The checkpoint.
    #[error("cannot read CLIP's weights")]
    Weights(#[from] WeightsError),
    /// The learned prompts.
    #[error("cannot read the prompts")]
    Prompts(#[from] PromptsError),
    /// The sentences.
    #[error("cannot make the sentences")]
    Tokens(#[from] TokensError),
    /// The shared first layer and the last one, which is for the class token alone, are two.
    #[error("a tower of {layers} layers: CLIP-DQA needs at least 2")]
    TooFewLayers {
        /// Of the shallower tower.
        layers: usize,
    },
    /// Memory, the device, or a fault of ours.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}
