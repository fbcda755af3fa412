//! A run: from data sets to parts that are all there. [`prepare()`] -> (an engine) ->
//! [`commit()`]. The store is the only memory: a run that was killed is planned again, and what is there is not done again.

mod claim;
mod commit;
mod measure;
mod prepare;
mod replaced;
mod requested;
mod roots;
mod select;
mod training;
mod work;

pub use claim::{Claim, ClaimError};
pub use commit::commit;
pub use measure::{index, measure};
pub use prepare::{Asked, PrepareError, Watch, dataset_specs, facts, prepare};
pub use replaced::{OtherRun, dropped};
pub use requested::{Requested, is_answered_by, record_plan};
pub use roots::{Elsewhere, Roots};
pub use work::{Part, State, Work};

use dqa_pipelines::dataset::DataSet;
use dqa_pipelines::store::StoreError;

/// What a run can fail with beside its shards.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store failed, or holds a record that is none.
    #[error(transparent)]
    Record(#[from] dqa_pipelines::run::RunError),
    /// Headers that could not be read, for a reason that may pass.
    #[error("the headers of {failed} of {pictures} pictures of data set `{dataset}` could not be read")]
    Headers {
        /// Which data set.
        dataset: String,
        /// How many.
        failed: usize,
        /// Of how many.
        pictures: usize,
        /// The first that failed.
        #[source]
        source: StoreError,
    },
    /// Rows in are not rows out.
    #[error("{missing} of {parts} parts of run `{run}` are not whole")]
    Incomplete {
        /// Which run.
        run: String,
        /// How many are not.
        missing: usize,
        /// Of how many.
        parts: usize,
    },
}

/// A data set with the number of windows of each picture, in the order of its pictures.
#[derive(Debug)]
pub struct Measured {
    /// The data set.
    pub dataset: DataSet,
    /// Windows of each picture; 0 for one that cannot be scored by what its header says.
    pub windows: Vec<u32>,
}

impl RunError {
    /// Whether another try may do better: a store did not answer.
    pub fn may_pass(&self) -> bool {
        match self {
            RunError::Store(error) | RunError::Headers { source: error, .. } => error.may_pass(),
            RunError::Record(dqa_pipelines::run::RunError::Store(error)) => error.may_pass(),
            RunError::Record(_) | RunError::Incomplete { .. } => false,
        }
    }
}
