//! A coordinator at a glance: its runs and its workers, once or again and again.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use dqa_proto::v1;
use dqa_service::program::{Format, OutputError};

use super::remote::{Client, given, refusal};
use super::run_summary::{self, RunSummary};
use super::{watch, workers};

/// What a person sees as now; in a log it is enough to know every so often.
const SCREEN_EVERY: Duration = Duration::from_secs(1);
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Between two looks.
pub(super) fn pause(is_screen: bool) -> Duration {
    if is_screen { SCREEN_EVERY } else { LINES_EVERY }
}

/// Moves home, and clears to the end.
pub(super) fn clear_screen() -> Result<(), OutputError> {
    Ok(write!(stdout(), "\x1b[H\x1b[J")?)
}

/// Shows a run and the workers again and again until the run has ended, and returns how it is then. Without a name it shows
/// all runs, for ever.
pub(super) async fn keep_showing(
    client: &mut Client,
    name: Option<&str>,
    format: Format,
) -> anyhow::Result<RunSummary> {
    let is_screen = stdout().is_terminal();
    loop {
        let (runs, ended) = match name {
            Some(name) => {
                let run = run(client, name).await?;
                (vec![RunSummary::of_coordinator(&run)], watch::has_ended(&run))
            }
            None => (runs(client).await?, false),
        };
        let mine = client.list_workers(v1::ListWorkersRequest {}).await.map_err(|status| refusal(&status))?;
        if is_screen {
            clear_screen()?;
        }
        run_summary::print_all(&runs, format)?;
        if format == Format::Table {
            writeln!(stdout()).map_err(OutputError::from)?;
            workers::print(&mine.into_inner().workers, format)?;
        }
        if let Some(run) = runs.into_iter().next().filter(|_| ended) {
            return Ok(run);
        }
        tokio::time::sleep(pause(is_screen)).await;
    }
}

async fn run(client: &mut Client, name: &str) -> anyhow::Result<v1::Run> {
    let answer = client.get_run(v1::GetRunRequest { name: name.to_owned() }).await;
    given(answer.map_err(|status| refusal(&status))?.into_inner().run)
}

/// All runs of a coordinator, oldest first.
pub(super) async fn runs(client: &mut Client) -> anyhow::Result<Vec<RunSummary>> {
    let answer = client.list_runs(v1::ListRunsRequest {}).await.map_err(|status| refusal(&status))?;
    Ok(answer.into_inner().runs.iter().map(RunSummary::of_coordinator).collect())
}
