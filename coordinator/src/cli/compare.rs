//! `dqa-coord compare`: compares models, prompts or views on the pictures that their runs have in common.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_pipelines::names::{DatasetName, MetricName};
use dqa_pipelines::report::compare::{self, CompareError, CompareOptions, CompareTable, RunComparison};
use dqa_pipelines::report::{require_complete, select_metric};
use dqa_pipelines::result_page::{Emphasis, TableStyle};
use dqa_service::program::{ExitStatus, note, with_own_hint};

use super::args::StoreArgs;
use super::local_only;
use super::output::{PartialFile, print_text};
use super::result_format::{ResultForm, ResultFormatArgs};
use super::run_selector::RunsSelector;

/// Compares runs over the same pictures: which agrees better with the labels, and whether they rank the algorithms
/// alike.
#[derive(clap::Args)]
#[command(arg = local_only::coordinator_flag_of_store_reader())]
pub(super) struct Args {
    // Two or more. A difference is a later run's value minus an earlier run's.
    #[command(flatten)]
    runs: RunsSelector,

    #[command(flatten)]
    store: StoreArgs,

    /// Only this data set [default: every data set that all runs have].
    #[arg(long, env = "DQA_DATASET", value_name = "NAME")]
    dataset: Option<DatasetName>,

    /// The metric that is compared [default: clip-dqa, or the only metric of a run].
    #[arg(long, env = "DQA_METRIC", value_name = "NAME")]
    metric: Option<MetricName>,

    /// With three or more runs, compare each only with the first.
    #[arg(long, env = "DQA_TO_FIRST", value_parser = BoolishValueParser::new())]
    to_first: bool,

    /// Table to show [default: both with --format table, agreement with json and csv].
    #[arg(long, env = "DQA_TABLE", value_enum, value_name = "TABLE")]
    table: Option<CompareTableArg>,

    #[command(flatten)]
    result: ResultFormatArgs,

    /// File to write the results to [default: standard output].
    #[arg(long, env = "DQA_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum CompareTableArg {
    /// SRCC, PLCC and KRCC of each run, and their differences.
    Agreement,
    /// Agreement of the runs' leaderboards.
    Leaderboards,
}

/// Compares the runs and writes the results.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let store = args.store.open().await?;
    if !args.runs.is_given() {
        return Err(with_own_hint(CompareError::RunCount(0)));
    }
    local_only::note_store(&args.store.url);
    let mut records = args.runs.find_records(&store).await?;
    if args.metric.is_some() {
        require_complete(&store, &records).await.map_err(with_own_hint)?;
        for record in &mut records {
            *record = select_metric(record, args.metric.as_ref()).map_err(with_own_hint)?;
        }
    }
    let options =
        CompareOptions { dataset: args.dataset.clone(), only_to_first: args.to_first, level: CompareOptions::LEVEL };
    let compared = compare::compare(&store, &records, &options).await.map_err(with_own_hint)?;
    note_warnings(&compared);
    let text = text(args, &compared);
    match &args.output {
        None => print_text(&text)?,
        Some(path) => {
            let (partial, mut file) = PartialFile::create(path)?;
            partial.finish(file.write_all(text.as_bytes()).map_err(Into::into))?;
        }
    }
    Ok(ExitStatus::All)
}

fn text(args: &Args, compared: &RunComparison) -> String {
    let all = [CompareTable::Agreement, CompareTable::Leaderboards];
    let table = args.table.map(|table| match table {
        CompareTableArg::Agreement => CompareTable::Agreement,
        CompareTableArg::Leaderboards => CompareTable::Leaderboards,
    });
    match args.result.form() {
        ResultForm::Tables(style) => {
            // A file has no escape sequences.
            let emphasis = if args.output.is_some() { Emphasis::Asterisk } else { style.emphasis };
            compared.render(table.as_ref().map_or(&all, std::slice::from_ref), TableStyle { emphasis, ..style })
        }
        ResultForm::Json => compared.json(table.unwrap_or(CompareTable::Agreement)),
        ResultForm::Csv => compared.csv(table.unwrap_or(CompareTable::Agreement)),
    }
}

/// Notes the warnings on standard error too, for results that a file or a program reads.
fn note_warnings(compared: &RunComparison) {
    for line in compared.datasets.iter().filter_map(|dataset| dataset.excluded_line()) {
        note(format_args!("{line}"));
    }
    for line in compared.notes() {
        note(format_args!("warning: {line}"));
    }
}
