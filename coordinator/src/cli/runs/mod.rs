//! `dqa-coord runs`: lists the runs of a store or of a coordinator. `dqa-coord runs rm` removes runs.

mod args;
mod confirmation;
#[cfg(feature = "cluster")]
mod remote;
mod removal;
mod removal_summary;

use dqa_pipelines::status::RunStatus;
use dqa_service::program::ExitStatus;

pub(super) use args::Args;
use args::RunsCommand;

use super::run_summary::RunSummary;
use super::run_table::print_runs;
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;

/// Lists the runs, or removes some.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let store = args.store.open().await?;
    if let Some(RunsCommand::Rm(remove)) = &args.command {
        return removal::run(&store, remove, args.format).await;
    }
    let runs: Vec<RunSummary> = RunStatus::read_all(&store).await?.iter().map(RunSummary::new).collect();
    print_runs(&runs, args.format, args.columns())?;
    Ok(ExitStatus::All)
}
