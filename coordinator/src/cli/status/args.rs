//! Flags of `dqa-coord status`.

use dqa_service::program::OutputFormat;

use crate::cli::args::StoreArgs;
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::run_selector::RunSelector;

/// Shows a run's progress, as counted in the store now.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) run: RunSelector,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Show it again and again until the run has ended. At a coordinator without RUN: all runs and workers, without
    /// end.
    #[arg(long)]
    pub(super) watch: bool,

    /// Format of the status.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    pub(super) format: OutputFormat,
}
