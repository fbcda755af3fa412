//! `runs rm` on a store: removes runs in this process. It claims them first, so that no other process begins to score one of
//! them while it is being removed.

use anyhow::bail;
use dqa_pipelines::names::RunName;
use dqa_pipelines::run::{RecordWriter, RunRecord};
use dqa_pipelines::run_removal::RunRemoval;
use dqa_pipelines::store::Store;
use dqa_service::program::{ExitStatus, OutputFormat, with_own_hint};

use super::args::RemoveArgs;
use super::confirmation::{confirm, require_terminal, require_whole_names};
use super::removal_summary::RemovalSummary;
use crate::cli::run_selector::note_chosen_run;
use crate::run::Claim;

/// Removes the runs, or with `--dry-run` shows what that would free.
pub(super) async fn run(store: &Store, args: &RemoveArgs, format: OutputFormat) -> anyhow::Result<ExitStatus> {
    let runs = find_runs(store, &args.runs).await?;
    require_whole_names(args, &runs)?;
    require_terminal(args)?;
    let planned = RunRemoval::plan(store, &runs).await.map_err(with_own_hint)?;
    let summary = RemovalSummary::new(&planned, false);
    if args.dry_run {
        summary.print(format)?;
        return Ok(ExitStatus::All);
    }
    confirm(args, &summary.question())?;
    let mut claims = Vec::new();
    for run in &runs {
        claims.push(Claim::acquire(store, run).await.map_err(with_own_hint)?);
    }
    let removed = remove_records(store, &runs).await;
    for claim in claims {
        claim.release().await;
    }
    let removal = removed?;
    let parts = removal.remove_parts(store).await?;
    RemovalSummary::new(&removal.with_removed(&parts), true).print(format)?;
    Ok(ExitStatus::All)
}

/// Removes all but the parts. While the user was asked, the store may have changed: the runs are looked at again.
async fn remove_records(store: &Store, runs: &[RunName]) -> anyhow::Result<RunRemoval> {
    let removal = RunRemoval::plan(store, runs).await.map_err(with_own_hint)?;
    removal.remove_records(store, RecordWriter::Command).await.map_err(with_own_hint)?;
    Ok(removal)
}

async fn find_runs(store: &Store, names: &[RunName]) -> anyhow::Result<Vec<RunName>> {
    let mut runs: Vec<RunName> = Vec::new();
    for name in names {
        let run = RunRecord::find_by_prefix(store, name).await.map_err(with_own_hint)?.name;
        note_chosen_run(Some(name), run.as_str());
        if runs.contains(&run) {
            bail!("run `{run}` is named twice");
        }
        runs.push(run);
    }
    Ok(runs)
}
