//! A run as users see it: by the board as long as it is there, for the board knows more of it than the store; by the store
//! otherwise, so that a run that has ended, or is another's, is told by the same numbers as everywhere.

use std::sync::Arc;

use dqa_pipelines::run::RunRecord;
use dqa_pipelines::status::RunStatus;
use dqa_proto::v1;
use tonic::Status;

use super::conduct::Running;
use super::desk::{Desk, unanswered};
use super::wire;

/// A run of this coordinator.
///
/// # Errors
/// Where the store fails.
pub(super) async fn of_running(desk: &Desk, run: &Arc<Running>) -> Result<v1::Run, Status> {
    match run.on_board(desk) {
        Some(shown) => Ok(by(desk, shown)),
        None => of_record(desk, run.record()).await,
    }
}

/// A run by its record.
///
/// # Errors
/// Where the store fails.
pub(super) async fn of_record(desk: &Desk, record: RunRecord) -> Result<v1::Run, Status> {
    let mut shown = of_records(desk, vec![record]).await?;
    Ok(shown.pop().expect("it is one for each record"))
}

/// Runs by their records, in their order.
///
/// # Errors
/// Where the store fails.
pub(super) async fn of_records(desk: &Desk, records: Vec<RunRecord>) -> Result<Vec<v1::Run>, Status> {
    let mut on_board = Vec::new();
    let mut others = Vec::new();
    for record in records {
        let running = desk.run(&record.name);
        on_board.push(running.as_ref().and_then(|run| run.on_board(desk)));
        if on_board.last().is_some_and(Option::is_none) {
            // Its own record is newer than one that was read before.
            others.push(running.map_or(record, |run| run.record()));
        }
    }
    let statuses = RunStatus::read_each(&desk.store, others, &desk.counter).await;
    let mut stored = statuses.map_err(|error| unanswered(&error))?.into_iter();
    let mut next_stored = || wire::stored_run(&stored.next().expect("it is one for each that is not on the board"));
    let shown = on_board.into_iter().map(|shown| match shown {
        Some(shown) => by(desk, shown),
        None => next_stored(),
    });
    Ok(shown.collect())
}

fn by(desk: &Desk, shown: v1::Run) -> v1::Run {
    v1::Run { conductor: format!("coordinator {}", desk.id), ..shown }
}
