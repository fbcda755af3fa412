//! Studies: questions that take many trainings. A study is a grid of trials (data set, split, variant, seed) and of tests of
//! what they learned, that ends in one table.
//!
//! ```text
//! Definition -lines-> Line x split -> Trial, Evaluation -(trained and scored elsewhere)-> Scored -> Outcome -> tables
//! ```
//!
//! Trials and evaluations are named by their content: a study that is run again makes nothing that is there, and studies
//! share what is equal. Pure: it reads no file but the definitions that come with the program.

mod definition;
mod evaluation;
mod lines;
mod outcome;
mod text;

pub use definition::{Definition, LeaveOut, Overrides, READY, StudyError, Variant};
pub use evaluation::{Evaluation, Pool, Pooled, Scored, StoredError, evaluation_key, scored};
pub use lines::{DatasetFacts, Line};
pub use outcome::{LineOutcome, Outcome, SplitOutcome};
