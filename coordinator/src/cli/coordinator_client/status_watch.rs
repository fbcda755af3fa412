//! `status --watch` at a coordinator: its runs and its workers, refreshed until the run has ended.

use std::io::{IsTerminal, Write, stdout};

use dqa_proto::v1;
use dqa_service::program::{OutputError, OutputFormat, note};

use super::client::{Client, get_run, list_runs, status_error};
use super::run_watch::has_ended;
use super::wire::run_summary;
use super::worker_table::print_workers;
use crate::cli::run_summary::RunSummary;
use crate::cli::run_table::{Columns, print_runs};
use crate::cli::watch_refresh::{clear_terminal, refresh_interval};

/// Shows a run and the workers until the run has ended, and returns the run in its final state. Without a name it shows
/// all runs, and does not end.
pub(in crate::cli) async fn watch_overview(
    client: &mut Client,
    name: Option<&str>,
    format: OutputFormat,
) -> anyhow::Result<RunSummary> {
    let is_terminal = stdout().is_terminal();
    let mut was_idle = false;
    loop {
        let (runs, ended) = match name {
            Some(name) => {
                let run = get_run(client, name.to_owned()).await?;
                (vec![run_summary(&run)], has_ended(&run))
            }
            None => (list_runs(client).await?.iter().map(run_summary).collect(), false),
        };
        let answer = client.list_workers(v1::ListWorkersRequest {}).await.map_err(|status| status_error(&status))?;
        if is_terminal {
            clear_terminal()?;
        }
        print_runs(&runs, format, Columns::Main)?;
        if format == OutputFormat::Table {
            writeln!(stdout()).map_err(OutputError::from)?;
            print_workers(&answer.into_inner().workers, format)?;
        }
        let is_idle = name.is_none() && !runs.iter().any(RunSummary::is_active);
        // A terminal was cleared of the last note.
        if is_idle && (is_terminal || !was_idle) {
            note(format_args!("no run is active: waiting for one; interrupt (Ctrl-C) to end"));
        }
        was_idle = is_idle;
        if let Some(run) = runs.into_iter().next().filter(|_| ended) {
            return Ok(run);
        }
        tokio::time::sleep(refresh_interval(is_terminal)).await;
    }
}
