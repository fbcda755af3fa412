//! `dqa-coord runs`: lists the runs of a store or of a coordinator.

mod args;
#[cfg(feature = "cluster")]
mod remote;

use dqa_pipelines::status::RunStatus;
use dqa_service::program::ExitStatus;

pub(super) use args::Args;

use super::run_summary::RunSummary;
use super::run_table::print_runs;
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;

/// Lists the runs.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let store = args.store.open().await?;
    let runs: Vec<RunSummary> = RunStatus::read_all(&store).await?.iter().map(RunSummary::new).collect();
    print_runs(&runs, args.format, args.columns())?;
    Ok(ExitStatus::All)
}
