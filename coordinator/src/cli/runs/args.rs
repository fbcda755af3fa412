//! Flags of `dqa-coord runs`.

use dqa_service::program::OutputFormat;

use crate::cli::args::StoreArgs;
use crate::cli::coordinator_args::CoordinatorArgs;

/// Lists the runs of a store or of a coordinator, oldest first.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Format of the list.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    pub(super) format: OutputFormat,
}
