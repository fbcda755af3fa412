//! `dqa-coord status`: how far a run is.

use std::io::{Write, stdout};

use dqa_pipelines::names::RunName;
use dqa_pipelines::progress::Progress;
use dqa_pipelines::run::RunState;
use dqa_pipelines::status::RunStatus;
use dqa_worker::program::{Done, Unwritten};
use serde::Serialize;

use super::remote::{Client, RemoteArgs};
use super::runs::Format;
use super::{StoreArgs, overview, run_or_last};

/// Says how far a run is, by what is in the store now.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The run [default: the one that was planned last].
    run: Option<RunName>,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

    /// Of a coordinator: show its runs and workers again and again.
    #[arg(long, requires = "coordinator")]
    watch: bool,

    /// How it is written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Serialize)]
struct Status {
    run: RunName,
    state: RunState,
    fingerprint: String,
    conductor: Option<String>,
    #[serde(flatten)]
    progress: Progress,
    failure: Option<String>,
    hint: Option<String>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    if let Some(mut client) = args.remote.client()? {
        return of_coordinator(args, &mut client).await;
    }
    let store = args.store.open().await?;
    let record = run_or_last(&store, args.run.as_ref()).await?;
    let status = shown(RunStatus::read(&store, record).await?);
    print(&status, args.format)?;
    Ok(if status.progress.failed == 0 { Done::All } else { Done::SomeFailed })
}

fn shown(status: RunStatus) -> Status {
    let hint = status.record.hint.clone().or_else(|| status.advice());
    Status {
        conductor: status.conductor.map(|conductor| conductor.to_string()),
        run: status.record.name,
        state: status.state,
        fingerprint: status.record.fingerprint,
        progress: status.progress,
        failure: status.record.failure,
        hint,
    }
}

async fn of_coordinator(args: &Args, client: &mut Client) -> anyhow::Result<Done> {
    let run = args.run.as_ref().map(RunName::as_str);
    if args.watch {
        overview::keep_showing(client, run).await?;
        return Ok(Done::All);
    }
    let runs = overview::runs(client, run).await?;
    let some_failed = runs.iter().any(|run| run.progress.is_some_and(|progress| progress.pictures_failed > 0));
    overview::print(&runs, args.format)?;
    Ok(if some_failed { Done::SomeFailed } else { Done::All })
}

fn print(status: &Status, format: Format) -> Result<(), Unwritten> {
    let mut out = stdout().lock();
    match format {
        Format::Json => {
            let line = serde_json::to_string(status).expect("a status has text for keys");
            writeln!(out, "{line}")?;
        }
        Format::Table => {
            let progress = &status.progress;
            writeln!(out, "run          {} ({})", status.run, status.state)?;
            writeln!(out, "fingerprint  {}", status.fingerprint)?;
            if let Some(conductor) = &status.conductor {
                writeln!(out, "worked on    {conductor}")?;
            }
            writeln!(out, "parts        {} of {}", progress.parts_done, progress.parts)?;
            writeln!(out, "windows      {} of {}", progress.windows_done, progress.windows)?;
            writeln!(out, "pictures     {} of {}", progress.pictures_done(), progress.pictures)?;
            writeln!(out, "failed       {}", progress.failed)?;
            if let Some(failure) = &status.failure {
                writeln!(out, "why          {failure}")?;
            }
            if let Some(hint) = &status.hint {
                writeln!(out, "to do        {hint}")?;
            }
        }
    }
    Ok(out.flush()?)
}
