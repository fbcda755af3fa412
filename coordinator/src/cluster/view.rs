//! A run as users see it: by the scheduler as long as it is there, for the scheduler knows more of it than the store; by the store
//! otherwise, so that a run that has ended, or is another's, is told by the same numbers as everywhere.

use std::sync::Arc;

use dqa_pipelines::run::RunRecord;
use dqa_pipelines::status::RunStatus;
use dqa_proto::v1;
use tonic::Status;

use super::control_plane::{ControlPlane, unanswered};
use super::lifecycle::ActiveRun;
use super::wire;

/// A run of this coordinator.
///
/// # Errors
/// Where the store fails.
pub(super) async fn of_running(plane: &ControlPlane, run: &Arc<ActiveRun>) -> Result<v1::Run, Status> {
    match run.on_board(plane) {
        Some(shown) => Ok(by(plane, shown)),
        None => of_record(plane, run.record()).await,
    }
}

/// A run by its record.
///
/// # Errors
/// Where the store fails.
pub(super) async fn of_record(plane: &ControlPlane, record: RunRecord) -> Result<v1::Run, Status> {
    let mut shown = of_records(plane, vec![record]).await?;
    Ok(shown.pop().expect("it is one for each record"))
}

/// Runs by their records, in their order.
///
/// # Errors
/// Where the store fails.
pub(super) async fn of_records(plane: &ControlPlane, records: Vec<RunRecord>) -> Result<Vec<v1::Run>, Status> {
    let mut on_board = Vec::new();
    let mut others = Vec::new();
    for record in records {
        let running = plane.run(&record.name);
        on_board.push(running.as_ref().and_then(|run| run.on_board(plane)));
        if on_board.last().is_some_and(Option::is_none) {
            // Its own record is newer than one that was read before.
            others.push(running.map_or(record, |run| run.record()));
        }
    }
    let statuses = RunStatus::read_each(&plane.store, others, &plane.counter).await;
    let mut stored = statuses.map_err(|error| unanswered(&error))?.into_iter();
    let mut next_stored = || wire::stored_run(&stored.next().expect("it is one for each that is not on the scheduler"));
    let shown = on_board.into_iter().map(|shown| match shown {
        Some(shown) => by(plane, shown),
        None => next_stored(),
    });
    Ok(shown.collect())
}

fn by(plane: &ControlPlane, shown: v1::Run) -> v1::Run {
    v1::Run { conductor: format!("coordinator {}", plane.id), ..shown }
}
