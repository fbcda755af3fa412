//! `dqa-coord status`: how far a run is.

use std::io::{IsTerminal, Write, stdout};

use dqa_pipelines::run::RunRecord;
use dqa_pipelines::status::RunStatus;
use dqa_service::program::{ExitStatus, Format, OutputError};

use super::remote::{Client, RemoteArgs};
use super::run_selector::RunSelector;
use super::run_summary::{self, RunSummary};
use super::{StoreArgs, overview};

/// Says how far a run is, by what is in the store now.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    run: RunSelector,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// Show it again and again until it has ended. Of a coordinator without RUN: all runs and workers, without an end.
    #[arg(long)]
    watch: bool,

    /// How it is written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let run = match args.remote.client()? {
        Some(mut client) => of_coordinator(args, &mut client).await?,
        None => of_store(args).await?,
    };
    if !args.watch {
        run_summary::print_one(&run, args.format)?;
    }
    Ok(if run.has_failed_pictures() { ExitStatus::SomeFailed } else { ExitStatus::All })
}

async fn of_coordinator(args: &Args, client: &mut Client) -> anyhow::Result<RunSummary> {
    if !args.watch {
        return Ok(RunSummary::of_coordinator(&args.run.remote(client).await?));
    }
    let name = if args.run.is_given() { Some(args.run.remote(client).await?.name) } else { None };
    overview::keep_showing(client, name.as_deref(), args.format).await
}

async fn of_store(args: &Args) -> anyhow::Result<RunSummary> {
    let store = args.store.open().await?;
    let mut record = args.run.record(&store).await?;
    loop {
        let status = RunStatus::read(&store, record.clone()).await?;
        let run = RunSummary::of_store(&status);
        if !args.watch {
            return Ok(run);
        }
        let is_screen = stdout().is_terminal();
        if is_screen {
            overview::clear_screen()?;
        }
        run_summary::print_one(&run, args.format)?;
        if !status.state.is_active() {
            return Ok(run);
        }
        if !is_screen && args.format == Format::Table {
            writeln!(stdout()).map_err(OutputError::from)?;
        }
        tokio::time::sleep(overview::pause(is_screen)).await;
        record = RunRecord::read(&store, &record.name).await?;
    }
}
