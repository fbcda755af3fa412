//! `dqa-coord leaderboard`: the algorithms in order, of one run or of several that one model scored.

use dqa_pipelines::names::{DatasetName, RunName};
use dqa_pipelines::report::{self, Table, together};
use dqa_pipelines::run::RunRecord;
use dqa_worker::program::Done;

use super::report::{ReportArgs, advised};
use super::{StoreArgs, run_or_last};

/// Ranks the algorithms of a run, or of several together, and says which ranks are inside the noise.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The runs, joined by commas or one a flag [default: the one that was planned last]. Several must be of one model
    /// and agree on the data sets that they share.
    #[arg(long = "run", env = "DQA_RUN", value_delimiter = ',', value_name = "RUN")]
    runs: Vec<RunName>,

    #[command(flatten)]
    store: StoreArgs,

    /// Only this data set.
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: Option<DatasetName>,

    #[command(flatten)]
    report: ReportArgs,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    let store = args.store.open().await?;
    let mut records = Vec::new();
    for name in &args.runs {
        records.push(RunRecord::read(&store, name).await?);
    }
    if records.is_empty() {
        records.push(run_or_last(&store, None).await?);
    }
    report::require_complete(&store, &records).await.map_err(advised)?;
    let record = together(&records[0], &records[1..]).map_err(advised)?;
    let mut report = report::rank(&store, &record, &args.report.options()).await.map_err(advised)?;
    if let Some(dataset) = &args.dataset {
        report.only(dataset)?;
    }
    args.report.show(&report, &[Table::Leaderboard])?;
    Ok(Done::All)
}
