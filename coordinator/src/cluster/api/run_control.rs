//! Commands that change a run: cancel, pause, resume, retry its failed rows.

use std::sync::Arc;

use dqa_pipelines::run::{RunRequest, RunState};
use dqa_proto::{hint, refused, v1};
use tonic::{Code, Status};
use tracing::info;

use super::run_lookup;
use crate::cluster::active_run::ActiveRun;
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::from_write_error;
use crate::cluster::{run_lifecycle, run_view};

pub(super) async fn cancel(plane: &Arc<ControlPlane>, name: &str) -> Result<v1::Run, Status> {
    let run = run_lookup::lock(plane, name).await?;
    require_active(&run)?;
    set_state(plane, &run, RunState::Cancelled).await?;
    if let Some(id) = run.scheduler_id() {
        plane.unschedule_run(id);
    }
    run.cancel();
    info!(run = %run.name, "run cancelled");
    run_view::view_active(plane, &run).await
}

pub(super) async fn pause(plane: &Arc<ControlPlane>, name: &str) -> Result<v1::Run, Status> {
    let run = run_lookup::lock(plane, name).await?;
    require_active(&run)?;
    set_state(plane, &run, RunState::Paused).await?;
    if let Some(id) = run.scheduler_id() {
        plane.scheduler.update(|scheduler, _| scheduler.pause_run(id));
    }
    run_view::view_active(plane, &run).await
}

pub(super) async fn resume(plane: &Arc<ControlPlane>, name: &str) -> Result<v1::Run, Status> {
    let run = run_lookup::lock(plane, name).await?;
    match run.state() {
        RunState::Paused => match run.scheduler_id() {
            Some(id) => {
                set_state(plane, &run, RunState::Running).await?;
                plane.update_scheduler(|scheduler, now| scheduler.resume_run(id, now));
            }
            None => set_state(plane, &run, RunState::Planning).await?,
        },
        RunState::Cancelled | RunState::Failed => restart(plane, &run, |_| {}).await?,
        RunState::Planning | RunState::Running | RunState::Complete | RunState::Interrupted => {}
    }
    run_view::view_active(plane, &run).await
}

pub(super) async fn retry_failed(plane: &Arc<ControlPlane>, name: &str) -> Result<v1::Run, Status> {
    let run = run_lookup::lock(plane, name).await?;
    if run.state().is_active() {
        let message = format!("run `{}` has not ended", run.name);
        let status = refused(Code::FailedPrecondition, "active_run", message);
        return Err(hint(status, "wait for its end, or cancel it"));
    }
    let view = run_view::view_active(plane, &run).await?;
    let progress = view.progress.unwrap_or_default();
    // There is nothing to retry, and no reason to list the data sets again.
    if run.state() == RunState::Complete && progress.pictures_failed == 0 && progress.shards_done == progress.shards {
        return Ok(view);
    }
    restart(plane, &run, |request| request.retry_failed = true).await?;
    run_view::view_active(plane, &run).await
}

fn require_active(run: &ActiveRun) -> Result<(), Status> {
    let state = run.state();
    if state.is_active() {
        return Ok(());
    }
    Err(refused(Code::FailedPrecondition, "ended_run", format!("run `{}` is {state} already", run.name)))
}

async fn set_state(plane: &ControlPlane, run: &ActiveRun, state: RunState) -> Result<(), Status> {
    run.update_record(&plane.store, |record| record.state = state).await.map_err(from_write_error)
}

/// Restarts a run that has ended.
async fn restart(
    plane: &Arc<ControlPlane>,
    run: &Arc<ActiveRun>,
    change: impl FnOnce(&mut RunRequest),
) -> Result<(), Status> {
    let updated = run.update_record(&plane.store, |record| {
        record.state = RunState::Planning;
        (record.failure, record.hint) = (None, None);
        if let Some(request) = &mut record.request {
            request.planning_attempts = 0;
            change(request);
        }
    });
    updated.await.map_err(from_write_error)?;
    run_lifecycle::start(plane, run.clone());
    Ok(())
}
