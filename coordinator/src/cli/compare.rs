//! `dqa-coord compare`: models, prompts or views side by side, on the pictures that their runs have in common.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_pipelines::names::DatasetName;
use dqa_pipelines::report::compare::{self, CompareError, CompareOptions, CompareTable, Compared};
use dqa_service::program::{ExitStatus, Format, OutputError, note, with_hint};

use super::report::advised as report_advised;
use super::run_selector::RunsSelector;
use super::{StoreArgs, here_only};

/// Says which of several runs agrees better with the labels of the same pictures, and whether they rank the algorithms alike.
#[derive(clap::Args)]
#[command(arg = here_only::coordinator())]
pub(super) struct Args {
    /// Two or more. A difference is a later one's less an earlier one's.
    #[command(flatten)]
    runs: RunsSelector,

    #[command(flatten)]
    store: StoreArgs,

    /// Only this data set [default: all that every run has].
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: Option<DatasetName>,

    /// Of three or more runs, take only the differences to the first.
    #[arg(long, env = "DQA_TO_FIRST", value_parser = BoolishValueParser::new())]
    to_first: bool,

    /// The table that is shown [default: both; as json and csv the agreement with labels].
    #[arg(long, env = "DQA_TABLE", value_enum, value_name = "TABLE")]
    table: Option<TableArg>,

    /// How results are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The file that results are written to [default: standard output].
    #[arg(long, env = "DQA_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TableArg {
    /// SRCC, PLCC and KRCC of each run and their differences.
    Agreement,
    /// The agreement of the runs' leaderboards.
    Leaderboards,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let store = args.store.open().await?;
    if !args.runs.is_given() {
        return Err(advised(CompareError::Count(0)));
    }
    here_only::say_store(&args.store.store);
    let records = args.runs.records(&store).await?;
    let options =
        CompareOptions { dataset: args.dataset.clone(), only_to_first: args.to_first, level: CompareOptions::LEVEL };
    let compared = compare::compare(&store, &records, &options).await.map_err(advised)?;
    warn(&compared);
    let text = text(args, &compared);
    match &args.output {
        None => {
            let mut out = stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(OutputError::from)?;
        }
        Some(path) => {
            // Under another name until it is whole.
            let partial = path.with_added_extension("partial");
            let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
            written
                .inspect_err(|_| drop(std::fs::remove_file(&partial)))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(ExitStatus::All)
}

fn text(args: &Args, compared: &Compared) -> String {
    let all = [CompareTable::Agreement, CompareTable::Leaderboards];
    let table = args.table.map(|table| match table {
        TableArg::Agreement => CompareTable::Agreement,
        TableArg::Leaderboards => CompareTable::Leaderboards,
    });
    match args.format {
        Format::Table => compared.text(table.as_ref().map_or(&all, std::slice::from_ref)),
        Format::Json => compared.json(table.unwrap_or(CompareTable::Agreement)),
        Format::Csv => compared.csv(table.unwrap_or(CompareTable::Agreement)),
    }
}

/// What is said on standard error too, where a file or a program reads the results.
fn warn(compared: &Compared) {
    for line in compared.datasets.iter().filter_map(|dataset| dataset.left_out_line()) {
        note(format_args!("{line}"));
    }
    for line in compared.notes() {
        note(format_args!("warning: {line}"));
    }
}

fn advised(error: CompareError) -> anyhow::Error {
    match error {
        CompareError::Report(error) => report_advised(error),
        error => match error.hint() {
            Some(hint) => with_hint(error.into(), hint),
            None => anyhow!(error),
        },
    }
}
