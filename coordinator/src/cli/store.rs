//! `dqa-coord store check`: finds what is wrong in a store, and repairs what can be repaired without a loss.

use std::io::{Write, stdout};

use clap::Subcommand;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::part_removal::GRACE;
use dqa_pipelines::store_check::{self, Problem, ProblemKind, Repair, StoreCheck};
use dqa_pipelines::text_table::Alignment::Left;
use dqa_pipelines::text_table::format_rows;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat, note};
use serde::Serialize;

use super::args::StoreArgs;
use super::output::print_rows;

/// Examines a store.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Lists records that cannot be read, and parts that are damaged, missing, doubled or named by no run.
    Check(CheckArgs),
}

/// Reads every part of the store. Ends with 1 if there are problems.
#[derive(clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    store: StoreArgs,

    /// Deletes damaged parts, puts parts back whose removal was interrupted, and removes parts that no run has named, and
    /// files that were not finished, for an hour. Lists what is left.
    #[arg(long)]
    repair: bool,

    /// Format of the list.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,
}

/// A problem as a row of the list.
#[derive(Default, Serialize)]
struct ProblemRow {
    problem: String,
    key: String,
    /// Names joined by commas.
    runs: String,
    detail: String,
}

impl ProblemRow {
    fn new(problem: &Problem) -> ProblemRow {
        let runs: Vec<&str> = problem.runs.iter().map(|run| run.as_str()).collect();
        ProblemRow {
            problem: problem.kind.to_string(),
            key: problem.key.clone(),
            runs: runs.join(","),
            detail: problem.detail.clone(),
        }
    }
}

/// Runs the command.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let StoreCommand::Check(args) = &args.command;
    let store = args.store.open().await?;
    let mut check = store_check::check(&store).await?;
    if args.repair && !check.problems.is_empty() {
        note_repair(&store_check::repair(&store, &check, GRACE).await?);
        check = store_check::check(&store).await?;
    }
    let rows: Vec<ProblemRow> = check.problems.iter().map(ProblemRow::new).collect();
    match args.format {
        OutputFormat::Table => print_table(&check, &rows)?,
        format => print_rows(&rows, format)?,
    }
    if check.problems.is_empty() {
        return Ok(ExitStatus::All);
    }
    note_advice(&check, args.repair);
    Ok(ExitStatus::SomeFailed)
}

fn print_table(check: &StoreCheck, rows: &[ProblemRow]) -> Result<(), OutputError> {
    let mut out = stdout().lock();
    if !rows.is_empty() {
        let header = ["problem", "key", "runs", "detail"].map(str::to_owned).to_vec();
        let cells =
            rows.iter().map(|row| vec![row.problem.clone(), row.key.clone(), row.runs.clone(), row.detail.clone()]);
        let table: Vec<Vec<String>> = std::iter::once(header).chain(cells).collect();
        writeln!(out, "{}", format_rows(&table, &[Left, Left, Left, Left]).trim_end())?;
    }
    let (problems, runs) = (counted(rows.len(), "problem"), counted(check.runs, "run"));
    writeln!(out, "{problems} in {runs} and {}", counted(check.parts, "part"))?;
    Ok(out.flush()?)
}

fn note_repair(repair: &Repair) {
    let Repair { deleted, collection } = repair;
    for (what, keys) in [
        ("deleted, because it was damaged", deleted),
        ("removed, because no run names it", &collection.removed),
        ("put back", &collection.restored),
        ("removed, because it was not written to its end", &collection.unfinished),
    ] {
        keys.iter().for_each(|key| note(format_args!("{key}: {what}")));
    }
}

fn note_advice(check: &StoreCheck, has_repaired: bool) {
    let has = |kind| check.problems.iter().any(|problem| problem.kind == kind);
    if has(ProblemKind::Damaged) || has(ProblemKind::Missing) {
        note(format_args!(
            "hint: `dqa-coord submit` with the same arguments makes the damaged and missing parts of a run again"
        ));
    }
    if !has_repaired && [ProblemKind::Orphan, ProblemKind::Aside, ProblemKind::Unfinished].into_iter().any(has) {
        note(format_args!(
            "hint: --repair removes parts that no run has named, and files that were not finished, for an hour"
        ));
    }
    if has(ProblemKind::Unreadable) {
        note(format_args!("hint: delete a record that cannot be read, and submit the run again: its parts are kept"));
    }
}
