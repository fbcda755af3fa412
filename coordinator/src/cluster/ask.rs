//! What users ask workers through the coordinator: queries, whose rows go out in pieces as they come, and a run's
//! correlations.

use std::sync::Arc;

use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use dqa_pipelines::causes;
use dqa_pipelines::report;
use dqa_pipelines::run::RunRecord;
use dqa_proto::v1::{self, QueryResponse};
use dqa_proto::{hint, refused};
use dqa_query::distributed::{self, CorrelationsError, GroupAgreement, GroupKind};
use dqa_query::{self as sql, Selection, SqlError};
use futures::StreamExt;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::api::{self, line};
use super::control_plane::{ControlPlane, unanswered};
use super::query::{self, QueryError};

/// Of one message of an answer.
const PIECE_BYTES: usize = 1 << 20;

/// Pieces on their way to one user.
pub(super) const PIECES_MAX: usize = 4;

/// Begins a query; its rows are sent by [`send`].
///
/// # Errors
/// What is no query, or would change something; a store that fails.
pub(super) async fn ask(
    plane: &Arc<ControlPlane>,
    sql: &str,
    selection: &Selection,
    mix_runs: bool,
) -> Result<SendableRecordBatchStream, Status> {
    let session = query::session(plane.backend(), &plane.store, selection).await.map_err(of_sql)?;
    let planned = if mix_runs { sql::query_mixing(&session, sql).await } else { sql::query(&session, sql).await };
    let frame = planned.map_err(of_sql)?;
    frame.execute_stream().await.map_err(|error| of_query(&error))
}

/// Sends rows until there are no more, or nobody wants them.
pub(super) async fn send(mut rows: SendableRecordBatchStream, out: mpsc::Sender<Result<QueryResponse, Status>>) {
    let sent = tokio::select! {
        sent = pieces(&mut rows, &out) => sent,
        // A query that nobody waits for is called off, also before its first row.
        () = out.closed() => return,
    };
    if let Err(status) = sent {
        let _ = out.send(Err(status)).await;
    }
}

async fn pieces(
    rows: &mut SendableRecordBatchStream,
    out: &mpsc::Sender<Result<QueryResponse, Status>>,
) -> Result<(), Status> {
    let unwritten = |error| refused(Code::Internal, "internal", line(error));
    let schema = rows.schema();
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(unwritten)?;
    loop {
        let batch = rows.next().await.transpose().map_err(|error| of_query(&error))?;
        match &batch {
            Some(batch) => writer.write(batch).map_err(unwritten)?,
            None => writer.finish().map_err(unwritten)?,
        }
        let bytes = std::mem::take(writer.get_mut());
        for piece in bytes.chunks(PIECE_BYTES) {
            if out.send(Ok(QueryResponse { data: piece.to_vec() })).await.is_err() {
                return Ok(());
            }
        }
        if batch.is_none() {
            return Ok(());
        }
    }
}

/// A run's correlations, worked out by workers.
///
/// # Errors
/// A run that is not complete; workers that cannot.
pub(super) async fn correlate(
    plane: &Arc<ControlPlane>,
    record: &RunRecord,
) -> Result<Vec<v1::GroupAgreement>, Status> {
    report::require_complete(&plane.store, std::slice::from_ref(record)).await.map_err(api::of_report)?;
    let selection = Selection::run(record.name.clone());
    let session = query::session(plane.backend(), &plane.store, &selection).await.map_err(of_sql)?;
    let groups = distributed::correlations(&session, record).await.map_err(|error| match error {
        CorrelationsError::Sql(error) => of_sql(error),
        CorrelationsError::Engine(error) => of_query(&error),
        CorrelationsError::Report(error) => api::of_report(error),
    })?;
    Ok(groups.into_iter().map(shown).collect())
}

fn shown(group: GroupAgreement) -> v1::GroupAgreement {
    let kind = match group.group_kind {
        GroupKind::All => v1::GroupKind::All,
        GroupKind::Algorithm => v1::GroupKind::Algorithm,
        GroupKind::SceneGroup => v1::GroupKind::SceneGroup,
    };
    v1::GroupAgreement {
        dataset: group.dataset,
        group_kind: kind.into(),
        group_name: group.group_name,
        pictures: group.pictures,
        failed: group.failed,
        unlabelled: group.unlabelled,
        n: group.n,
        srcc: group.srcc,
        plcc: group.plcc,
    }
}

fn of_sql(error: SqlError) -> Status {
    let advice = error.hint();
    let status = match error {
        SqlError::Store(error) => return unanswered(&error),
        SqlError::Run(error) => return super::api::of_record(error),
        SqlError::NoPart { .. } => refused(Code::DataLoss, "no_part", line(error)),
        SqlError::Table { .. } => refused(Code::Internal, "internal", line(error)),
        SqlError::Query(_) => refused(Code::InvalidArgument, "bad_query", line(error)),
        SqlError::Mixed { .. } => refused(Code::InvalidArgument, "mixed_runs", line(error)),
    };
    match advice {
        Some(advice) => hint(status, &advice),
        None => status,
    }
}

fn of_query(error: &DataFusionError) -> Status {
    let Some(error) = QueryError::of(error) else {
        return refused(Code::Aborted, "query_failed", error.strip_backtrace());
    };
    let with = |code, own, advice: &str| hint(refused(code, own, causes(error).to_string()), advice);
    match error {
        QueryError::NoWorkers => {
            let advice = "start workers (their --query-tasks is not 0), or ask the store with --engine local";
            with(Code::FailedPrecondition, "no_query_workers", advice)
        }
        QueryError::Busy => with(Code::ResourceExhausted, "busy", "ask again when one of them is done"),
        QueryError::Late => with(Code::DeadlineExceeded, "late", "ask for less, or start more workers"),
        QueryError::Failed(_) => with(Code::Aborted, "query_failed", "if a worker was lost, ask again"),
        QueryError::Gone(_) => with(Code::Aborted, "worker_gone", "a worker was lost; ask again"),
    }
}
