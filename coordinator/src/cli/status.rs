//! `dqa-coord status`: how far a run is.

use std::io::{Write, stdout};

use dqa_pipelines::names::RunName;
use dqa_pipelines::parts::{self, Found};
use dqa_pipelines::place::Place;
use dqa_pipelines::run::{Counts, RunRecord, RunState};
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
    parts: usize,
    parts_done: usize,
    windows_done: u64,
    #[serde(flatten)]
    counts: Counts,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    if let Some(mut client) = args.remote.client()? {
        return of_coordinator(args, &mut client).await;
    }
    let store = args.store.open().await?;
    let record = run_or_last(&store, args.run.as_ref()).await?;
    let status = status(&store, record).await?;
    print(&status, args.format)?;
    Ok(if status.counts.failed == 0 { Done::All } else { Done::SomeFailed })
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

async fn status(store: &Place, record: RunRecord) -> anyhow::Result<Status> {
    let found = parts::find_all(store, record.parts.iter().map(|part| (part.key.clone(), part.rows))).await?;
    let mut status = Status {
        run: record.name,
        state: record.state,
        fingerprint: record.fingerprint,
        parts: record.parts.len(),
        parts_done: 0,
        windows_done: 0,
        counts: Counts { scored: 0, failed: 0, ..record.counts },
    };
    for (part, found) in record.parts.iter().zip(found) {
        if let Found::Whole(counts) = found {
            status.parts_done += 1;
            status.windows_done += part.windows;
            status.counts.scored += counts.rows - counts.failed;
            status.counts.failed += counts.failed;
        }
    }
    Ok(status)
}

fn print(status: &Status, format: Format) -> Result<(), Unwritten> {
    let mut out = stdout().lock();
    match format {
        Format::Json => {
            let line = serde_json::to_string(status).expect("a status has text for keys");
            writeln!(out, "{line}")?;
        }
        Format::Table => {
            let Status { counts, .. } = status;
            writeln!(out, "run          {} ({})", status.run, status.state)?;
            writeln!(out, "fingerprint  {}", status.fingerprint)?;
            writeln!(out, "parts        {} of {}", status.parts_done, status.parts)?;
            writeln!(out, "windows      {} of {}", status.windows_done, counts.windows)?;
            writeln!(out, "pictures     {} of {}", counts.scored + counts.failed, counts.pictures)?;
            writeln!(out, "failed       {}", counts.failed)?;
        }
    }
    Ok(out.flush()?)
}
