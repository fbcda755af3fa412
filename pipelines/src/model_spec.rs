//! A run's model for those who load it elsewhere: its files in the store by their content, and the fingerprint that it
//! must have. What a model is, this does not know.

use serde::{Deserialize, Serialize};

/// The folder of models' files in a store.
pub const MODELS: &str = "models";

/// A file by its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelFile {
    /// Without folders.
    pub name: String,
    /// BLAKE3: 64 digits.
    pub digest: String,
    /// Its length.
    pub bytes: u64,
}

/// Why a file is none that may be in a store.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// A name that leads elsewhere.
    #[error("`{name}` is no name of a model's file")]
    Name {
        /// As given.
        name: String,
    },
    /// Not 64 digits.
    #[error("`{digest}` is no digest: it takes 64 hexadecimal digits")]
    Digest {
        /// As given.
        digest: String,
    },
}

/// The model that a run scores with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// As the user named it.
    pub name: String,
    /// As the user named the prompts; None: the handcrafted sentences.
    pub prompts_name: Option<String>,
    /// CLIP's files; none: it is in the program.
    pub weights: Vec<ModelFile>,
    /// The prompts' file; None: they are in the program, or handcrafted.
    pub prompts: Option<ModelFile>,
    /// Which parts of a picture are looked at.
    pub views: String,
    /// The class of arithmetic.
    pub dtype: String,
    /// Of weights, prompts, views and arithmetic: 64 digits.
    pub fingerprint: String,
}

impl ModelFile {
    /// Whether it can be a file in a store and a node's folder: its name leads nowhere else, its digest is one.
    ///
    /// # Errors
    /// Where it cannot.
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

    /// Its object in a store.
    pub fn key(&self) -> String {
        format!("{MODELS}/{}", self.digest)
    }
}

impl ModelSpec {
    /// Every file that has to be in the store.
    pub fn files(&self) -> impl Iterator<Item = &ModelFile> {
        self.weights.iter().chain(&self.prompts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_digests_lead_nowhere_else() {
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
