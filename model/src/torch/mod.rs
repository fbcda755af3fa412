//! Reads PyTorch's files without PyTorch: finds the dictionaries of tensors in a `torch.save` file or a TorchScript
//! archive.
//!
//! A file is data and never a program: its pickle's opcodes make values, and nothing that it names is called. Work and
//! memory are bounded by the file's length and by limits on its opcodes, depth and names, and never by a number that
//! the file states. It does not know which tensors a model needs.

mod archive;
mod dictionaries;
mod error;
mod legacy;
mod pickle_calls;
mod pickle_vm;
mod tensor_rebuild;
mod tensor_ref;
#[cfg(test)]
mod tests;
mod torch_file;
mod value;

pub(crate) use dictionaries::Dictionary;
pub use error::TorchError;
pub(crate) use torch_file::{TorchFile, is_torch};
