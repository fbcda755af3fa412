//! A run as users see it. The coordinator's own state is used while the run is scheduled, because it is newer than the
//! store; the store is used otherwise, so that a run that has ended, or that another process works on, has the same
//! numbers everywhere.

use std::sync::Arc;

use dqa_pipelines::run::RunRecord;
use dqa_pipelines::status::RunStatus;
use dqa_proto::v1;
use tonic::Status;

use super::active_run::ActiveRun;
use super::control_plane::ControlPlane;
use super::grpc_status::from_store_error;
use super::wire;

/// Returns the view of a run that this coordinator drives.
///
/// # Errors
/// When the store fails.
pub(super) async fn view_active(plane: &ControlPlane, run: &Arc<ActiveRun>) -> Result<v1::Run, Status> {
    match view_scheduled(plane, run) {
        Some(view) => Ok(view),
        None => view_record(plane, run.record()).await,
    }
}

/// Returns the view of a run by its record.
///
/// # Errors
/// When the store fails.
pub(super) async fn view_record(plane: &ControlPlane, record: RunRecord) -> Result<v1::Run, Status> {
    let mut views = view_records(plane, vec![record]).await?;
    Ok(views.pop().expect("there is one view for each record"))
}

/// Returns the views of runs by their records, in the same order.
///
/// # Errors
/// When the store fails.
pub(super) async fn view_records(plane: &ControlPlane, records: Vec<RunRecord>) -> Result<Vec<v1::Run>, Status> {
    let mut scheduled = Vec::new();
    let mut stored = Vec::new();
    for record in records {
        let active = plane.runs.get(&record.name);
        // A command may have taken the run over.
        let is_own = record.is_managed_by_coordinator() && record.state.is_active();
        let active_view = || active.as_ref().and_then(|run| view_scheduled(plane, run));
        let view = if is_own { active_view() } else { None };
        if view.is_none() {
            // The active run's record may be newer than the one that was read before.
            let own = active.map(|run| run.record()).filter(|own| own.updated >= record.updated);
            stored.push(own.unwrap_or(record));
        }
        scheduled.push(view);
    }
    let statuses = RunStatus::read_each(&plane.store, stored, &plane.counter).await;
    let mut statuses = statuses.map_err(from_store_error)?.into_iter();
    let mut next_stored =
        || wire::run_from_status(&statuses.next().expect("there is one status for each run that is not scheduled"));
    Ok(scheduled.into_iter().map(|view| view.unwrap_or_else(&mut next_stored)).collect())
}

fn view_scheduled(plane: &ControlPlane, run: &ActiveRun) -> Option<v1::Run> {
    let tally = run.scheduler_id().map(|id| plane.tally(id));
    let view = run.to_wire(tally)?;
    let activities = run.scheduler_id().map(|id| plane.scheduler.read(|scheduler, _| scheduler.activities(id)));
    Some(v1::Run {
        conductor: format!("coordinator {}", plane.coordinator_id),
        activities: activities.unwrap_or_default(),
        ..view
    })
}
