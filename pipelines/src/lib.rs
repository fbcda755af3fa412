//! The pipeline of a benchmark: data sets, plans, runs, result tables, reports and studies. This crate does not know which
//! process computes a result, or on which device.
//!
//! ```text
//! DataSet -plan-> Shard -(scored elsewhere)-> Part -commit-> Run -report-> Correlations, Leaderboard
//! ```

pub mod caught_panic;
mod causes;
pub mod count_text;
pub mod dataset;
pub mod digest;
pub mod file_kinds;
pub mod header_index;
pub mod import_scores;
pub mod leader;
pub mod metric;
pub mod model_spec;
mod named_parts;
pub mod names;
pub mod part_removal;
pub mod parts;
pub mod picture_limits;
pub mod plan;
pub mod registry;
pub mod report;
pub mod result_page;
mod retryable_and_hint;
pub mod run;
pub mod run_process;
pub mod run_progress;
pub mod run_removal;
pub mod run_sample;
pub mod status;
pub mod store;
pub mod store_check;
pub mod study;
pub mod tables;
pub mod text_table;
pub mod train;
pub mod trained_on;
pub mod training;

pub use causes::{Causes, cause, causes};
pub use retryable_and_hint::{Hint, Retryable};
