//! Why a data set cannot be loaded: its definition, its store, its labels. A picture that is missing or unreadable is not such
//! an error: the data set is loaded, and is incomplete.

use super::label_error::{LabelError, list};
use super::layout::LayoutError;
use super::tar_error::TarError;
use crate::Retryable;
use crate::names::{AlgorithmName, DatasetName, NameError, suggestion};
use crate::store::StoreError;

/// Why a data set cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The text is neither the name of a definition nor a path.
    #[error(
        "there is no data set `{text}`: it is neither a definition in {searched} or in the program, nor a folder, nor a file{}",
        suggestion(similar)
    )]
    Unknown {
        /// The text that was given.
        text: String,
        /// The folder in which definitions were searched.
        searched: String,
        /// Similar names that exist.
        similar: Vec<String>,
    },
    /// The file of a definition cannot be read.
    #[error("cannot read the definition {path}")]
    Read {
        /// The file.
        path: String,
        /// The error of the file system.
        #[source]
        source: std::io::Error,
    },
    /// A definition is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{path} does not define a data set")]
    Definition {
        /// The file.
        path: String,
        /// Why it is invalid.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key of a definition has a value where a section is expected.
    #[error("`{section}` in {path} is a section: write `[{section}]` and then `{line}`")]
    NotASection {
        /// The file.
        path: String,
        /// The section's name.
        section: &'static str,
        /// A line of the section.
        line: String,
    },
    /// A folder has several definitions.
    #[error("{folder} has several definitions: name one of {}", files.join(", "))]
    SeveralDefinitions {
        /// The folder.
        folder: String,
        /// The files.
        files: Vec<String>,
    },
    /// A definition contradicts itself.
    #[error("the definition of data set `{name}` contradicts itself: {why}")]
    Contradiction {
        /// The data set's name.
        name: DatasetName,
        /// The contradiction.
        why: String,
    },
    /// The text before `=` is not a valid name.
    #[error("`{text}` is neither NAME=PATH with a valid name nor a path")]
    Name {
        /// The text that was given.
        text: String,
        /// Why the name is invalid.
        #[source]
        source: NameError,
    },
    /// A data set cannot be named after its folder.
    #[error(
        "the data set in the folder {address} has no valid name; give one by NAME={address}, or write a definition"
    )]
    Unnamed {
        /// The folder.
        address: String,
        /// Why the folder's name is invalid.
        #[source]
        source: NameError,
    },
    /// A layout of the definition is invalid.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The store of pictures or labels failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tar cannot be read.
    #[error("cannot read pictures from the tar {address}")]
    Tar {
        /// The tar's address.
        address: String,
        /// Why it cannot be read.
        #[source]
        source: TarError,
    },
    /// A folder without a definition matches no common layout, or several.
    #[error(
        "cannot detect the layout of {root}: {why}; write a definition with a layout, or let `dqa-coord dataset init FOLDER` find one"
    )]
    Undetected {
        /// The folder.
        root: String,
        /// The files that were seen.
        why: String,
    },
    /// The process must not read an address.
    #[error("{address} must not be read")]
    NotAllowed {
        /// The address.
        address: String,
        /// Why it must not be read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process has no memory for so many files.
    #[error("there are more files than {} GiB of memory can list, which is the limit: split the data set", limit >> 30)]
    TooManyFiles {
        /// The limit in bytes.
        limit: u64,
    },
    /// No file is a picture of the data set.
    #[error("data set `{name}` has no pictures: {seen}")]
    Empty {
        /// The data set's name.
        name: DatasetName,
        /// The files that were found instead.
        seen: String,
    },
    /// The algorithm in a path is not a valid name.
    #[error("`{image}` does not name a valid algorithm; add an alias: [algorithms] \"{text}\" = \"A-NAME\"")]
    Algorithm {
        /// The picture's path.
        image: String,
        /// The algorithm in the path.
        text: String,
        /// Why it is invalid.
        #[source]
        source: NameError,
    },
    /// The data set does not have the requested algorithm.
    #[error("data set `{dataset}` has no algorithm `{algorithm}`{}", similar_or_all(similar, all))]
    UnknownAlgorithm {
        /// The data set's name.
        dataset: DatasetName,
        /// The requested algorithm.
        algorithm: String,
        /// Similar names that exist.
        similar: Vec<String>,
        /// All algorithms of the data set.
        all: Vec<AlgorithmName>,
    },
    /// A table of labels cannot be used.
    #[error("cannot read labels from {file}")]
    Labels {
        /// The file.
        file: String,
        /// Why it cannot be used.
        #[source]
        source: LabelError,
    },
    /// A table of pictures cannot be used.
    #[error("cannot read pictures from {file}")]
    Pictures {
        /// The file.
        file: String,
        /// Why it cannot be used.
        #[source]
        source: LabelError,
    },
}

fn similar_or_all(similar: &[String], all: &[AlgorithmName]) -> String {
    if similar.is_empty() { format!("; it has {}", list(all)) } else { suggestion(similar) }
}

/// An error in a table whose file is not known yet, or any other error.
pub(super) enum UnlocatedError {
    Table(LabelError),
    Other(DatasetError),
}

impl UnlocatedError {
    /// Completes the error with the file of labels.
    pub(super) fn into_labels_error(self, file: String) -> DatasetError {
        match self {
            UnlocatedError::Table(source) => DatasetError::Labels { file, source },
            UnlocatedError::Other(error) => error,
        }
    }

    /// Completes the error with the file of pictures.
    pub(super) fn into_pictures_error(self, file: String) -> DatasetError {
        match self {
            UnlocatedError::Table(source) => DatasetError::Pictures { file, source },
            UnlocatedError::Other(error) => error,
        }
    }
}

impl From<LabelError> for UnlocatedError {
    fn from(error: LabelError) -> UnlocatedError {
        UnlocatedError::Table(error)
    }
}

impl From<DatasetError> for UnlocatedError {
    fn from(error: DatasetError) -> UnlocatedError {
        UnlocatedError::Other(error)
    }
}

impl From<StoreError> for UnlocatedError {
    fn from(error: StoreError) -> UnlocatedError {
        UnlocatedError::Other(error.into())
    }
}

impl Retryable for DatasetError {
    fn is_retryable(&self) -> bool {
        matches!(self, DatasetError::Store(error) if error.is_retryable())
    }
}
