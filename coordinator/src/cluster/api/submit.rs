//! Submits a run: a new one, or one that is in the store already.

use std::sync::Arc;

use dqa_pipelines::names::{DatasetName, NameError};
use dqa_pipelines::registry;
use dqa_pipelines::run::{RunRecord, RunRequest};
use dqa_proto::{hint, refused, v1};
use tonic::{Code, Status};
use tracing::info;

use super::run_lookup::{self, parse_name};
use super::validation;
use crate::cluster::active_run::ActiveRun;
use crate::cluster::control_plane::ControlPlane;
use crate::cluster::grpc_status::{from_registry_error, from_run_error, from_write_error, invalid};
use crate::cluster::{run_lifecycle, run_view};
use crate::run::{self, RunMismatch};

/// Runs that have not ended: each has a thread.
const ACTIVE_RUNS_MAX: usize = 1000;

pub(super) async fn submit(plane: &Arc<ControlPlane>, submitted: v1::RunRequest) -> Result<v1::Run, Status> {
    let (submission, request) = validation::validate(plane, submitted.clone()).await?;
    let given_name = if submitted.name.is_empty() { None } else { Some(parse_name(&submitted.name)?) };
    let loading = plane.runs.lock_loading().await;
    let (name, stored) = submission.find(&plane.store, given_name.as_ref(), None).await.map_err(from_run_error)?;
    let active = run_lookup::get_current(plane, &name).await?;
    // A run that is not active here is what the store says.
    let earlier = active.as_ref().map(|run| run.record()).or(stored);
    let redefine = parse_dataset_names(&submitted.redefine)?;
    let datasets: Vec<registry::RequestedDataset> =
        submission.definitions.iter().map(registry::RequestedDataset::new).collect();
    registry::check(&plane.store, &datasets, &redefine).await.map_err(from_registry_error)?;
    let record = submission.new_record(name.clone(), earlier.as_ref(), run::provenance()).map_err(|error| {
        let message = dqa_pipelines::causes(&error).to_string();
        hint(refused(Code::AlreadyExists, "other_run", message), RunMismatch::HINT)
    })?;
    let mut record = RunRecord { request: Some(request.clone()), ..record };
    if active.is_none() {
        require_room(plane)?;
    }
    let used_by = format!("run {name}");
    registry::register(&plane.store, &datasets, &redefine, &used_by).await.map_err(from_registry_error)?;
    if active.is_some() {
        drop(loading);
        return submit_again(plane, record, &request).await;
    }
    record.write_by(&plane.store, plane.record_writer()).await.map_err(from_run_error)?;
    start(plane, record).await
}

/// Checks that one run more may be active.
pub(super) fn require_room(plane: &ControlPlane) -> Result<(), Status> {
    if plane.runs.count_active() < ACTIVE_RUNS_MAX {
        return Ok(());
    }
    let message = format!("{ACTIVE_RUNS_MAX} runs have not ended, which is the limit");
    Err(hint(refused(Code::ResourceExhausted, "runs", message), "wait until some have ended, or cancel them"))
}

/// Starts a run whose record is in the store.
pub(super) async fn start(plane: &Arc<ControlPlane>, record: RunRecord) -> Result<v1::Run, Status> {
    let priority = record.request.as_ref().map_or(0, |request| request.priority);
    let run = ActiveRun::new(record, plane.term);
    info!(run = %run.name, priority, "run submitted");
    run_lifecycle::start(plane, run.clone());
    run_view::view_active(plane, &run).await
}

/// Starts a run again if it has ended.
async fn submit_again(plane: &Arc<ControlPlane>, record: RunRecord, request: &RunRequest) -> Result<v1::Run, Status> {
    let run = run_lookup::lock(plane, record.name.as_str()).await?;
    if run.state().is_active() {
        run.submit_again();
        // Writing the unchanged record makes the run the one that was used last.
        run.update_record(&plane.store, |_| {}).await.map_err(from_write_error)?;
    } else {
        let name = record.name.clone();
        run.update_record(&plane.store, |own| *own = record).await.map_err(from_write_error)?;
        info!(run = %name, priority = request.priority, device = request.device, "run submitted again");
        run_lifecycle::start(plane, run.clone());
    }
    run_view::view_active(plane, &run).await
}

pub(super) fn parse_dataset_names(names: &[String]) -> Result<Vec<DatasetName>, Status> {
    let parse = |name: &String| name.parse().map_err(|error: NameError| invalid("bad_datasets", &error));
    names.iter().map(parse).collect()
}
