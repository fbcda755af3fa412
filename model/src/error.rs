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
    /// Prompts end before the layers do: their outputs would go on through the later layers, which is another model.
    #[error(
        "the prompts are {depth} layers deep and the deeper tower has {layers}: they must reach all layers of both"
    )]
    PromptDepth {
        /// Of the prompts.
        depth: usize,
        /// Of the deeper tower.
        layers: usize,
    },
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
