//! Flags of `dqa-coord report`.

use clap::ValueEnum;

use super::options::ReportArgs;
use crate::cli::args::{Engine, StoreArgs};
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::run_selector::RunSelector;

/// Makes a run's reports again, writes their tables to the store and shows them.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) run: RunSelector,

    /// Where the report is computed. `cluster`: on a coordinator's workers, for stores that one machine cannot hold;
    /// only SRCC and PLCC, and nothing is written to the store.
    #[arg(long, env = "DQA_ENGINE", value_enum, default_value_t = Engine::Local, value_name = "ENGINE")]
    pub(super) engine: Engine,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Table to show [default: all but comparisons with --format table, correlations with json and csv].
    #[arg(long, env = "DQA_TABLE", value_enum, value_name = "TABLE")]
    pub(super) table: Option<TableArg>,

    #[command(flatten)]
    pub(super) report: ReportArgs,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(super) enum TableArg {
    /// Agreement of scores with labels.
    Correlations,
    /// The algorithms in order of their scores.
    Leaderboard,
    /// Every pair of algorithms: the difference, its test, and the difference that the number of scenes can show.
    Comparisons,
    /// Agreement between data sets.
    CrossDataset,
}
