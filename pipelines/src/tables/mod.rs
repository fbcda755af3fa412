//! The Parquet tables in a store: their columns, writing and reading. The description of each table in `docs/reference/tables.md`
//! is the contract with readers that use other tools.

#[macro_use]
mod table_macro;

pub mod comparisons;
pub mod correlations;
pub mod cross_dataset;
pub mod epochs;
pub mod evaluations;
pub mod leaderboard;
pub mod metric_differences;
pub mod metric_disagreements;
pub mod metric_matrix;
pub mod metric_ranks;
pub mod metrics;
pub mod parquet_file;
pub mod predictions;
pub mod runs;
pub mod scores;
pub mod studies;
pub mod study_splits;

use crate::names::{RunName, StudyName};

/// The tables of a run's report.
pub const REPORT_TABLES: [&str; 9] = [
    correlations::CORRELATIONS,
    leaderboard::LEADERBOARD,
    comparisons::COMPARISONS,
    cross_dataset::CROSS_DATASET,
    metrics::METRICS,
    metric_differences::METRIC_DIFFERENCES,
    metric_matrix::METRIC_MATRIX,
    metric_ranks::METRIC_RANKS,
    metric_disagreements::METRIC_DISAGREEMENTS,
];

/// Returns the key of a run's file of a report table. As with the scores, the key in the path (`by_run`) has another name than the
/// column (`run`).
pub fn report_key(table: &str, run: &RunName) -> String {
    format!("{table}/by_run={run}/{table}.parquet")
}

/// What the name of a study's folder of a table begins with; its name follows.
pub const STUDY_FOLDER_PREFIX: &str = "by_study=";

/// Returns the key of a study's file of a table.
pub fn study_key(table: &str, study: &StudyName) -> String {
    format!("{table}/{STUDY_FOLDER_PREFIX}{study}/{table}.parquet")
}
