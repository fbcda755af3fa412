//! What keeps a data set from being known: its definition, its store, its labels. A picture that is missing or cannot be
//! read is none of these: the data set is known, and not whole.

use super::label_error::{LabelError, list};
use super::layout::LayoutError;
use super::tar_error::TarError;
use crate::Retryable;
use crate::names::{AlgorithmName, DatasetName, NameError, suggestion};
use crate::store::StoreError;

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Neither the name of a definition nor a path.
    #[error(
        "there is no data set `{text}`: it is neither a definition in {searched} nor a folder nor a file{}",
        suggestion(similar)
    )]
    Unknown {
        /// As asked for.
        text: String,
        /// Where definitions were looked for.
        searched: String,
        /// Similar names that exist.
        similar: Vec<String>,
    },
    /// A definition's file that cannot be read.
    #[error("cannot read the definition {path}")]
    Read {
        /// The file.
        path: String,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// A definition that is not TOML, or has a key that is unknown or of another type.
    #[error("{path} does not define a data set")]
    Definition {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A definition that contradicts itself.
    #[error("the definition of data set `{name}` does not hold together: {why}")]
    Contradiction {
        /// Which.
        name: DatasetName,
        /// What is wrong.
        why: String,
    },
    /// What stands before `=` and is no name.
    #[error("`{text}` does not give a data set a name, and is no path")]
    Name {
        /// As given.
        text: String,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
    /// A folder that a data set cannot be named after.
    #[error("the folder {address} gives its data set no name; NAME={address} does, or a definition with one")]
    Unnamed {
        /// The folder.
        address: String,
        /// What is wrong with its name.
        #[source]
        source: NameError,
    },
    /// A layout of the definition is none.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The store of pictures or labels failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tar that pictures cannot be read from.
    #[error("cannot take pictures from the tar {address}")]
    Tar {
        /// The tar.
        address: String,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// A bare folder that is laid out in no known way, or in several.
    #[error("cannot tell how {root} is laid out: {why}; write a definition with a layout")]
    Undetected {
        /// The folder.
        root: String,
        /// What was seen.
        why: String,
    },
    /// Nothing there is a picture of the data set.
    #[error("data set `{name}` has no pictures: {seen}")]
    Empty {
        /// Which.
        name: DatasetName,
        /// What is there instead.
        seen: String,
    },
    /// What a path has in an algorithm's store is no name.
    #[error("`{image}` names no algorithm; an alias would: [algorithms] \"{text}\" = \"A-NAME\"")]
    Algorithm {
        /// Whose path it is.
        image: String,
        /// As found.
        text: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// An algorithm that was asked for and that the data set lacks.
    #[error("data set `{dataset}` has no algorithm `{algorithm}`{}", similar_or_all(similar, all))]
    UnknownAlgorithm {
        /// Where it was looked for.
        dataset: DatasetName,
        /// As asked for.
        algorithm: String,
        /// Similar names that exist.
        similar: Vec<String>,
        /// All that there are.
        all: Vec<AlgorithmName>,
    },
    /// Labels that cannot be used.
    #[error("cannot take labels from {file}")]
    Labels {
        /// The file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: LabelError,
    },
    /// A list of pictures that cannot be used.
    #[error("cannot take pictures from {file}")]
    Pictures {
        /// The file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: LabelError,
    },
}

fn similar_or_all(similar: &[String], all: &[AlgorithmName]) -> String {
    if similar.is_empty() { format!("; it has {}", list(all)) } else { suggestion(similar) }
}

/// A table that is wrong, before it is said which, or anything else.
pub(super) enum UnlocatedError {
    Table(LabelError),
    Other(DatasetError),
}

impl UnlocatedError {
    /// As the error of that file of labels.
    pub(super) fn into_labels_error(self, file: String) -> DatasetError {
        match self {
            UnlocatedError::Table(source) => DatasetError::Labels { file, source },
            UnlocatedError::Other(error) => error,
        }
    }

    /// As the error of that list of pictures.
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
