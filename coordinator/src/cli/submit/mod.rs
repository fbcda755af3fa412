//! `dqa-coord submit`: scores data sets of dehazed pictures, and makes correlations and a leaderboard of the scores.

mod args;
mod datasets;
mod local;
#[cfg(feature = "cluster")]
mod remote;

use dqa_service::program::ExitStatus;

pub(super) use args::Args;

pub(super) use datasets::find_definitions;
pub(super) use local::{LocalRun, LocalRunEnd, score};

use super::detach;
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;

/// Submits a run to the coordinator, or runs it in this process or in one in the background.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.coordinator.client()? {
        return remote::run(args, client).await;
    }
    if args.detach && !detach::is_in_background() {
        return detach::detach(&args.store).await;
    }
    local::run(args).await
}
