//! `dqa-coord leaderboard`: the algorithms in order, of one run or of several that one model scored.

use dqa_pipelines::names::DatasetName;
use dqa_pipelines::report::{self, Table, together};
use dqa_proto::v1;
use dqa_service::program::ExitStatus;

use super::StoreArgs;
use super::remote::{Client, RemoteArgs};
use super::report::{self as report_command, ReportArgs, advised};
use super::run_selector::RunsSelector;

/// Ranks the algorithms of a run, or of several together, and says which ranks are inside the noise. Several must be of one
/// model and agree on the data sets that they share.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    runs: RunsSelector,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// Only this data set.
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: Option<DatasetName>,

    #[command(flatten)]
    report: ReportArgs,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(mut client) = args.remote.client()? {
        return of_coordinator(args, &mut client).await;
    }
    let store = args.store.open().await?;
    let records = args.runs.records(&store).await?;
    report::require_complete(&store, &records).await.map_err(advised)?;
    let record = together(&records[0], &records[1..]).map_err(advised)?;
    let mut report = report::rank(&store, &record, &args.report.options()).await.map_err(advised)?;
    if let Some(dataset) = &args.dataset {
        report.only(dataset)?;
    }
    args.report.show(&report, &[Table::Leaderboard])?;
    Ok(ExitStatus::All)
}

async fn of_coordinator(args: &Args, client: &mut Client) -> anyhow::Result<ExitStatus> {
    let mut runs = args.runs.remote(client).await?.into_iter().map(|run| run.name);
    let first = runs.next().expect("one is chosen, or it was an error");
    let mut request = args.report.request(first, &[v1::Table::Leaderboard]);
    request.more_runs = runs.collect();
    request.dataset = args.dataset.as_ref().map(ToString::to_string).unwrap_or_default();
    report_command::print(&report_command::fetched(client, request).await?)?;
    Ok(ExitStatus::All)
}
