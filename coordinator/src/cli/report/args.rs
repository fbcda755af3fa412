//! Flags of `dqa-coord report`.

use clap::ValueEnum;
use dqa_pipelines::names::{MetricName, RunName};
use dqa_pipelines::report::ReportTable;

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

    /// Only this metric [default: all of the run's metrics].
    #[arg(long, env = "DQA_METRIC", value_name = "NAME")]
    pub(super) metric: Option<MetricName>,

    /// Other runs, joined by commas, whose metrics are compared with those of the run: of the same data sets.
    #[arg(long, env = "DQA_WITH_RUNS", value_delimiter = ',', value_name = "RUNS")]
    pub(super) with_runs: Vec<RunName>,

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
    /// The metrics beside each other: agreement with labels, differences, and where they disagree.
    Metrics,
    /// Every pair of metrics: the difference of their agreement with labels, and its test.
    MetricDifferences,
    /// How alike metrics rank the pictures.
    MetricMatrix,
    /// How metrics rank the algorithms.
    MetricRanks,
    /// The pictures that metrics rank most differently.
    MetricDisagreements,
}

impl From<TableArg> for ReportTable {
    fn from(table: TableArg) -> ReportTable {
        match table {
            TableArg::Correlations => ReportTable::Correlations,
            TableArg::Leaderboard => ReportTable::Leaderboard,
            TableArg::Comparisons => ReportTable::Comparisons,
            TableArg::CrossDataset => ReportTable::CrossDataset,
            TableArg::Metrics => ReportTable::Metrics,
            TableArg::MetricDifferences => ReportTable::MetricDifferences,
            TableArg::MetricMatrix => ReportTable::MetricMatrix,
            TableArg::MetricRanks => ReportTable::MetricRanks,
            TableArg::MetricDisagreements => ReportTable::MetricDisagreements,
        }
    }
}
