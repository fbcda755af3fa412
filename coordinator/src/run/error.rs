//! Why a run cannot be planned or completed, apart from failures of its shards.

use dqa_pipelines::dataset::{DatasetError, ReferenceKind};
use dqa_pipelines::store::StoreError;
use dqa_pipelines::{Hint, Retryable};

/// Why a run cannot be completed, apart from failures of its shards.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed, or holds an invalid record.
    #[error(transparent)]
    Record(#[from] dqa_pipelines::run::RunRecordError),
    /// Headers could not be read, because the store did not answer.
    #[error("the headers of {failed} of {pictures} pictures of data set `{dataset}` could not be read")]
    Headers {
        /// The data set's name.
        dataset: String,
        /// Number of headers that could not be read.
        failed: usize,
        /// Number of the data set's pictures.
        pictures: usize,
        /// The first error.
        #[source]
        source: StoreError,
    },
    /// Parts are missing or damaged: the run would lack rows.
    #[error("{missing} of {parts} parts of run `{run}` are not whole")]
    Incomplete {
        /// The run's name.
        run: String,
        /// Number of parts that are missing or damaged.
        missing: usize,
        /// Number of the run's parts.
        parts: usize,
    },
}

impl Retryable for RunError {
    fn is_retryable(&self) -> bool {
        match self {
            RunError::Store(error) | RunError::Headers { source: error, .. } => error.is_retryable(),
            RunError::Record(dqa_pipelines::run::RunRecordError::Store(error)) => error.is_retryable(),
            RunError::Record(_) | RunError::Incomplete { .. } => false,
        }
    }
}

/// Why a run cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A data set cannot be listed.
    #[error("cannot load data set `{dataset}`")]
    Load {
        /// The data set's name.
        dataset: String,
        /// The reason.
        #[source]
        source: DatasetError,
    },
    /// No data set has an algorithm.
    #[error(transparent)]
    Algorithms(DatasetError),
    /// Some data sets lack algorithms.
    #[error("{message}")]
    Lacking {
        /// Which data sets lack which algorithms, with similar names that they have.
        message: String,
        /// Whether each of the algorithms is in another data set.
        may_be_left_out: bool,
    },
    /// There are no hazy inputs to score.
    #[error("--with-hazy: data set `{dataset}` names no hazy inputs of its pictures")]
    NoHazy {
        /// The data set's name.
        dataset: String,
    },
    /// A metric compares with pictures that the data set does not name.
    #[error("data set `{dataset}` names no {} pictures, which these metrics compare with: {metrics}", kind.name())]
    NoReference {
        /// The data set's name.
        dataset: String,
        /// The kind of pictures.
        kind: ReferenceKind,
        /// The names of the metrics.
        metrics: String,
    },
    /// The matrix of algorithms and scenes has holes.
    #[error("data set `{dataset}` is not complete")]
    Incomplete {
        /// The data set's name.
        dataset: String,
    },
    /// Headers could not be read, or the store failed.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl PrepareError {
    /// Whether the request asks for what is not there, so that it fails again until the request or its data sets are
    /// changed.
    pub fn is_wrong_request(&self) -> bool {
        !matches!(self, PrepareError::Run(_)) && !self.is_retryable()
    }
}

impl Hint for PrepareError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            PrepareError::Incomplete { .. } => Some(
                "--allow-missing scores what is there; two algorithms are then compared on the scenes that both of them have",
            ),
            PrepareError::Lacking { may_be_left_out: true, .. } => {
                Some("--allow-missing takes of each data set the algorithms that it has")
            }
            PrepareError::NoHazy { .. } => {
                Some("[hazy] in its definition names them, or a folder `hazy` beside the algorithms' has them")
            }
            PrepareError::NoReference { kind, .. } => {
                return Some(format!(
                    "[{0}] in its definition names them, or a folder `{0}` beside the algorithms' has them; \
                     --metrics without them does without",
                    kind.name()
                ));
            }
            PrepareError::Run(RunError::Headers { .. }) => Some("submit again: the headers that were read are kept"),
            _ => None,
        };
        hint.map(str::to_owned)
    }
}

impl Retryable for PrepareError {
    fn is_retryable(&self) -> bool {
        match self {
            PrepareError::Load { source, .. } | PrepareError::Algorithms(source) => source.is_retryable(),
            PrepareError::Incomplete { .. }
            | PrepareError::Lacking { .. }
            | PrepareError::NoHazy { .. }
            | PrepareError::NoReference { .. } => false,
            PrepareError::Run(error) => error.is_retryable(),
        }
    }
}

/// Why rows cannot be scored again.
#[derive(Debug, thiserror::Error)]
pub enum RescoreError {
    /// A definition in the run's record is invalid.
    #[error("the run's record has an invalid definition of a data set")]
    Definition(#[source] DatasetError),
    /// The views in the run's record are invalid.
    #[error("the run's record has invalid views: `{views}`")]
    Views {
        /// The views.
        views: String,
    },
    /// The new parts cannot be read.
    #[error(transparent)]
    Part(#[from] dqa_pipelines::parts::PartError),
    /// A shard cannot be scored.
    #[error("the rows cannot be scored again")]
    Score(#[source] datafusion::error::DataFusionError),
}
