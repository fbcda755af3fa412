//! `dqa-coord query`: SQL over runs of a store, answered here or by a coordinator's workers.

use std::fs::File;
use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use datafusion::execution::SendableRecordBatchStream;
use dqa_pipelines::run::RunRecord;
use dqa_proto::v1;
use dqa_query::output::{self, QueryOutputError};
use dqa_query::{self as sql, Selection, SqlError};
use dqa_service::program::{ExitStatus, OutputError, with_hint};

use super::answer::{self, Failure};
use super::remote::{Client, RemoteArgs, refusal};
use super::run_selector::RunsSelector;
use super::{Engine, StoreArgs, overview};

/// Asks a store by SQL. `scores` and the tables of reports hold one run, unless several are asked: then the rows of each are
/// there with its name in the column `run`, and a picture that two runs share is there once for each. An aggregate that takes
/// rows of unlike models together is refused.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What is asked: `SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1`.
    #[arg(value_name = "SQL")]
    sql: String,

    #[command(flatten)]
    runs: RunsSelector,

    /// All runs of the store are asked.
    #[arg(long, env = "DQA_ALL_RUNS", value_parser = BoolishValueParser::new(), conflicts_with = "runs")]
    all_runs: bool,

    /// Let aggregates take rows of several runs together, also of unlike models.
    #[arg(long, env = "DQA_MIX_RUNS", value_parser = BoolishValueParser::new())]
    mix_runs: bool,

    /// Who answers: this process reads the store, or a coordinator's workers read theirs [default: cluster if a coordinator
    /// is named, local if not].
    #[arg(long, env = "DQA_ENGINE", value_enum, value_name = "ENGINE")]
    engine: Option<Engine>,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    remote: RemoteArgs,

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

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    if args.runs.is_given() && args.sql.chars().all(char::is_alphabetic) {
        let error = anyhow!("`{}` is not a query", args.sql);
        return Err(with_hint(error, "put the whole query in quotes: it is one argument, and runs follow it"));
    }
    let usual = if args.remote.coordinator.is_some() { Engine::Cluster } else { Engine::Local };
    match args.engine.unwrap_or(usual) {
        Engine::Cluster => {
            let mut client = args.remote.required()?;
            let failure = Failure::default();
            let rows = of_workers(args, &mut client, failure.clone()).await?;
            // The coordinator's own words say more than what became of them on the way here.
            write(args, rows).await.map_err(|error| failure.take().unwrap_or(error))?;
        }
        Engine::Local => write(args, of_store(args).await?).await?,
    }
    Ok(ExitStatus::All)
}

async fn of_store(args: &Args) -> anyhow::Result<SendableRecordBatchStream> {
    let store = args.store.open().await?;
    let selection = if args.all_runs {
        Selection::All
    } else if args.runs.is_given() || RunRecord::any(&store).await? {
        Selection::Runs(args.runs.records(&store).await?.into_iter().map(|record| record.name).collect())
    } else {
        // Of a store without a run the tables are empty, and those of studies may be there.
        Selection::All
    };
    let context = sql::session(&store, &selection).await.map_err(advised)?;
    let planned = match args.mix_runs {
        true => sql::query_mixing(&context, &args.sql).await,
        false => sql::query(&context, &args.sql).await,
    };
    let mut frame = planned.map_err(advised)?;
    if args.explain {
        frame = frame.explain(false, false).context("the query cannot be explained")?;
    }
    frame.execute_stream().await.context("the query cannot be run")
}

async fn of_workers(args: &Args, client: &mut Client, failure: Failure) -> anyhow::Result<SendableRecordBatchStream> {
    let sql = if args.explain { format!("EXPLAIN {}", args.sql) } else { args.sql.clone() };
    let mut request =
        v1::QueryRequest { sql, all_runs: args.all_runs, mix_runs: args.mix_runs, ..v1::QueryRequest::default() };
    if !args.all_runs {
        let is_empty = !args.runs.is_given() && overview::runs(client).await?.is_empty();
        request.all_runs = is_empty;
        if !is_empty {
            request.runs = args.runs.remote(client).await?.into_iter().map(|run| run.name).collect();
        }
    }
    let answer = client.query(request).await.map_err(|status| refusal(&status))?;
    answer::rows(answer.into_inner(), failure).await
}

fn advised(error: SqlError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

async fn write(args: &Args, rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    let format = args.format.into();
    match &args.output {
        None => match output::write_rows(rows, format, BufWriter::new(stdout())).await {
            Err(QueryOutputError::Write(error)) => Err(OutputError::from(error).into()),
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
