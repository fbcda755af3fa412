//! `dqa-coord query`: SQL over the runs of a store, computed in this process or by a coordinator's workers.

mod args;
#[cfg(feature = "cluster")]
mod remote;
mod rows;

use anyhow::{Context, anyhow};
use datafusion::execution::SendableRecordBatchStream;
use dqa_pipelines::run::RunRecord;
use dqa_query::output::QueryFormat;
use dqa_query::{self as sql, Selection};
use dqa_service::program::{ExitStatus, note, with_hint, with_own_hint};

pub(super) use args::Args;

use super::args::Engine;
#[cfg(not(feature = "cluster"))]
use super::without_cluster_feature as remote;
use rows::write_rows;

/// What the flags ask for: the text of the query was read, and the format of its rows is known.
struct ResolvedQuery<'a> {
    args: &'a Args,
    sql: String,
    format: QueryFormat,
}

/// Runs the query and writes its rows.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let query = ResolvedQuery { args, sql: args.read_sql()?, format: args.query_format()? };
    if args.runs.is_given() && query.sql.chars().all(char::is_alphabetic) {
        let error = anyhow!("`{}` is not a query", query.sql);
        return Err(with_hint(error, "put the whole query in quotes: it is one argument, and runs follow it"));
    }
    let default_engine = if args.coordinator.url.is_some() { Engine::Cluster } else { Engine::Local };
    match args.engine.unwrap_or(default_engine) {
        Engine::Cluster => remote::run(&query, args.coordinator.required_client()?).await,
        Engine::Local => {
            write_rows(&query, query_store(&query).await?).await?;
            Ok(ExitStatus::All)
        }
    }
}

async fn query_store(query: &ResolvedQuery<'_>) -> anyhow::Result<SendableRecordBatchStream> {
    let args = query.args;
    let store = args.store.open().await?;
    let selection = if args.all_runs {
        Selection::All
    } else if args.runs.is_given() || RunRecord::any_exists(&store).await? {
        Selection::Runs(args.runs.find_records(&store).await?.into_iter().map(|record| record.name).collect())
    } else {
        // A store without runs has empty tables of scores, but it may have tables of studies.
        Selection::All
    };
    let context = sql::open_session(&store, &selection).await.map_err(with_own_hint)?;
    for incomplete in sql::shortfalls(&context) {
        note(format_args!("warning: {incomplete}"));
    }
    let planned = match args.mix_runs {
        true => sql::query_mixing(&context, &query.sql).await,
        false => sql::query(&context, &query.sql).await,
    };
    let mut frame = planned.map_err(with_own_hint)?;
    let metrics = sql::untold_metrics(&context, &frame, &query.sql);
    if let Some(first) = metrics.first() {
        let names = metrics.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        note(format_args!("warning: these rows are of the metrics {names}; WHERE metric = '{first}' selects one"));
    }
    if args.explain {
        frame = frame.explain(false, false).context("the query cannot be explained")?;
    }
    frame.execute_stream().await.context("the query cannot be run")
}
