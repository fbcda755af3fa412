//! The reasons for which training fails.

use crate::ModelError;

/// Why training stops.
#[derive(Debug, thiserror::Error)]
pub enum TrainerError {
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// None of the parameters to train exists.
    #[error("nothing to train: {0}")]
    Nothing(String),
    /// The loss or a gradient is not finite.
    #[error("step {step}: {what} is not finite; a lower learning rate may help")]
    NotFinite {
        /// Counted from 1.
        step: u64,
        /// `the loss`, or the tensor's name.
        what: String,
    },
    /// The saved state belongs to another training.
    #[error("the saved state belongs to another training: {0}")]
    State(String),
}
