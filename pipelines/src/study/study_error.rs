//! Why a study cannot be run.

use super::bundled::BUNDLED;
use crate::names::suggestion;
use crate::train::SetupError;

/// Why a study cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The text is not TOML, has an unknown key or a value of the wrong type.
    #[error("{origin} is not a valid study")]
    Toml {
        /// The file.
        origin: String,
        /// The parser's error with its position.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The setup of a variant is invalid.
    #[error("variant `{variant}` of the study cannot be trained")]
    Setup {
        /// The variant's name.
        variant: String,
        /// The setup's error.
        #[source]
        source: SetupError,
    },
    /// The definition is inconsistent.
    #[error("{0}")]
    Invalid(String),
    /// No bundled study has this name.
    #[error("there is no study `{name}`{}; there are {}, or a path to a .toml", suggestion(similar), BUNDLED.map(|(name, _)| name).join(", "))]
    Unknown {
        /// The given name.
        name: String,
        /// Similar names.
        similar: Vec<String>,
    },
}
