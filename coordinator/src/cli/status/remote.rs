//! `status --coordinator`: shows a run's progress as the coordinator knows it.

use dqa_service::program::ExitStatus;

use super::args::Args;
use crate::cli::coordinator_client::{Client, find_run, run_summary, watch_overview};
use crate::cli::run_summary::print_one;

/// Shows the run, with `--watch` until it has ended.
pub(super) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    if !args.watch {
        let run = run_summary(&find_run(&mut client, &args.run).await?);
        print_one(&run, args.format)?;
        return Ok(run.exit_status());
    }
    let name = if args.run.is_given() { Some(find_run(&mut client, &args.run).await?.name) } else { None };
    Ok(watch_overview(&mut client, name.as_deref(), args.format).await?.exit_status())
}
