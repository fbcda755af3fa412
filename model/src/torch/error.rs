//! Why a file of PyTorch cannot be read.

/// Why a file of PyTorch cannot be read. Nothing of it changes by trying again.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The zip archive is not what PyTorch writes, or is damaged.
    #[error("{0}")]
    Archive(String),
    /// The pickle is damaged, or no pickle.
    #[error("its pickle is damaged at byte {at}: {why}")]
    Pickle {
        /// Bytes before the fault.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// More than any checkpoint has.
    #[error("it is over a limit: {0}")]
    Limit(String),
    /// Written on a machine with another order of bytes.
    #[error("it was written on a big-endian machine; load it there and save it as safetensors")]
    BigEndian,
    /// A tensor's values are not there.
    #[error("the values of `{name}` cannot be read: {why}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
}
