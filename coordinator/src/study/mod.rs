//! A study on its way: [`Plan`] says which trials and tests its lines take, [`Plan::run`] makes those that the store lacks,
//! one after the other, and reads them all. The store is the only memory: what is there is not made again, whatever study
//! made it.

mod plan;
mod work;

pub use plan::Plan;
pub use work::StudyEvent;

use dqa_engine::study::EvaluateError;
use dqa_engine::train::{BaseModelError, TrainError};
use dqa_pipelines::store::StoreError;
use dqa_pipelines::study::{StoredError, StudyError};
use dqa_pipelines::train::{RecordError, SplitsError, TrialError};

/// Why a study stops. What was made until then is kept.
#[derive(Debug, thiserror::Error)]
pub enum StudyRunError {
    /// The study asks for what there is not.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A trial's record cannot be had.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A data set cannot be split.
    #[error(transparent)]
    Splits(#[from] SplitsError),
    /// A model cannot be begun with.
    #[error("cannot open the model {model}")]
    BaseModel {
        /// As asked for.
        model: String,
        /// Why.
        #[source]
        source: BaseModelError,
    },
    /// The views of a training or a test are none.
    #[error("the views `{views}` of `{variant}` mean nothing")]
    Views {
        /// Whose.
        variant: String,
        /// As given.
        views: String,
        /// Why.
        #[source]
        source: dqa_model::ViewsError,
    },
    /// A line's training cannot be planned.
    #[error("cannot plan the trainings of `{variant}`")]
    Plan {
        /// Which.
        variant: String,
        /// Why.
        #[source]
        source: TrialError,
    },
    /// A training stopped.
    #[error("cannot train `{variant}` on split {split}")]
    Train {
        /// Which line's.
        variant: String,
        /// Which split.
        split: usize,
        /// Why.
        #[source]
        source: TrainError,
    },
    /// A test stopped.
    #[error("cannot test `{variant}`")]
    Evaluate {
        /// Which line's.
        variant: String,
        /// Why.
        #[source]
        source: EvaluateError,
    },
    /// What the store holds is not what was written.
    #[error(transparent)]
    Stored(#[from] StoredError),
}
