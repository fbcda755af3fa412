//! Why a file of PyTorch cannot be read.

/// Why a file of PyTorch cannot be read. Trying again gives the same error.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The zip archive is not what PyTorch writes, or is damaged.
    #[error("{0}")]
    Archive(String),
    /// The pickle is damaged, or is not a pickle.
    #[error("its pickle is damaged at byte {position}: {why}")]
    Pickle {
        /// The position of the fault in bytes.
        position: usize,
        /// The fault.
        why: &'static str,
    },
    /// The file exceeds a limit that no real checkpoint reaches.
    #[error("it is over a limit: {0}")]
    Limit(String),
    /// The file was written on a big-endian machine.
    #[error("it was written on a big-endian machine; load it there and save it as safetensors")]
    BigEndian,
    /// The values of a tensor are missing.
    #[error("the values of `{name}` cannot be read: {why}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// The fault.
        why: String,
    },
}
