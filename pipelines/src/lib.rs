//! What is computed: data sets, plans, tables, statistics, reports, SQL. Who computes it and on what is not known here.
//!
//! ```text
//! DataSet -plan-> Shard -(scored elsewhere)-> Part -commit-> Run -report-> Correlations, Leaderboard
//! ```

mod causes;
pub mod dataset;
pub mod digest;
pub mod file_names;
pub mod index;
pub mod limits;
pub mod model;
pub mod names;
pub mod parts;
pub mod plan;
pub mod process;
pub mod progress;
pub mod registry;
pub mod report;
pub mod run;
pub mod status;
pub mod store;
pub mod study;
pub mod tables;
pub mod text_table;
pub mod train;
pub mod trained_on;

pub use causes::{Causes, cause, causes};
