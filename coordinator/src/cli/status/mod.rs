//! `dqa-coord status`: shows a run's progress.

mod args;
#[cfg(feature = "cluster")]
mod remote;

use std::io::{IsTerminal, Write, stdout};

use dqa_pipelines::run::RunRecord;
use dqa_pipelines::status::RunStatus;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat};

pub(super) use args::Args;

use super::run_summary::{RunSummary, print_one};
use super::watch_refresh::{clear_terminal, refresh_interval};
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;

/// Shows the run, with `--watch` until it has ended.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if let Some(client) = args.coordinator.client()? {
        return remote::run(args, client).await;
    }
    let store = args.store.open().await?;
    let mut record = args.run.find_record(&store).await?;
    loop {
        let status = RunStatus::read(&store, record.clone()).await?;
        let run = RunSummary::new(&status);
        let is_terminal = stdout().is_terminal();
        if args.watch && is_terminal {
            clear_terminal()?;
        }
        print_one(&run, args.format)?;
        if !args.watch || !status.state.is_active() {
            return Ok(run.exit_status());
        }
        if !is_terminal && args.format == OutputFormat::Table {
            writeln!(stdout()).map_err(OutputError::from)?;
        }
        tokio::time::sleep(refresh_interval(is_terminal)).await;
        record = RunRecord::find_by_prefix(&store, &record.name).await?;
    }
}
