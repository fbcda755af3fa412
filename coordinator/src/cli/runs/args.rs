//! Flags of `dqa-coord runs`.

use clap::builder::BoolishValueParser;
use dqa_service::program::OutputFormat;

use crate::cli::args::StoreArgs;
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::run_table::Columns;

/// Lists the runs of a store or of a coordinator, oldest first.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Show more columns, and everything in full: by default a table fits 80 columns, and long lists are cut as `dcp,
    /// aod, +10`. JSON and CSV always have everything.
    #[arg(long, env = "DQA_WIDE", value_parser = BoolishValueParser::new())]
    wide: bool,

    /// Format of the list.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    pub(super) format: OutputFormat,
}

impl Args {
    /// Returns the columns that the user asked for.
    pub(super) fn columns(&self) -> Columns {
        if self.wide { Columns::All } else { Columns::Main }
    }
}
