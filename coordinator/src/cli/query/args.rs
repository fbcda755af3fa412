//! Flags of `dqa-coord query`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_query::output::QueryFormat;
use dqa_service::program::with_hint;

use crate::cli::args::{Engine, StoreArgs};
use crate::cli::coordinator_args::CoordinatorArgs;
use crate::cli::run_selector::RunsSelector;

/// Queries a store by SQL. `scores` and the tables of reports hold one run, unless several are selected: then each row
/// has its run's name in the column `run`, and a picture that two runs share has a row in each. An aggregate over rows
/// of different models is refused.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// Query: `SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1`, or `-` to read it from standard input.
    #[arg(value_name = "SQL", required_unless_present = "sql_file")]
    pub(super) sql: Option<String>,

    /// File with the query, or `-` for standard input. Runs are then named by --run.
    #[arg(long = "file", id = "sql_file", env = "DQA_SQL_FILE", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) runs: RunsSelector,

    /// Query all runs of the store.
    #[arg(long, env = "DQA_ALL_RUNS", value_parser = BoolishValueParser::new(), conflicts_with = "runs")]
    pub(super) all_runs: bool,

    /// Allow aggregates over rows of several runs, even of different models.
    #[arg(long, env = "DQA_MIX_RUNS", value_parser = BoolishValueParser::new())]
    pub(super) mix_runs: bool,

    /// Where the query is computed: this process reads --store, or a coordinator's workers read the coordinator's store
    /// [default: cluster if a coordinator is given, else local].
    #[arg(long, env = "DQA_ENGINE", value_enum, value_name = "ENGINE")]
    pub(super) engine: Option<Engine>,

    #[command(flatten)]
    pub(super) store: StoreArgs,

    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Format of the rows [default: what the end of --output's name says, else table].
    #[arg(long, env = "DQA_FORMAT", value_enum)]
    pub(super) format: Option<RowsFormat>,

    /// Show rows as a table however wide it becomes [default: a row that does not fit 80 columns is shown as a record].
    #[arg(long, env = "DQA_WIDE", value_parser = BoolishValueParser::new())]
    pub(super) wide: bool,

    /// File to write the rows to, whose name ends in .csv, .json, .jsonl or .parquet unless --format says what it is
    /// [default: standard output].
    #[arg(long, env = "DQA_OUTPUT", required_if_eq("format", "parquet"), value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Show the plan of the query instead of running it.
    #[arg(long, env = "DQA_EXPLAIN", value_parser = BoolishValueParser::new())]
    pub(super) explain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum RowsFormat {
    /// For people to read.
    Table,
    /// One object a line.
    Json,
    /// With a header.
    Csv,
    /// A file for other programs; needs --output.
    Parquet,
}

impl Args {
    /// Returns the format of the rows: --format, or what the name of the output file says.
    ///
    /// # Errors
    /// If the name says nothing.
    pub(super) fn query_format(&self) -> anyhow::Result<QueryFormat> {
        let format = match (self.format, &self.output) {
            (Some(format), _) => format,
            (None, None) => RowsFormat::Table,
            (None, Some(path)) => format_of(path).ok_or_else(|| {
                let error = anyhow!("the name of {} does not say its format", path.display());
                with_hint(error, "use a name that ends in .csv, .json, .jsonl or .parquet, or --format")
            })?,
        };
        Ok(match format {
            // A plan is of many lines, which a record would cut.
            RowsFormat::Table if self.wide || self.explain => QueryFormat::WideTable,
            RowsFormat::Table => QueryFormat::Table,
            RowsFormat::Json => QueryFormat::Json,
            RowsFormat::Csv => QueryFormat::Csv,
            RowsFormat::Parquet => QueryFormat::Parquet,
        })
    }

    /// Returns the query: SQL, or what the file or standard input holds.
    ///
    /// # Errors
    /// If both are given, the file cannot be read, or the query is empty.
    pub(super) fn read_sql(&self) -> anyhow::Result<String> {
        let (source, sql) = match (&self.sql, &self.file) {
            (Some(sql), Some(file)) => {
                let error = anyhow!("a query is given twice: `{sql}`, and --file {}", file.display());
                return Err(with_hint(error, "leave one out; with --file, runs are named by --run"));
            }
            (Some(sql), None) if sql != "-" => ("SQL".to_owned(), sql.clone()),
            (_, Some(file)) if file.as_os_str() != "-" => {
                let sql = std::fs::read_to_string(file);
                (file.display().to_string(), sql.with_context(|| format!("cannot read {}", file.display()))?)
            }
            _ => {
                let sql = std::io::read_to_string(std::io::stdin());
                ("standard input".to_owned(), sql.context("cannot read the query from standard input")?)
            }
        };
        if sql.trim().is_empty() {
            let hint = "a query is like `SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1`";
            return Err(with_hint(anyhow!("the query is empty ({source})"), hint));
        }
        Ok(sql)
    }
}

/// Returns the format that the end of a file's name says.
fn format_of(path: &Path) -> Option<RowsFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(RowsFormat::Csv),
        "json" | "jsonl" | "ndjson" => Some(RowsFormat::Json),
        "parquet" => Some(RowsFormat::Parquet),
        _ => None,
    }
}
