//! SQL over a store of runs: the store's tables by name, the statistics of `dqa-stats` as aggregates, and correlations
//! of runs that are too large for one machine. Queries are read-only. Except for the engines that run plans, all code
//! that depends on DataFusion is in this crate.
//!
//! ```text
//! Selection -open_session-> SessionContext -query-> DataFrame -output-> table, JSON, CSV or Parquet
//! ```
//!
//! `scores` holds the rows of each selected run, with the run's name. Rows of several runs are aggregated only if the
//! result is meaningful (`aggregation_check.rs`): a query that combines scores of different models is refused.

pub mod aggregates;
mod aggregation_check;
pub mod distributed;
mod error;
pub mod output;
mod scores_table;
mod session;
mod store_registry;

pub use error::{DataFusionMessage, SqlError};
pub use session::{Selection, TABLES, new_runtime, open_session, query, query_mixing, register_tables, shortfalls};
