//! The Parquet tables that a store holds: their columns, how they are written, how they are read back. Each table's page
//! in `docs/tables.md` is the contract with those who read them with other tools.

#[macro_use]
mod row;

pub mod comparisons;
pub mod correlations;
pub mod cross_dataset;
pub mod epochs;
pub mod evaluations;
pub mod leaderboard;
pub mod parquet_file;
pub mod predictions;
pub mod runs;
pub mod scores;
pub mod studies;
pub mod study_splits;

use crate::names::RunName;

/// A run's file of one of the tables of reports. As with the scores, the path's key is not named as the column is.
pub fn report_key(table: &str, run: &RunName) -> String {
    format!("{table}/by_run={run}/{table}.parquet")
}
