//! The learned prompts of CLIP-DQA: their tensors, their files, their first values, and the sentences that they belong to.

mod error;
mod init;
mod learned_prompts;
mod prompts_file;
mod shape;
mod tensor_names;
pub mod tokens;

pub use error::PromptsError;
pub use init::PromptInit;
pub use learned_prompts::{PromptMode, Prompts};
pub use shape::{PROMPT_LEN_MAX, PromptShape};
pub use tokens::{TokensError, Words};
