//! Why runs could not be compared, and what to do about it.

use super::RUNS_MAX;
use crate::Hint;
use crate::names::{DatasetName, RunName};
use crate::report::error::ReportError;

/// Why runs could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A run is not complete, or its parts cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The number of runs is out of range.
    #[error("expected 2 to {RUNS_MAX} runs to compare, found {0}")]
    RunCount(usize),
    /// A run was given twice.
    #[error("run `{0}` is named twice")]
    DuplicateRun(RunName),
    /// The runs have no data set in common.
    #[error("the runs have no data set in common: {}", has.join("; "))]
    NoCommonDataset {
        /// Each run with its data sets.
        has: Vec<String>,
    },
    /// Two data sets of one name have no picture in common.
    #[error("runs `{first}` and `{second}` have no picture of data set `{dataset}` in common: {why}")]
    NoCommonPicture {
        /// The data set's name.
        dataset: DatasetName,
        /// A run.
        first: RunName,
        /// Another run.
        second: RunName,
        /// How their pictures differ.
        why: String,
    },
    /// A picture has different labels or scenes in two runs.
    #[error(
        "{count} pictures of data set `{dataset}` have another {what} in run `{second}` than in run `{first}`: {image} of \
         {algorithm} has {second_value} instead of {first_value}"
    )]
    ConflictingPictures {
        /// The data set's name.
        dataset: DatasetName,
        /// A run.
        first: RunName,
        /// Another run.
        second: RunName,
        /// `label` or `scene`.
        what: &'static str,
        /// The number of such pictures.
        count: usize,
        /// The algorithm of the first such picture.
        algorithm: String,
        /// The name of the first such picture.
        image: String,
        /// The value in the first run.
        first_value: String,
        /// The value in the second run.
        second_value: String,
    },
    /// No picture is left to compare.
    #[error(
        "no picture of a data set that the runs share was scored by all of them and has a label or an algorithm to rank"
    )]
    NothingToCompare,
}

impl Hint for CompareError {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            CompareError::Report(error) => return error.hint(),
            CompareError::RunCount(1) => Some(
                "`dqa-coord runs` lists the runs; `dqa-coord report --table metrics` compares the metrics of one run",
            ),
            CompareError::RunCount(_) | CompareError::DuplicateRun(_) => {
                Some("`dqa-coord runs` lists the runs of a store")
            }
            CompareError::NoCommonDataset { .. } | CompareError::NoCommonPicture { .. } => {
                Some("submit the same data sets with each model; pictures are the same if their content is the same")
            }
            CompareError::ConflictingPictures { .. } => Some(
                "the data set was changed between the runs: submit both again, and what is scored is not scored again",
            ),
            CompareError::NothingToCompare => {
                Some("`dqa-coord report RUN` says which pictures failed or have no label")
            }
        };
        hint.map(str::to_owned)
    }
}
