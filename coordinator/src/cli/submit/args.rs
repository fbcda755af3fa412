//! Flags of `dqa-coord submit`.

use clap::ArgGroup;
use clap::builder::BoolishValueParser;
use dqa_pipelines::names::RunName;
use dqa_pipelines::plan::SHARD_WINDOWS_MAX;
use dqa_service::metric_args::MetricArgs;
use dqa_service::model_args::ModelArgs;
use dqa_service::program::help::headings;

use crate::cli::args::StoreArgs;
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::redefine_args::RedefineArgs;
use crate::cli::report::ReportArgs;

/// Scores data sets and reports on them.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("sentences").args(["prompts", "handcrafted"]))]
pub(in crate::cli) struct Args {
    /// Algorithms, joined by commas, or all. Folders of hazy inputs and references beside theirs only by name:
    /// `all,hazy`.
    #[arg(long, env = "DQA_ALGOS", value_delimiter = ',', default_value = "all", value_name = "NAMES")]
    algos: Vec<String>,

    /// Data sets, joined by commas: names that `dataset list` has, definitions (TOML), manifests or folders. NAME=PATH gives a data
    /// set another name than its own.
    #[arg(long, env = "DQA_DATASETS", value_delimiter = ',', required = true, value_name = "NAMES")]
    pub(super) datasets: Vec<String>,

    #[command(flatten)]
    pub(super) metrics: MetricArgs,

    #[command(flatten)]
    pub(super) model: ModelArgs,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    /// Name of the run [default: made of the data sets' names and a digest of the request].
    #[arg(long, env = "DQA_RUN_NAME", value_name = "RUN")]
    pub(super) name: Option<RunName>,

    /// Remark about the model that is shown with the results, for example that it is untrained.
    #[arg(long, env = "DQA_REMARK", help_heading = headings::RARE, value_name = "TEXT")]
    pub(super) remark: Option<String>,

    /// Score the hazy inputs too: they get a row in the leaderboard, and each algorithm its gain over them.
    #[arg(long, env = "DQA_WITH_HAZY", value_parser = BoolishValueParser::new())]
    pub(super) with_hazy: bool,

    #[command(flatten)]
    pub(super) redefine: RedefineArgs,

    /// Score what there is if pictures of the matrix are missing.
    #[arg(long, env = "DQA_ALLOW_MISSING", help_heading = headings::RARE, value_parser = BoolishValueParser::new())]
    pub(super) allow_missing: bool,

    /// Score pictures again that failed in an earlier run.
    #[arg(long, env = "DQA_RETRY_FAILED", help_heading = headings::RARE, value_parser = BoolishValueParser::new())]
    pub(super) retry_failed: bool,

    /// Most windows of a shard, whose rows are one file of the results.
    #[arg(long, env = "DQA_SHARD_WINDOWS", value_name = "N", help_heading = headings::RARE, default_value_t = SHARD_WINDOWS_MAX, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) shard_windows: u64,

    /// Priority among a coordinator's runs, high first.
    #[arg(long, env = "DQA_PRIORITY", help_heading = headings::RARE, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub(super) priority: i32,

    #[command(flatten)]
    pub(super) report: ReportArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Wait until the run is planned, then go on in the background, with the output in a file in the store's folder. A
    /// coordinator's run goes on at the coordinator.
    #[arg(long)]
    pub(super) detach: bool,

    /// Show what would be scored, and stop.
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Args {
    /// Returns the algorithms that are named; none stands for all.
    pub(super) fn algorithms(&self) -> Vec<String> {
        if self.algos == ["all"] { Vec::new() } else { self.algos.iter().map(|name| name.trim().to_owned()).collect() }
    }
}
