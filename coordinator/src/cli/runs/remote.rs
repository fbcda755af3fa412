//! `runs --coordinator`: lists the coordinator's runs, or has it remove some.

use anyhow::Context;
use dqa_proto::v1;
use dqa_service::program::ExitStatus;

use super::args::{Args, RemoveArgs, RunsCommand};
use super::confirmation::{confirm, require_terminal, require_whole_names};
use super::removal_summary::RemovalSummary;
use crate::cli::coordinator_client::{Client, list_runs, run_summary, status_error};
use crate::cli::run_summary::RunSummary;
use crate::cli::run_table::print_runs;

/// Lists the runs, or removes some.
pub(super) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    if let Some(RunsCommand::Rm(remove)) = &args.command {
        remove_runs(&mut client, remove).await?.print(args.format)?;
        return Ok(ExitStatus::All);
    }
    let runs: Vec<RunSummary> = list_runs(&mut client).await?.iter().map(run_summary).collect();
    print_runs(&runs, args.format, args.columns())?;
    Ok(ExitStatus::All)
}

async fn remove_runs(client: &mut Client, args: &RemoveArgs) -> anyhow::Result<RemovalSummary> {
    let names = args.runs.iter().map(ToString::to_string).collect();
    let planned = call(client, v1::RemoveRunsRequest { names, dry_run: true }).await?;
    if args.dry_run {
        return Ok(summary(planned, false));
    }
    // The names in full: a run that was submitted since then is not meant.
    let names = planned.runs.clone();
    require_whole_names(args, &names)?;
    require_terminal(args)?;
    confirm(args, &summary(planned, false).question())?;
    Ok(summary(call(client, v1::RemoveRunsRequest { names, dry_run: false }).await?, true))
}

async fn call(client: &mut Client, request: v1::RemoveRunsRequest) -> anyhow::Result<v1::RunRemoval> {
    let answer = client.remove_runs(request).await.map_err(|status| status_error(&status))?;
    answer.into_inner().removal.context("the coordinator's answer does not say what is removed")
}

fn summary(removal: v1::RunRemoval, removed: bool) -> RemovalSummary {
    let v1::RunRemoval { runs, parts, rows, bytes, tables, parts_kept } = removal;
    RemovalSummary { runs: runs.join(","), removed, parts, rows, bytes, tables, parts_kept }
}
