//! Queries that workers answer: SQL, whose rows are sent in pieces as they come, and the correlations of a run.

use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;
use dqa_pipelines::names::{MetricName, RunName};
use dqa_pipelines::report;
use dqa_pipelines::run::RunRecord;
use dqa_proto::v1::{self, QueryResponse};
use dqa_query::distributed::{self, CorrelationsError};
use dqa_query::{self as sql, Selection};
use futures::StreamExt;
use tokio::sync::mpsc;
use tonic::Status;

use super::run_lookup::{self, RUNS_MAX};
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::distributed_query::distributed_session;
use crate::cluster::grpc_status::{
    from_query_error, from_report_error, from_sql_error, internal, invalid, invalid_argument,
};
use crate::cluster::wire;

/// The size of one message of an answer.
const PIECE_BYTES: usize = 1 << 20;

/// Messages of one answer that are sent before the user reads them.
const PIECES_MAX: usize = 4;

type PieceSender = mpsc::Sender<Result<QueryResponse, Status>>;

/// Starts a query, and returns its rows in the pieces of an Arrow IPC stream.
///
/// # Errors
/// When the query is invalid or would change something, or the store fails.
pub(super) async fn query(
    plane: &ControlPlane,
    request: v1::QueryRequest,
) -> Result<mpsc::Receiver<Result<QueryResponse, Status>>, Status> {
    let selection = select_runs(plane, &request).await?;
    let session = distributed_session(plane.ballista()?, &plane.store, &selection).await.map_err(from_sql_error)?;
    let plan = sql::plan_bounded(&session, &request.sql, request.mix_runs).await.map_err(from_sql_error)?;
    let rows = execute_stream(plan, session.task_ctx()).map_err(from_query_error)?;
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(send_rows(rows, sender));
    Ok(pieces)
}

/// Returns the runs that a query reads.
async fn select_runs(plane: &ControlPlane, request: &v1::QueryRequest) -> Result<Selection, Status> {
    if request.all_runs {
        return Ok(Selection::All);
    }
    let mut names: Vec<&str> = request.runs.iter().map(String::as_str).collect();
    if names.is_empty() {
        names.push(&request.run);
    }
    if names.len() > RUNS_MAX {
        return Err(invalid_argument("too_much", format!("a query reads at most {RUNS_MAX} runs")));
    }
    let mut runs: Vec<RunName> = Vec::new();
    for name in names {
        let name = run_lookup::read_record(plane, name).await?.name;
        if !runs.contains(&name) {
            runs.push(name);
        }
    }
    Ok(Selection::Runs(runs))
}

/// Sends rows until there are no more or the user closes the stream.
async fn send_rows(mut rows: SendableRecordBatchStream, sender: PieceSender) {
    let sent = tokio::select! {
        sent = send_pieces(&mut rows, &sender) => sent,
        // Dropping the rows cancels the query, also before its first row.
        () = sender.closed() => return,
    };
    if let Err(status) = sent {
        let _ = sender.send(Err(status)).await;
    }
}

async fn send_pieces(rows: &mut SendableRecordBatchStream, sender: &PieceSender) -> Result<(), Status> {
    let schema = rows.schema();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(|error| internal(&error))?;
    loop {
        let batch = rows.next().await.transpose().map_err(from_query_error)?;
        let written = match &batch {
            Some(batch) => writer.write(batch),
            None => writer.finish(),
        };
        written.map_err(|error| internal(&error))?;
        let bytes = std::mem::take(writer.get_mut());
        for piece in bytes.chunks(PIECE_BYTES) {
            if sender.send(Ok(QueryResponse { data: piece.to_vec() })).await.is_err() {
                return Ok(());
            }
        }
        if batch.is_none() {
            return Ok(());
        }
    }
}

/// Has workers compute the correlations of a run.
///
/// # Errors
/// When the run is not complete, or the workers fail.
pub(super) async fn correlate(
    plane: &ControlPlane,
    record: &RunRecord,
    metric: &str,
) -> Result<Vec<v1::GroupAgreement>, Status> {
    let metric = Some(metric).filter(|name| !name.is_empty()).map(str::parse).transpose();
    let metric: Option<MetricName> = metric.map_err(|error| invalid("bad_name", &error))?;
    let selected = report::select_metric(record, metric.as_ref()).map_err(from_report_error)?;
    report::require_complete(&plane.store, std::slice::from_ref(record)).await.map_err(from_report_error)?;
    let selection = Selection::run(record.name.clone());
    let session = distributed_session(plane.ballista()?, &plane.store, &selection).await.map_err(from_sql_error)?;
    let groups =
        distributed::correlations(&session, record, &selected.metrics()[0]).await.map_err(|error| match error {
            CorrelationsError::Report(error) => from_report_error(error),
            CorrelationsError::Sql(error) => from_sql_error(error),
            CorrelationsError::Engine(error) => from_query_error(error),
        })?;
    Ok(groups.into_iter().map(wire::agreement_to_wire).collect())
}
