//! Why a page or a file cannot be shown, and the page that says so.

use dqa_pages::{ErrorKind, ErrorPage};
use dqa_pipelines::causes;
use dqa_pipelines::report::ReportError;
use dqa_pipelines::run::RunRecordError;
use dqa_pipelines::store::StoreError;
use dqa_pipelines::train::TrialRecordError;

/// Why a page or a file cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The store has no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The address of a picture lies outside the folders that may be read, or nobody has signed in.
    #[error("{0}")]
    NotAllowed(String),
    /// The answer would be too large.
    #[error("{0}")]
    TooLarge(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A run's record cannot be read.
    #[error(transparent)]
    Record(#[from] RunRecordError),
    /// A training's record cannot be read.
    #[error(transparent)]
    Trial(#[from] TrialRecordError),
    /// Scores cannot be read.
    #[error(transparent)]
    Scores(#[from] ReportError),
    /// A table is not one of this version.
    #[error("the table {key} cannot be read")]
    Table {
        /// The file's key.
        key: String,
        /// The reader's error.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A picture cannot be shown.
    #[error("{0}")]
    Picture(String),
    /// A model cannot be loaded, or has failed.
    #[error("{0}")]
    Model(String),
}

impl SiteError {
    /// Returns the page that says so.
    pub fn page(&self) -> ErrorPage {
        let (kind, hint) = match self {
            SiteError::NotFound(_) => (ErrorKind::NotFound, None),
            SiteError::NotAllowed(_) => (ErrorKind::NotAllowed, None),
            SiteError::TooLarge(_) => (ErrorKind::TooLarge, None),
            SiteError::Store(_) => (ErrorKind::Unavailable, Some("Load the page again when the store answers.")),
            SiteError::Table { .. } => (
                ErrorKind::Internal,
                Some("`dqa-coord report RUN` makes the tables of a run again, if an older version made them."),
            ),
            SiteError::Record(_) | SiteError::Trial(_) | SiteError::Scores(_) => (ErrorKind::Internal, None),
            SiteError::Picture(_) | SiteError::Model(_) => (ErrorKind::NotFound, None),
        };
        ErrorPage { kind, message: causes(self).to_string(), hint: hint.map(str::to_owned) }
    }
}
