//! `dqa-coord report`: makes the tables of a run's agreement with labels and its leaderboards, in the store and on the
//! terminal.

mod args;
mod options;
#[cfg(feature = "cluster")]
mod remote;

use dqa_pipelines::report::ReportTable;
use dqa_pipelines::run::RunRecord;
use dqa_service::program::{ExitStatus, note, with_own_hint};

pub(super) use args::Args;
pub(super) use options::ReportArgs;

use super::args::Engine;
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;
use args::TableArg;

/// Notes why a table that needs several data sets is empty.
fn note_few_datasets(table: Option<TableArg>, datasets: usize) {
    if table == Some(TableArg::CrossDataset) && datasets < 2 {
        note(format_args!("the table cross-dataset needs two data sets, and the run has one: it is empty"));
    }
}

/// Makes the report in this process, or has the coordinator or its workers make it.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if args.engine == Engine::Cluster {
        return remote::run(args, args.coordinator.required_client()?).await;
    }
    if let Some(client) = args.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let store = args.store.open().await?;
    let record = args.run.find_record(&store).await?;
    note_few_datasets(args.table, record.spec.datasets.len());
    let mut others = Vec::new();
    for name in &args.with_runs {
        others.push(RunRecord::find_by_prefix(&store, name).await.map_err(with_own_hint)?);
    }
    let mut report = args.report.make_and_write(&store, &record, &others).await?;
    if let Some(metric) = &args.metric {
        report.retain_metric(metric).map_err(with_own_hint)?;
    }
    let all = [ReportTable::Correlations, ReportTable::CrossDataset, ReportTable::Leaderboard];
    let table = args.table.map(ReportTable::from);
    args.report.show(&report, table.as_ref().map_or(&all, std::slice::from_ref))?;
    Ok(ExitStatus::All)
}
