//! `leaderboard --coordinator`: the coordinator makes the leaderboard.

use dqa_proto::v1;
use dqa_service::program::ExitStatus;

use super::args::Args;
use crate::cli::coordinator_client::{Client, find_runs, get_report, report_request};
use crate::cli::output::print_text;

/// Fetches the leaderboard and shows it.
pub(super) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    let mut runs = find_runs(&mut client, &args.runs).await?.into_iter().map(|run| run.name);
    let first = runs.next().expect("at least one run is selected, or finding it is an error");
    let request = report_request(first, &[v1::Table::Leaderboard], &args.report);
    let request = v1::GetReportRequest {
        more_runs: runs.collect(),
        metric: args.metric.as_ref().map(ToString::to_string).unwrap_or_default(),
        dataset: args.dataset.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..request
    };
    print_text(&get_report(&mut client, request).await?)?;
    Ok(ExitStatus::All)
}
