//! Removes runs from the store at a user's request. Runs of this coordinator are locked meanwhile, so that nobody resumes or
//! submits one of them, and runs of commands are claimed as a command does it.

use std::sync::Arc;

use dqa_pipelines::names::RunName;
use dqa_pipelines::run_removal::{RunRemoval, RunRemovalError};
use dqa_pipelines::{Hint, causes};
use dqa_proto::{hint, refused, v1};
use tonic::{Code, Status};
use tracing::info;

use super::run_lookup::{self, LockedRun, RUNS_MAX};
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_run_error, from_store_error, internal, invalid_argument};
use crate::run::{Claim, ClaimError};

/// Removes the runs, or with `dry_run` returns what that would free.
pub(super) async fn remove(plane: Arc<ControlPlane>, request: v1::RemoveRunsRequest) -> Result<v1::RunRemoval, Status> {
    let runs = find_runs(&plane, &request.names).await?;
    if request.dry_run {
        return Ok(to_wire(&RunRemoval::plan(&plane.store, &runs).await.map_err(from_removal_error)?));
    }
    // A task of its own, because a user who goes away must not interrupt a removal.
    let removing = tokio::spawn(async move { remove_now(&plane, &runs).await });
    removing.await.map_err(|panic| internal(&panic))?
}

/// Returns the names of the requested runs in full, sorted: two requests lock runs in the same order.
async fn find_runs(plane: &ControlPlane, names: &[String]) -> Result<Vec<RunName>, Status> {
    if names.is_empty() || names.len() > RUNS_MAX || names.iter().any(String::is_empty) {
        return Err(invalid_argument("bad_runs", format!("expected the names of 1 to {RUNS_MAX} runs to remove")));
    }
    let mut runs = Vec::new();
    for name in names {
        let run = run_lookup::read_record(plane, name).await?.name;
        if runs.contains(&run) {
            return Err(invalid_argument("bad_runs", format!("run `{run}` is named twice")));
        }
        runs.push(run);
    }
    runs.sort_unstable();
    Ok(runs)
}

async fn remove_now(plane: &Arc<ControlPlane>, runs: &[RunName]) -> Result<v1::RunRemoval, Status> {
    let mut held = HeldRuns::default();
    let removed = match held.hold_all(plane, runs).await {
        Ok(()) => remove_records(plane, runs).await,
        Err(status) => Err(status),
    };
    held.release().await;
    let removal = removed?;
    let parts = removal.remove_parts(&plane.store).await.map_err(from_store_error)?;
    for run in runs {
        info!(%run, "run removed");
    }
    Ok(to_wire(&removal.with_removed(&parts)))
}

/// Runs that are held while they are removed.
#[derive(Default)]
struct HeldRuns {
    locks: Vec<LockedRun>,
    claims: Vec<Claim>,
}

impl HeldRuns {
    /// Locks each run of a coordinator, and claims each run of a command.
    async fn hold_all(&mut self, plane: &Arc<ControlPlane>, runs: &[RunName]) -> Result<(), Status> {
        for run in runs {
            let record = run_lookup::read_record(plane, run.as_str()).await?;
            if record.is_managed_by_coordinator() {
                self.locks.push(lock_ended(plane, run).await?);
            } else {
                self.claims.push(Claim::acquire(&plane.store, run).await.map_err(from_claim_error)?);
            }
        }
        Ok(())
    }

    /// Releases the runs, also if not all could be held: a claim of this process, which lives on, would keep commands from
    /// the run.
    async fn release(self) {
        for claim in self.claims {
            claim.release().await;
        }
    }
}

/// Locks a run of this coordinator that must have ended.
async fn lock_ended(plane: &Arc<ControlPlane>, name: &RunName) -> Result<LockedRun, Status> {
    let run = run_lookup::lock(plane, name.as_str()).await?;
    if run.state().is_active() {
        let error = RunRemovalError::Active { run: name.clone(), state: run.state(), owner: None };
        return Err(from_removal_error(error));
    }
    Ok(run)
}

async fn remove_records(plane: &ControlPlane, runs: &[RunName]) -> Result<RunRemoval, Status> {
    let removal = RunRemoval::plan(&plane.store, runs).await.map_err(from_removal_error)?;
    removal.remove_records(&plane.store, plane.record_writer()).await.map_err(from_run_error)?;
    Ok(removal)
}

fn from_removal_error(error: RunRemovalError) -> Status {
    let advice = error.hint();
    let code = match error {
        RunRemovalError::Run(error) => return from_run_error(error),
        RunRemovalError::Unreadable { .. } => "bad_record",
        RunRemovalError::Active { .. } => "active_run",
    };
    let status = refused(Code::FailedPrecondition, code, causes(&error).to_string());
    hint(status, &advice.unwrap_or_default())
}

fn from_claim_error(error: ClaimError) -> Status {
    let advice = error.hint();
    match error {
        ClaimError::Store(error) => from_store_error(error),
        error @ ClaimError::Taken { .. } => {
            let status = refused(Code::FailedPrecondition, "active_run", causes(&error).to_string());
            hint(status, &advice.unwrap_or_default())
        }
    }
}

fn to_wire(removal: &RunRemoval) -> v1::RunRemoval {
    v1::RunRemoval {
        runs: removal.runs.iter().map(ToString::to_string).collect(),
        parts: removal.parts.len() as u64,
        rows: removal.rows(),
        bytes: removal.bytes(),
        tables: removal.tables as u64,
        parts_kept: removal.parts_kept as u64,
    }
}
