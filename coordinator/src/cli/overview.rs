//! A coordinator at a glance: its runs and its workers, once or again and again.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use dqa_proto::v1;
use dqa_worker::program::Unwritten;
use serde_json::json;

use super::remote::{Client, given, refusal};
use super::runs::Format;
use super::{watch, workers};

/// What a person sees as now; in a log it is enough to know every so often.
const SCREEN_EVERY: Duration = Duration::from_secs(1);
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Shows the runs and workers again and again, until the run has ended if one is named.
pub(super) async fn keep_showing(client: &mut Client, run: Option<&str>) -> anyhow::Result<()> {
    let is_screen = stdout().is_terminal();
    loop {
        let runs = runs(client, run).await?;
        let mine = client.list_workers(v1::ListWorkersRequest {}).await.map_err(|status| refusal(&status))?;
        if is_screen {
            // Home, and clear to the end.
            write!(stdout(), "\x1b[H\x1b[J").map_err(Unwritten::from)?;
        }
        print(&runs, Format::Table)?;
        writeln!(stdout()).map_err(Unwritten::from)?;
        workers::print(&mine.into_inner().workers, Format::Table)?;
        if run.is_some() && runs.iter().all(watch::has_ended) {
            return Ok(());
        }
        tokio::time::sleep(if is_screen { SCREEN_EVERY } else { LINES_EVERY }).await;
    }
}

/// The run of this name, or all.
pub(super) async fn runs(client: &mut Client, run: Option<&str>) -> anyhow::Result<Vec<v1::Run>> {
    let Some(name) = run else {
        let answer = client.list_runs(v1::ListRunsRequest {}).await.map_err(|status| refusal(&status))?;
        return Ok(answer.into_inner().runs);
    };
    let answer = client.get_run(v1::GetRunRequest { name: name.to_owned() }).await;
    Ok(vec![given(answer.map_err(|status| refusal(&status))?.into_inner().run)?])
}

/// Writes runs to standard output.
pub(super) fn print(runs: &[v1::Run], format: Format) -> Result<(), Unwritten> {
    let mut out = stdout().lock();
    if matches!(format, Format::Table) {
        let columns = ("run", "state", "shards", "under way", "pictures", "failed", "windows/s");
        let (run, state, shards, way, pictures, failed, rate) = columns;
        writeln!(out, "{run:32} {state:9} {shards:>13} {way:>9} {pictures:>15} {failed:>6} {rate:>9}")?;
    }
    for run in runs {
        let progress = run.progress.unwrap_or_default();
        match format {
            Format::Json => writeln!(out, "{}", as_json(run))?,
            Format::Table => {
                let shards = format!("{}/{}", progress.shards_done, progress.shards);
                let pictures = format!("{}/{}", progress.pictures_done, progress.pictures);
                write!(
                    out,
                    "{:32} {:9} {shards:>13} {:>9} {pictures:>15} {:>6} {:>9.1}",
                    run.name,
                    watch::state(run),
                    progress.shards_running,
                    progress.pictures_failed,
                    progress.windows_per_second,
                )?;
                if progress.shards_retrying + progress.shards_quarantined > 0 {
                    write!(
                        out,
                        "  {} to be tried again, {} given up",
                        progress.shards_retrying, progress.shards_quarantined
                    )?;
                }
                writeln!(out, "{}{}", if run.failure.is_empty() { "" } else { "  " }, run.failure)?;
            }
        }
    }
    Ok(out.flush()?)
}

fn as_json(run: &v1::Run) -> serde_json::Value {
    let progress = run.progress.unwrap_or_default();
    json!({
        "name": run.name,
        "state": watch::state(run),
        "failure": run.failure,
        "hint": run.hint,
        "fingerprint": run.fingerprint,
        "priority": run.priority,
        "created": run.created,
        "updated": run.updated,
        "shards": progress.shards,
        "shards_done": progress.shards_done,
        "shards_running": progress.shards_running,
        "shards_retrying": progress.shards_retrying,
        "shards_quarantined": progress.shards_quarantined,
        "windows": progress.windows,
        "windows_done": progress.windows_done,
        "pictures": progress.pictures,
        "pictures_done": progress.pictures_done,
        "pictures_failed": progress.pictures_failed,
        "windows_per_second": progress.windows_per_second,
    })
}
