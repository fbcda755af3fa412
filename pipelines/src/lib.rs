//! The pipeline of a benchmark: data sets, plans, runs, result tables, reports and studies. This crate does not know which
//! process computes a result, or on which device.
//!
//! ```text
//! DataSet -plan-> Shard -(scored elsewhere)-> Part -commit-> Run -report-> Correlations, Leaderboard
//! ```

mod causes;
pub mod dataset;
pub mod digest;
mod error_traits;
pub mod file_kinds;
pub mod header_index;
pub mod model_spec;
pub mod names;
pub mod parts;
pub mod picture_limits;
pub mod plan;
pub mod progress;
pub mod registry;
pub mod report;
pub mod run;
pub mod run_process;
pub mod status;
pub mod store;
pub mod study;
pub mod tables;
pub mod text_table;
pub mod train;
pub mod trained_on;

pub use causes::{Causes, cause, causes};
pub use error_traits::{Hint, Retryable};
