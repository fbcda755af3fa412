//! A run, from data sets to parts that are all in the store: [`prepare()`], then an engine scores the missing shards,
//! then [`commit()`]. The store is the only memory: a run that was killed is planned again, and what the store has is
//! not scored again.

mod allowed_roots;
mod build_plan;
mod claim;
mod commit;
mod error;
mod measure;
mod mismatch;
mod plan;
mod record;
mod request;
mod rescore;
mod selection;
mod submission;
mod training_leaks;

pub use allowed_roots::{OutsideRoots, Roots};
pub use build_plan::prepare;
pub use claim::{Claim, ClaimError};
pub use commit::commit;
pub use error::{PrepareError, RescoreError, RunError};
pub use measure::{MeasuredDataSet, measure, update_index};
pub use mismatch::{RunMismatch, dropped_rows};
pub use plan::{PlanSettings, PlannedShard, RunPlan};
pub use record::{is_satisfied_by, part_metadata, provenance, record_plan};
pub use request::{PlanObserver, PlanRequest};
pub use rescore::{RescoredRow, is_computed, replan_request, rescore};
pub use submission::Submission;
