//! `dqa-coord leaderboard`: ranks the algorithms of one run, or of several that one model scored.

mod args;
#[cfg(feature = "cluster")]
mod remote;

use dqa_pipelines::report::{self, ReportTable, combine_runs};
use dqa_service::program::{ExitStatus, with_own_hint};

pub(super) use args::Args;

#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;

/// Makes the leaderboard in this process, or has the coordinator make it.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let store = args.store.open().await?;
    let records = args.runs.find_records(&store).await?;
    report::require_complete(&store, &records).await.map_err(with_own_hint)?;
    let record = combine_runs(&records[0], &records[1..]).map_err(with_own_hint)?;
    let mut report =
        report::compute_leaderboards(&store, &record, &args.report.options()).await.map_err(with_own_hint)?;
    if let Some(dataset) = &args.dataset {
        report.retain_dataset(dataset)?;
    }
    if let Some(metric) = &args.metric {
        report.retain_metric(metric).map_err(with_own_hint)?;
    }
    args.report.show(&report, &[ReportTable::Leaderboard])?;
    Ok(ExitStatus::All)
}
