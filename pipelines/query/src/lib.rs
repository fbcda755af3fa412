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
mod bounded_query;
pub mod distributed;
mod error;
pub mod output;
mod report_table;
mod run_conflicts;
mod scores_table;
mod session;
mod store_registry;

use dqa_pipelines::tables::comparisons::COMPARISONS;
use dqa_pipelines::tables::correlations::CORRELATIONS;
use dqa_pipelines::tables::cross_dataset::CROSS_DATASET;
use dqa_pipelines::tables::epochs::EPOCHS;
use dqa_pipelines::tables::evaluations::EVALUATIONS;
use dqa_pipelines::tables::leaderboard::LEADERBOARD;
use dqa_pipelines::tables::predictions::PREDICTIONS;
use dqa_pipelines::tables::runs::RUNS;
use dqa_pipelines::tables::scores::SCORES;
use dqa_pipelines::tables::studies::STUDIES;
use dqa_pipelines::tables::study_splits::STUDY_SPLITS;

pub use bounded_query::{QueryBoundError, plan_bounded};
pub use error::{DataFusionMessage, MetricOfRun, SqlError};
pub use session::{
    Selection, new_runtime, open_session, query, query_mixing, register_tables, shortfalls, untold_metrics,
};

/// Names of the tables.
pub const TABLES: [&str; 11] = [
    SCORES,
    RUNS,
    CORRELATIONS,
    LEADERBOARD,
    COMPARISONS,
    CROSS_DATASET,
    EPOCHS,
    PREDICTIONS,
    EVALUATIONS,
    STUDIES,
    STUDY_SPLITS,
];
