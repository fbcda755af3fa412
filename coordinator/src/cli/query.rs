//! `dqa-coord query`: SQL over a store.

use std::fs::File;
use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_pipelines::names::RunName;
use dqa_pipelines::sql::output::{self, OutputError};
use dqa_pipelines::sql::{self, Selection};
use dqa_worker::program::{Done, Unwritten, advise};

use super::StoreArgs;

/// Asks a store by SQL.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What is asked: `SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1`.
    #[arg(value_name = "SQL")]
    sql: String,

    #[command(flatten)]
    store: StoreArgs,

    /// The run that is asked [default: all, with each picture once].
    #[arg(long, env = "DQA_RUN", value_name = "RUN")]
    run: Option<RunName>,

    /// How rows are written.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The file that rows are written to [default: standard output].
    #[arg(long, env = "DQA_OUTPUT", required_if_eq("format", "parquet"), value_name = "FILE")]
    output: Option<PathBuf>,

    /// Show how the query would be run, and do not run it.
    #[arg(long, env = "DQA_EXPLAIN", value_parser = BoolishValueParser::new())]
    explain: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For reading.
    Table,
    /// One object a line.
    Json,
    /// With a header.
    Csv,
    /// A file for other tools; takes --output.
    Parquet,
}

impl From<Format> for output::Format {
    fn from(format: Format) -> output::Format {
        match format {
            Format::Table => output::Format::Table,
            Format::Json => output::Format::Json,
            Format::Csv => output::Format::Csv,
            Format::Parquet => output::Format::Parquet,
        }
    }
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Done> {
    let selection = args.run.clone().map_or(Selection::All, Selection::Run);
    let context = sql::session(&args.store.open()?, &selection).await?;
    let planned = sql::query(&context, &args.sql).await;
    let mut frame = planned.map_err(|error| advise(error.into(), hint()))?;
    if args.explain {
        frame = frame.explain(false, false).context("the query cannot be explained")?;
    }
    let format = args.format.into();
    match &args.output {
        None => match output::write(frame, format, BufWriter::new(stdout())).await {
            Err(OutputError::Write(error)) => Err(Unwritten::from(error).into()),
            other => Ok(other?),
        },
        Some(path) => {
            // Under another name until it is whole.
            let partial = path.with_added_extension("partial");
            let shown = || format!("cannot write {}", path.display());
            let written = write_file(frame, format, &partial).await;
            let written = written.and_then(|()| Ok(std::fs::rename(&partial, path)?));
            written.inspect_err(|_| drop(std::fs::remove_file(&partial))).with_context(shown)
        }
    }?;
    Ok(Done::All)
}

async fn write_file(frame: datafusion::prelude::DataFrame, format: output::Format, path: &Path) -> anyhow::Result<()> {
    Ok(output::write(frame, format, BufWriter::new(File::create(path)?)).await?)
}

fn hint() -> String {
    format!("the tables are {}; `DESCRIBE scores` lists a table's columns", sql::TABLES.join(", "))
}
