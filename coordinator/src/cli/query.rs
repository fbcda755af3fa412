//! `dqa-coord query`: SQL over a store, answered here or by a coordinator's workers.

use std::fs::File;
use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use datafusion::execution::SendableRecordBatchStream;
use dqa_pipelines::names::RunName;
use dqa_pipelines::sql::output::{self, OutputError};
use dqa_pipelines::sql::{self, Selection};
use dqa_proto::v1;
use dqa_worker::program::{Done, Unwritten, advise};

use super::answer::{self, Failure};
use super::remote::{Client, RemoteArgs, refusal};
use super::{Engine, StoreArgs};

/// Asks a store by SQL.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What is asked: `SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1`.
    #[arg(value_name = "SQL")]
    sql: String,

    /// Who answers: this process reads the store, or a coordinator's workers read theirs [default: local].
    #[arg(long, env = "DQA_ENGINE", value_enum, value_name = "ENGINE")]
    engine: Option<Engine>,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

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
    match args.engine {
        Some(Engine::Cluster) => {
            let mut client = args.remote.required()?;
            let failure = Failure::default();
            let rows = of_workers(args, &mut client, failure.clone()).await?;
            // The coordinator's own words say more than what became of them on the way here.
            write(args, rows).await.map_err(|error| failure.take().unwrap_or(error))?;
        }
        None if args.remote.coordinator.is_some() => {
            let error =
                anyhow!("a coordinator is named, but the query is not for it: without --engine it is answered here");
            let advice =
                "--engine cluster has the coordinator's workers answer, --engine local reads the store from here";
            return Err(advise(error, advice));
        }
        Some(Engine::Local) | None => write(args, of_store(args).await?).await?,
    }
    Ok(Done::All)
}

async fn of_store(args: &Args) -> anyhow::Result<SendableRecordBatchStream> {
    let selection = args.run.clone().map_or(Selection::All, Selection::Run);
    let context = sql::session(&args.store.open().await?, &selection).await?;
    let planned = sql::query(&context, &args.sql).await;
    let mut frame = planned.map_err(|error| advise(error.into(), hint()))?;
    if args.explain {
        frame = frame.explain(false, false).context("the query cannot be explained")?;
    }
    frame.execute_stream().await.context("the query cannot be run")
}

async fn of_workers(args: &Args, client: &mut Client, failure: Failure) -> anyhow::Result<SendableRecordBatchStream> {
    let sql = if args.explain { format!("EXPLAIN {}", args.sql) } else { args.sql.clone() };
    let run = args.run.as_ref().map(ToString::to_string).unwrap_or_default();
    let answer = client.query(v1::QueryRequest { sql, run }).await.map_err(|status| refusal(&status))?;
    answer::rows(answer.into_inner(), failure).await
}

async fn write(args: &Args, rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    let format = args.format.into();
    match &args.output {
        None => match output::write_rows(rows, format, BufWriter::new(stdout())).await {
            Err(OutputError::Write(error)) => Err(Unwritten::from(error).into()),
            other => Ok(other?),
        },
        Some(path) => {
            // Under another name until it is whole.
            let partial = path.with_added_extension("partial");
            let shown = || format!("cannot write {}", path.display());
            let written = write_file(rows, format, &partial).await;
            let written = written.and_then(|()| Ok(std::fs::rename(&partial, path)?));
            written.inspect_err(|_| drop(std::fs::remove_file(&partial))).with_context(shown)
        }
    }
}

async fn write_file(rows: SendableRecordBatchStream, format: output::Format, path: &Path) -> anyhow::Result<()> {
    Ok(output::write_rows(rows, format, BufWriter::new(File::create(path)?)).await?)
}

fn hint() -> String {
    format!("the tables are {}; `DESCRIBE scores` lists a table's columns", sql::TABLES.join(", "))
}
