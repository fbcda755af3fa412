//! Studies: questions that need many trainings. A study is a grid of trials (data set, split, variant, seed) and of
//! tests of the trained models, and its result is one table.
//!
//! ```text
//! StudyDefinition -lines-> Line x split -> Trial, Evaluation -(trained and scored elsewhere)-> ScoredPicture -> StudyOutcome -> tables
//! ```
//!
//! The names of trials and evaluations are digests of their inputs, so running a study again repeats no work, and
//! studies share equal trials. Pure: the only files read are the definitions that are compiled into the program.

mod definition;
mod evaluation;
mod outcome;
mod study_text;
mod table_lines;

pub use definition::{BUNDLED, LeaveOut, Overrides, StudyDefinition, StudyError, Variant};
pub use evaluation::{
    Evaluation, PooledScores, Pooling, ScoredFileError, ScoredPicture, evaluation_key, read_scored_pictures,
};
pub use outcome::{LineOutcome, SplitOutcome, StudyOutcome};
pub use table_lines::{DatasetFacts, Line};
