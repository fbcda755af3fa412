//! Flags of `dqa-coord runs` and of its command `rm`.

use clap::Subcommand;
use clap::builder::BoolishValueParser;
use dqa_pipelines::names::RunName;
use dqa_service::program::OutputFormat;

use crate::cli::args::StoreArgs;
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::run_table::Columns;

/// Lists the runs of a store or of a coordinator, oldest first; or removes runs.
#[derive(clap::Args)]
// The command `rm` takes the same flags, before or after its name.
#[command(mut_args(|arg| if arg.get_id() == "wide" { arg } else { arg.global(true) }))]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<RunsCommand>,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Show more columns, and everything in full: by default a table fits 80 columns, and long lists are cut as `dcp,
    /// aod, +10`. JSON and CSV always have everything.
    #[arg(long, env = "DQA_WIDE", value_parser = BoolishValueParser::new())]
    wide: bool,

    /// Format of the list, or of what is removed.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    pub(super) format: OutputFormat,
}

impl Args {
    /// Returns the columns that the user asked for.
    pub(super) fn columns(&self) -> Columns {
        if self.wide { Columns::All } else { Columns::Main }
    }
}

#[derive(Subcommand)]
pub(super) enum RunsCommand {
    /// Removes runs: their records, their reports, and the parts that no other run names.
    #[command(aliases = ["remove", "delete"])]
    Rm(RemoveArgs),
}

/// Removes runs that have ended. Shows what it would free, and asks.
#[derive(clap::Args)]
pub(super) struct RemoveArgs {
    /// Runs, or the beginnings of their names.
    #[arg(value_name = "RUN", required = true)]
    pub(super) runs: Vec<RunName>,

    /// Show what would be freed, and remove nothing.
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Remove without asking.
    #[arg(long)]
    pub(super) yes: bool,
}
