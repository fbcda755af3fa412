//! `runs --coordinator`: lists the coordinator's runs.

use dqa_service::program::ExitStatus;

use super::args::Args;
use crate::cli::coordinator_client::{Client, list_runs, run_summary};
use crate::cli::run_summary::RunSummary;
use crate::cli::run_table::print_runs;

/// Lists the runs.
pub(super) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    let runs: Vec<RunSummary> = list_runs(&mut client).await?.iter().map(run_summary).collect();
    print_runs(&runs, args.format, args.columns())?;
    Ok(ExitStatus::All)
}
