//! Studies: questions that need many trainings. A study is a grid of trials (data set, split, variant, seed) and of
//! tests of the trained models, and its result is one table.
//!
//! ```text
//! StudyDefinition -lines-> Line x split -> Trial, Evaluation -(trained and scored elsewhere)-> ScoredPicture -> StudyOutcome -> tables
//! ```
//!
//! A study of metrics (`MetricStudy`) trains nothing: its lines are rows of a run's comparison of metrics.
//!
//! The names of trials and evaluations are digests of their inputs, so running a study again repeats no work, and
//! studies share equal trials. Pure: the only files read are the definitions that are compiled into the program.

mod bundled;
mod definition;
mod evaluation;
mod metric_study;
mod metric_study_outcome;
mod outcome;
mod study_error;
mod study_file;
mod study_rows;
mod study_text;
mod table_lines;

pub use bundled::BUNDLED;
pub use definition::{LeaveOut, Overrides, StudyDefinition, Variant};
pub use evaluation::{
    Evaluation, PooledScores, Pooling, ScoredFileError, ScoredPicture, evaluation_key, read_scored_pictures,
};
pub use metric_study::{MetricStudy, StudyMetric};
pub use metric_study_outcome::MetricStudyOutcome;
pub use outcome::{LineOutcome, SplitOutcome, StudyOutcome};
pub use study_error::StudyError;
pub use study_file::Study;
pub use table_lines::{DatasetFacts, Line};
