//! Why a model cannot be built or run.

use thiserror::Error;

use crate::{PromptsError, TokensError, WeightsError};

/// Why a model cannot be built or run. Faults of a picture are not among them.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The checkpoint of CLIP cannot be read or does not fit.
    #[error("cannot read CLIP's weights")]
    Weights(#[from] WeightsError),
    /// The learned prompts cannot be read or do not fit.
    #[error("cannot read the prompts")]
    Prompts(#[from] PromptsError),
    /// The sentences cannot be tokenized.
    #[error("cannot make the sentences")]
    Tokens(#[from] TokensError),
    /// A tower has fewer than two layers. The shared first layer and the last layer, which serves the class token
    /// alone, must be two.
    #[error("a tower of {layers} layers: CLIP-DQA needs at least 2")]
    TooFewLayers {
        /// Layers of the shallower tower.
        layers: usize,
    },
    /// Memory is short, the device failed, or this crate has a bug.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}
