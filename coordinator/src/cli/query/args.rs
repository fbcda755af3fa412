//! Flags of `dqa-coord query`.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_query::output;

use crate::cli::args::{Engine, StoreArgs};
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::run_selector::RunsSelector;

/// Queries a store by SQL. `scores` and the tables of reports hold one run, unless several are selected: then each row
/// has its run's name in the column `run`, and a picture that two runs share has a row in each. An aggregate over rows
/// of different models is refused.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Query: `SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1`.
    #[arg(value_name = "SQL")]
    pub(super) sql: String,

    #[command(flatten)]
    pub(super) runs: RunsSelector,

    /// Query all runs of the store.
    #[arg(long, env = "DQA_ALL_RUNS", value_parser = BoolishValueParser::new(), conflicts_with = "runs")]
    pub(super) all_runs: bool,

    /// Allow aggregates over rows of several runs, even of different models.
    #[arg(long, env = "DQA_MIX_RUNS", value_parser = BoolishValueParser::new())]
    pub(super) mix_runs: bool,

    /// Where the query is computed: this process reads --store, or a coordinator's workers read the coordinator's store
    /// [default: cluster if a coordinator is given, else local].
    #[arg(long, env = "DQA_ENGINE", value_enum, value_name = "ENGINE")]
    pub(super) engine: Option<Engine>,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Format of the rows.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = RowsFormat::Table)]
    pub(super) format: RowsFormat,

    /// File to write the rows to [default: standard output].
    #[arg(long, env = "DQA_OUTPUT", required_if_eq("format", "parquet"), value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Show the plan of the query instead of running it.
    #[arg(long, env = "DQA_EXPLAIN", value_parser = BoolishValueParser::new())]
    pub(super) explain: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum RowsFormat {
    /// For people to read.
    Table,
    /// One object a line.
    Json,
    /// With a header.
    Csv,
    /// A file for other programs; needs --output.
    Parquet,
}

impl From<RowsFormat> for output::QueryFormat {
    fn from(format: RowsFormat) -> output::QueryFormat {
        match format {
            RowsFormat::Table => output::QueryFormat::Table,
            RowsFormat::Json => output::QueryFormat::Json,
            RowsFormat::Csv => output::QueryFormat::Csv,
            RowsFormat::Parquet => output::QueryFormat::Parquet,
        }
    }
}
