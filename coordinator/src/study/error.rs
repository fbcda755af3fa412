//! Why a study stopped.

use dqa_engine::study::EvaluateError;
use dqa_engine::train::{BaseModelError, TrainError};
use dqa_pipelines::Retryable;
use dqa_pipelines::store::StoreError;
use dqa_pipelines::study::{ScoredFileError, StudyError};
use dqa_pipelines::train::{SplitsError, TrialError, TrialRecordError};

/// Why a study stopped. What was made until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum StudyRunError {
    /// The study's definition does not fit the data sets or the splits.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A trial's record cannot be read.
    #[error(transparent)]
    Record(#[from] TrialRecordError),
    /// A data set cannot be split.
    #[error(transparent)]
    Splits(#[from] SplitsError),
    /// A base model cannot be opened.
    #[error("cannot open the model {model}")]
    BaseModel {
        /// The model as named.
        model: String,
        /// The reason.
        #[source]
        source: BaseModelError,
    },
    /// The views of a training or a test are invalid.
    #[error("invalid views `{views}` of `{variant}`")]
    Views {
        /// Variant of the line.
        variant: String,
        /// The views as given.
        views: String,
        /// The reason.
        #[source]
        source: dqa_model::ViewsError,
    },
    /// A line's training cannot be planned.
    #[error("cannot plan the trainings of `{variant}`")]
    Plan {
        /// Variant of the line.
        variant: String,
        /// The reason.
        #[source]
        source: TrialError,
    },
    /// A training failed.
    #[error("cannot train `{variant}` on split {split}")]
    Train {
        /// Variant of the line.
        variant: String,
        /// The split, from 1.
        split: usize,
        /// The reason.
        #[source]
        source: TrainError,
    },
    /// A test failed.
    #[error("cannot test `{variant}`")]
    Evaluate {
        /// Variant of the line.
        variant: String,
        /// The reason.
        #[source]
        source: EvaluateError,
    },
    /// A result in the store is not what was written.
    #[error(transparent)]
    Stored(#[from] ScoredFileError),
}

impl StudyRunError {
    /// Returns the store's error, if the store failed.
    pub fn store_error(&self) -> Option<&StoreError> {
        match self {
            StudyRunError::Store(error)
            | StudyRunError::Record(TrialRecordError::Store(error))
            | StudyRunError::Splits(SplitsError::Store(error)) => Some(error),
            _ => None,
        }
    }
}

impl Retryable for StudyRunError {
    fn is_retryable(&self) -> bool {
        self.store_error().is_some_and(StoreError::is_retryable)
    }
}
