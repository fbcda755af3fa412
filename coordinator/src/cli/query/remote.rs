//! `query --coordinator`: the coordinator's workers compute the query over the coordinator's store.

use datafusion::execution::SendableRecordBatchStream;
use dqa_proto::v1;
use dqa_service::program::{ExitStatus, note};

use super::ResolvedQuery;
use super::rows::write_rows;
use crate::cli::coordinator_client::{
    Client, StreamFailure, find_runs, list_runs, read_rows, run_summary, status_error,
};

/// Runs the query and writes its rows.
pub(super) async fn run(query: &ResolvedQuery<'_>, mut client: Client) -> anyhow::Result<ExitStatus> {
    let failure = StreamFailure::default();
    let rows = execute(query, &mut client, failure.clone()).await?;
    // The coordinator's status says more than the error that it became in the stream of rows.
    write_rows(query, rows).await.map_err(|error| failure.take().unwrap_or(error))?;
    Ok(ExitStatus::All)
}

async fn execute(
    query: &ResolvedQuery<'_>,
    client: &mut Client,
    failure: StreamFailure,
) -> anyhow::Result<SendableRecordBatchStream> {
    let (args, sql) = (query.args, &query.sql);
    let sql = if args.explain { format!("EXPLAIN {sql}") } else { sql.clone() };
    let mut request =
        v1::QueryRequest { sql, all_runs: args.all_runs, mix_runs: args.mix_runs, ..v1::QueryRequest::default() };
    if !args.all_runs {
        let is_empty = !args.runs.is_given() && list_runs(client).await?.is_empty();
        request.all_runs = is_empty;
        if !is_empty {
            let runs = find_runs(client, &args.runs).await?;
            for incomplete in runs.iter().filter_map(|run| run_summary(run).incomplete_text()) {
                note(format_args!("warning: {incomplete}"));
            }
            request.runs = runs.into_iter().map(|run| run.name).collect();
        }
    }
    let answer = client.query(request).await.map_err(|status| status_error(&status))?;
    read_rows(answer.into_inner(), failure).await
}
