//! Flags of `dqa-coord leaderboard`.

use dqa_pipelines::names::{DatasetName, MetricName};

use crate::cli::args::StoreArgs;
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::report::ReportArgs;
use crate::cli::run_selector::RunsSelector;

/// Ranks the algorithms of a run, or of several runs together, and says which ranks may be due to chance. Several runs
/// must have one model and agree on the data sets that they share.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) runs: RunsSelector,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Only this data set.
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    pub(super) dataset: Option<DatasetName>,

    /// Only this metric [default: all metrics of the runs].
    #[arg(long, env = "DQA_METRIC", value_name = "NAME")]
    pub(super) metric: Option<MetricName>,

    #[command(flatten)]
    pub(super) report: ReportArgs,
}
