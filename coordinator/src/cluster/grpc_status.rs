//! The gRPC statuses of errors, each with dqa's own code and, where there is one, a hint.

use std::error::Error;

use datafusion::common::DataFusionError;
use dqa_pipelines::registry::RegistryError;
use dqa_pipelines::report::ReportError;
use dqa_pipelines::run::RunRecordError;
use dqa_pipelines::store::StoreError;
use dqa_pipelines::{Hint, causes};
use dqa_proto::{hint, refused};
use dqa_query::SqlError;
use tonic::{Code, Status};

use super::distributed_query::QueryError;

pub(super) fn invalid_argument(code: &'static str, message: impl Into<String>) -> Status {
    refused(Code::InvalidArgument, code, message)
}

/// Returns the status of an invalid argument that an error describes.
pub(super) fn invalid(code: &'static str, error: &(dyn Error + 'static)) -> Status {
    invalid_argument(code, causes(error).to_string())
}

/// Returns the status of an error that only a bug can cause, as a panic.
pub(super) fn internal(error: &(dyn Error + 'static)) -> Status {
    refused(Code::Internal, "internal", causes(error).to_string())
}

fn with_hint(status: Status, advice: Option<impl AsRef<str>>) -> Status {
    match advice {
        Some(advice) => hint(status, advice.as_ref()),
        None => status,
    }
}

pub(super) fn from_store_error(error: StoreError) -> Status {
    let status = refused(Code::Unavailable, "store", causes(&error).to_string());
    let advice = error.hint();
    hint(status, advice.as_deref().unwrap_or("check that the coordinator can reach its store, and try again"))
}

pub(super) fn from_run_error(error: RunRecordError) -> Status {
    let (code, own) = match error {
        RunRecordError::Store(error) => return from_store_error(error),
        RunRecordError::Unknown { .. } => (Code::NotFound, "unknown_run"),
        RunRecordError::NoRuns { .. } => (Code::NotFound, "no_runs"),
        RunRecordError::Ambiguous { .. } => (Code::InvalidArgument, "ambiguous_run"),
        RunRecordError::Superseded { .. } => (Code::Unavailable, "superseded"),
        RunRecordError::Record { .. } => (Code::DataLoss, "bad_record"),
    };
    with_hint(refused(code, own, causes(&error).to_string()), error.hint())
}

/// Returns the status of a run's record that could not be written.
pub(super) fn from_write_error(error: crate::run::RunError) -> Status {
    refused(Code::Unavailable, "store", causes(&error).to_string())
}

pub(super) fn from_report_error(error: ReportError) -> Status {
    with_hint(refused(Code::FailedPrecondition, "no_report", causes(&error).to_string()), error.hint())
}

pub(super) fn from_registry_error(error: RegistryError) -> Status {
    let advice = error.hint();
    let status = match error {
        RegistryError::Store(error) => return from_store_error(error),
        RegistryError::Run(error) => return from_run_error(error),
        error => refused(Code::AlreadyExists, "other_dataset", causes(&error).to_string()),
    };
    with_hint(status, advice)
}

pub(super) fn from_sql_error(error: SqlError) -> Status {
    let advice = error.hint();
    let (code, own) = match error {
        SqlError::Store(error) => return from_store_error(error),
        SqlError::Run(error) => return from_run_error(error),
        SqlError::MissingPart { .. } => (Code::DataLoss, "no_part"),
        SqlError::Table { .. } | SqlError::PlanningPanic => (Code::Internal, "internal"),
        SqlError::PlanningThread(_) => (Code::ResourceExhausted, "busy"),
        SqlError::Bound(_) => (Code::InvalidArgument, "query_bound"),
        SqlError::Query(_) => (Code::InvalidArgument, "bad_query"),
        SqlError::MixedRuns { .. } => (Code::InvalidArgument, "mixed_runs"),
        SqlError::MixedMetrics { .. } => (Code::InvalidArgument, "mixed_metrics"),
    };
    with_hint(refused(code, own, causes(&error).to_string()), advice)
}

pub(super) fn from_query_error(error: DataFusionError) -> Status {
    let Some(error) = QueryError::find_in(&error) else {
        return refused(Code::Aborted, "query_failed", error.strip_backtrace());
    };
    let (code, own, advice) = match error {
        QueryError::NoWorkers => (
            Code::FailedPrecondition,
            "no_query_workers",
            "start workers with --query-tasks of 1 or more, or query the store with --engine local",
        ),
        QueryError::TooManyQueries => (Code::ResourceExhausted, "busy", "try again when one of them has ended"),
        QueryError::TimedOut => (Code::DeadlineExceeded, "late", "query less, or start more workers"),
        QueryError::Failed(_) => (Code::Aborted, "query_failed", "if a worker was lost, try again"),
        QueryError::RowsLost(_) => (Code::Aborted, "worker_gone", "a worker was lost; try again"),
    };
    hint(refused(code, own, causes(error).to_string()), advice)
}
