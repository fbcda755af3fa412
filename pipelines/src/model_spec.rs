//! Describes a run's model to the workers that load it: its files in the store by digest, and the fingerprint that the loaded
//! model must have. This module does not know what a model is.

use serde::{Deserialize, Serialize};

/// The folder of model files in a store.
pub const MODELS: &str = "models";

/// A model file, identified by its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelFile {
    /// The file name, without folders.
    pub name: String,
    /// The BLAKE3 digest: 64 hexadecimal digits.
    pub digest: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Why a model file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The name could name a file elsewhere.
    #[error("`{name}` is not a valid name of a model file")]
    Name {
        /// The name that was given.
        name: String,
    },
    /// The digest is not 64 hexadecimal digits.
    #[error("`{digest}` is not a valid digest: expected 64 hexadecimal digits")]
    Digest {
        /// The digest that was given.
        digest: String,
    },
}

/// The model that a run scores with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// The name that the user gave.
    pub name: String,
    /// The name that the user gave for the prompts. None for the handcrafted sentences.
    pub prompts_name: Option<String>,
    /// CLIP's files. Empty if the model is built into the program.
    pub weights: Vec<ModelFile>,
    /// The prompts' file. None if the prompts are built into the program, or handcrafted.
    pub prompts: Option<ModelFile>,
    /// The views of a picture that the model scores.
    pub views: String,
    /// The class of arithmetic.
    pub dtype: String,
    /// The digest of weights, prompts, views and arithmetic: 64 hexadecimal digits.
    pub fingerprint: String,
}

impl ModelFile {
    /// Checks that the file can be written to a store and to a node's folder.
    ///
    /// # Errors
    /// If the name or the digest is invalid.
    pub fn check(&self) -> Result<(), ModelFileError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.name.is_empty() || self.name.starts_with('.') || self.name.len() > 128 || !self.name.chars().all(plain)
        {
            return Err(ModelFileError::Name { name: self.name.clone() });
        }
        let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if self.digest.len() != 64 || !self.digest.chars().all(digit) {
            return Err(ModelFileError::Digest { digest: self.digest.clone() });
        }
        Ok(())
    }

    /// Returns the key of the file's object in a store.
    pub fn key(&self) -> String {
        format!("{MODELS}/{}", self.digest)
    }
}

impl ModelSpec {
    /// Iterates over the files that the store must hold.
    pub fn files(&self) -> impl Iterator<Item = &ModelFile> {
        self.weights.iter().chain(&self.prompts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_digests_that_could_name_other_files_are_refused() {
        let file = |name: &str, digest: &str| ModelFile { name: name.to_owned(), digest: digest.to_owned(), bytes: 1 };
        let digest = "0a".repeat(32);
        file("model-00001-of-00002.safetensors", &digest).check().unwrap();
        for name in ["", "..", "../x", "a/b", "/etc/passwd", ".hidden", "a\0b", &"x".repeat(200)] {
            assert!(matches!(file(name, &digest).check(), Err(ModelFileError::Name { .. })), "{name:?}");
        }
        for digest in ["", "0A", &"../".repeat(21), &"g".repeat(64)] {
            assert!(matches!(file("x", digest).check(), Err(ModelFileError::Digest { .. })), "{digest:?}");
        }
    }
}
