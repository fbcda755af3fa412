//! Finds the runs of a command line at a coordinator, which resolves names as a store does.

use anyhow::bail;
use dqa_pipelines::names::RunName;
use dqa_proto::v1;

use super::client::{Client, get_run};
use crate::cli::run_selector::{NamedRun, RunSelector, RunsSelector, names_or_last_used, note_chosen_run};

/// Finds the selected run.
///
/// # Errors
/// If no run, or more than one, has the name; if the coordinator does not answer.
pub(in crate::cli) async fn find_run(client: &mut Client, selector: &RunSelector) -> anyhow::Result<v1::Run> {
    find(client, selector.name()).await
}

/// Finds the run that must be named.
///
/// # Errors
/// As [`find_run`].
pub(in crate::cli) async fn find_named_run(client: &mut Client, named: &NamedRun) -> anyhow::Result<v1::Run> {
    find(client, Some(&named.run)).await
}

/// Finds the selected runs, of which there is at least one.
///
/// # Errors
/// As [`find_run`], and if two names stand for the same run.
pub(in crate::cli) async fn find_runs(client: &mut Client, selector: &RunsSelector) -> anyhow::Result<Vec<v1::Run>> {
    let mut runs: Vec<v1::Run> = Vec::new();
    for name in names_or_last_used(selector.names()) {
        let run = find(client, name).await?;
        if runs.iter().any(|other| other.name == run.name) {
            bail!("run `{}` is named twice", run.name);
        }
        runs.push(run);
    }
    Ok(runs)
}

async fn find(client: &mut Client, name: Option<&RunName>) -> anyhow::Result<v1::Run> {
    let run = get_run(client, name.map(ToString::to_string).unwrap_or_default()).await?;
    note_chosen_run(name, &run.name);
    Ok(run)
}
