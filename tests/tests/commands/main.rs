//! The commands of the programs, each as a user meets it on one machine; where a command also speaks to a coordinator, with
//! one.

#![allow(clippy::unwrap_used)] // helpers too

mod command_line;
mod compare;
mod dataset;
mod dataset_and_run_names;
mod doc_sessions;
mod explain;
mod export;
mod long_work;
mod metrics;
mod picture_limits;
mod reading_results;
mod report_reproducibility;
mod results_at_80_columns;
mod run_failures;
mod run_identity;
mod runs;
mod small_model;
mod study;
mod submit;
mod train;
mod training_leaks;
mod verify;
