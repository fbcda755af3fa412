//! Finds the run that a request names, among the active runs and in the store.

use std::ops::Deref;
use std::sync::Arc;

use dqa_pipelines::names::{NameError, RunName};
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_proto::{hint, refused, v1};
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tonic::{Code, Status};

use crate::cluster::active_run::ActiveRun;
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_run_error, internal, invalid};
use crate::cluster::{run_lifecycle, run_view};

/// The most runs that one request may name.
pub(super) const RUNS_MAX: usize = 256;

pub(super) enum FoundRun {
    Active(Arc<ActiveRun>),
    Stored(Box<RunRecord>),
}

impl FoundRun {
    /// Returns the run as users see it.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn view(self, plane: &ControlPlane) -> Result<v1::Run, Status> {
        match self {
            FoundRun::Active(run) => run_view::view_active(plane, &run).await,
            FoundRun::Stored(record) => run_view::view_record(plane, *record).await,
        }
    }
}

pub(super) fn parse_name(text: &str) -> Result<RunName, Status> {
    text.parse().map_err(|error: NameError| invalid("bad_name", &error))
}

/// Finds the run of this name, or the only run whose name begins with it. Without a name, finds the run that was used
/// last.
pub(super) async fn find(plane: &Arc<ControlPlane>, name: &str) -> Result<FoundRun, Status> {
    if !name.is_empty() {
        let name = parse_name(name)?;
        if let Some(run) = get_active(plane, &name).await? {
            return Ok(FoundRun::Active(run));
        }
        if let Some(run) = plane.runs.get_rejected(&name)
            && RunRecord::find(&plane.store, &name).await.map_err(from_run_error)?.is_none()
        {
            return Ok(FoundRun::Active(run));
        }
    }
    let record = read_record(plane, name).await?;
    let active = get_active(plane, &record.name).await?;
    Ok(active.map_or_else(|| FoundRun::Stored(Box::new(record)), FoundRun::Active))
}

/// Returns the run of this name if it is active here.
async fn get_active(plane: &Arc<ControlPlane>, name: &RunName) -> Result<Option<Arc<ActiveRun>>, Status> {
    match plane.runs.get(name).map(|run| (run.state(), run)) {
        // Nothing happens here to a paused run, but a command may score it.
        Some((RunState::Paused, _)) => get_current(plane, name).await,
        // Others end here anyway, and their records are too large to be read whenever somebody asks.
        Some((state, run)) if state.is_active() => Ok(Some(run)),
        Some(_) | None => Ok(None),
    }
}

/// Returns the run of this name if it is active here and in the store.
pub(super) async fn get_current(plane: &Arc<ControlPlane>, name: &RunName) -> Result<Option<Arc<ActiveRun>>, Status> {
    let Some(run) = plane.runs.get(name) else { return Ok(None) };
    let _control = run.lock_control().await;
    let is_current =
        run.state().is_active() && !run_lifecycle::end_if_superseded(plane, &run).await.map_err(from_run_error)?;
    Ok(is_current.then_some(run))
}

/// Reads the record of the run that [`find`] would find.
pub(super) async fn read_record(plane: &ControlPlane, name: &str) -> Result<RunRecord, Status> {
    if !name.is_empty() {
        return RunRecord::find_by_prefix(&plane.store, &parse_name(name)?).await.map_err(from_run_error);
    }
    let (store, runtime) = (plane.store.clone(), Handle::current());
    // On a thread of its own, because records of large runs take long to parse.
    let last_used = tokio::task::spawn_blocking(move || runtime.block_on(RunRecord::last_used(&store))).await;
    last_used.map_err(|panic| internal(&panic))?.map_err(from_run_error)
}

/// A run whose state is locked for a command.
pub(super) struct LockedRun {
    plane: Arc<ControlPlane>,
    run: Arc<ActiveRun>,
    had_ended: bool,
    _control: OwnedMutexGuard<()>,
}

impl Deref for LockedRun {
    type Target = Arc<ActiveRun>;

    fn deref(&self) -> &Arc<ActiveRun> {
        &self.run
    }
}

impl Drop for LockedRun {
    fn drop(&mut self) {
        // A run that had ended, and was not started again, was loaded for this command alone. Kept, it would be out of
        // date as soon as another process changes the store's record.
        if self.had_ended && !self.run.state().is_active() {
            self.plane.runs.remove(&self.run);
        }
    }
}

/// Finds a run for a command, and locks its state.
pub(super) async fn lock(plane: &Arc<ControlPlane>, name: &str) -> Result<LockedRun, Status> {
    loop {
        let run = find_or_load(plane, name).await?;
        let control = run.lock_control().await;
        // The run may have ended, and have been removed, before it was locked.
        if !plane.runs.contains(&run) {
            continue;
        }
        let had_ended = !run.state().is_active();
        if had_ended || !run_lifecycle::end_if_superseded(plane, &run).await.map_err(from_run_error)? {
            return Ok(LockedRun { plane: plane.clone(), run, had_ended, _control: control });
        }
    }
}

/// Returns an active run, or loads it from the store and starts it if it has not ended.
async fn find_or_load(plane: &Arc<ControlPlane>, name: &str) -> Result<Arc<ActiveRun>, Status> {
    let name = parse_name(name)?;
    let _loading = plane.runs.lock_loading().await;
    if let Some(run) = plane.runs.get(&name) {
        return Ok(run);
    }
    // The given name may be only the beginning of the record's name.
    let record = RunRecord::find_by_prefix(&plane.store, &name).await.map_err(from_run_error)?;
    if let Some(run) = plane.runs.get(&record.name) {
        return Ok(run);
    }
    if record.request.is_none() {
        let message = format!("run `{}` was made by one command, not by a coordinator", record.name);
        let status = refused(Code::FailedPrecondition, "local_run", message);
        return Err(hint(status, "submit it to the coordinator"));
    }
    let run = ActiveRun::new(record, plane.term);
    if run.state().is_active() {
        run_lifecycle::start(plane, run.clone());
    } else {
        plane.runs.insert(run.clone());
    }
    Ok(run)
}
