//! A study: [`StudyPlan`] says which trials and tests its lines need, [`StudyPlan::run`] makes those that the store
//! lacks, one after the other, and reads the results of all. The store is the only memory: what it has is not made
//! again, whichever study made it.

mod base_models;
mod error;
mod execution;
mod plan;

pub use base_models::BaseModels;
pub use error::StudyRunError;
pub use execution::StudyEvent;
pub use plan::{Completion, ModelKey, SplitDataSet, StudyCompletion, StudyPlan, StudyUnit, model_keys};
