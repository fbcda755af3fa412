//! Takes a run from its request to its reports. Each step is in the run's record in the store, so that another process
//! can continue where this one was killed.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use dqa_engine::models::RecordedTraining;
use dqa_model::Views;
use dqa_pipelines::dataset::CheckReport;
use dqa_pipelines::metric::MetricSelection;
use dqa_pipelines::model_spec::ModelSpec;
use dqa_pipelines::registry::{self, RegistryError};
use dqa_pipelines::report::{self, ReportOptions};
use dqa_pipelines::run::{RUNS, RunRecord, RunRecordError, RunRequest, RunState};
use dqa_pipelines::store::StoreError;
use dqa_pipelines::trained_on::TrainedOn;
use dqa_pipelines::{Hint, causes};
use futures::FutureExt;
use jiff::Timestamp;
use tracing::{Instrument, info, info_span, warn};

use super::active_run::{ActiveRun, RunEvents, ScheduledPlan};
use super::control_plane::ControlPlane;
use super::lifecycle_steps::{
    Interruption, PlanningAbandoned, begin_planning, definitions, planning_attempts, require_class,
    wait_for_cancellation, wait_until_done,
};
use super::scheduler::NewRun;
use super::store_retry::{backoff, retry_transient};
use super::training_lifecycle::{self, TrainingsGivenUp};
use super::training_plan::TrainingPlanError;

use crate::run::{self, PlanObserver, PlanRequest, Roots, RunPlan};

/// Plans of one run before missing parts fail it: another run may replace its parts again and again.
const PLANS_MAX: u32 = 3;

/// What to do about a request that cannot be planned, if its error says no more.
const REJECTED_HINT: &str = "nothing is kept of the run: correct the request, and submit it again";

/// Drives a run until it has ended. A run that is driven already is driven again after that, if it is active then.
pub(super) fn start(plane: &Arc<ControlPlane>, run: Arc<ActiveRun>) {
    plane.runs.insert(run.clone());
    let (driven_plane, driven_run) = (plane.clone(), run.clone());
    let span = info_span!("run", run = %run.name);
    let lifecycle = move || async move { drive(&driven_plane, &driven_run).await }.instrument(span).boxed_local();
    if let Err(error) = (plane.run_spawner)(Box::new(lifecycle)) {
        let error = anyhow!(error).context("the coordinator has no thread for the run");
        let plane = plane.clone();
        tokio::spawn(async move { end(&plane, &run, Err(Interruption::Failed(error))).await });
    }
}

/// Starts the active runs of the store that this coordinator does not drive yet, and waits until they are scheduled.
///
/// # Errors
/// When the store fails.
pub(super) async fn start_stored_runs(plane: &Arc<ControlPlane>) -> Result<(), StoreError> {
    let mut started = Vec::new();
    for name in plane.store.list_folders(RUNS).await? {
        let Ok(name) = name.parse() else { continue };
        let _loading = plane.runs.lock_loading().await;
        if plane.runs.get(&name).is_some() {
            continue;
        }
        let record = match RunRecord::take_over(&plane.store, &name, plane.term).await {
            Ok(Some(record)) => record,
            Ok(None) => continue,
            Err(RunRecordError::Store(error)) if !error.is_object_specific() => return Err(error),
            Err(error) => {
                warn!(run = %name, error = %causes(&error), "the run is left out");
                continue;
            }
        };
        info!(run = %record.name, state = %record.state, "stored run continues");
        let run = ActiveRun::new(record, plane.term);
        started.push(run.clone().wait_until_scheduled());
        start(plane, run);
    }
    futures::future::join_all(started).await;
    Ok(())
}

/// Ends a run here whose record in the store is not this coordinator's: a command has taken the run over, has completed
/// it, or somebody has deleted it. Then the store is right, and this process's memory of the run is out of date.
/// Returns whether it is so. The caller has locked the run's state, so that the store has what this process wrote last.
///
/// # Errors
/// When the store fails.
pub(super) async fn end_if_superseded(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>) -> Result<bool, RunRecordError> {
    let stored = RunRecord::find(&plane.store, &run.name).await?;
    if stored.as_ref().is_some_and(|stored| stored.is_managed_by_coordinator() && stored.state.is_active()) {
        return Ok(false);
    }
    info!(run = %run.name, "the run was scored or changed without this coordinator: the store's record holds");
    if let Some(id) = run.scheduler_id() {
        plane.unschedule_run(id);
    }
    run.end_with(stored);
    run.cancel();
    plane.runs.remove(run);
    Ok(true)
}

async fn drive(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>) {
    let mut events = run.lock_events().await;
    // Events from before the run was started again are obsolete.
    while events.try_recv().is_ok() {}
    if !run.state().is_active() {
        return;
    }
    let ended = if run.record().is_training() {
        AssertUnwindSafe(training_lifecycle::run_to_completion(plane, run, &mut events)).catch_unwind().await
    } else {
        AssertUnwindSafe(run_to_completion(plane, run, &mut events)).catch_unwind().await
    };
    end(plane, run, ended.unwrap_or_else(|panic| Err(Interruption::Failed(panic_error(&*panic))))).await;
}

/// Returns the error of a run whose thread panicked. Panics are dqa's own bugs.
fn panic_error(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<&str>().copied();
    let message = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    anyhow!("the coordinator panicked while it worked on the run: {message}; this is a bug, please report it")
}

/// Takes a run off the scheduler, and records its failure if it failed.
async fn end(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>, ended: Result<(), Interruption>) {
    if let Some(id) = run.scheduler_id() {
        plane.unschedule_run(id);
    }
    run.drop_plan();
    if let Err(Interruption::Failed(error)) = ended {
        fail(plane, run, error).await;
    }
    // A command that waits for this lock finds the run removed, and looks for it again.
    let _control = run.lock_control().await;
    if !run.state().is_active() {
        plane.runs.remove(run);
    }
    // Watchers are waiting still if the reports of a complete run panicked.
    run.notify_changed();
}

/// Records that a run has failed, unless it was cancelled meanwhile. Repeats this until the store answers.
async fn fail(plane: &ControlPlane, run: &Arc<ActiveRun>, error: anyhow::Error) {
    let failure = causes(error.as_ref()).to_string();
    warn!(why = failure, "run failed");
    let prepare_error: Option<&run::PrepareError> = error.downcast_ref();
    let prepare_hint = prepare_error.and_then(run::PrepareError::hint);
    let training_error: Option<&TrainingPlanError> = error.downcast_ref();
    let hint = prepare_hint
        .or_else(|| training_error.and_then(TrainingPlanError::hint))
        .or_else(|| error.downcast_ref().and_then(TrainingsGivenUp::hint))
        .or_else(|| error.downcast_ref().and_then(RegistryError::hint))
        .or_else(|| error.downcast_ref().and_then(PlanningAbandoned::hint));
    // As a command, which writes no record before it has a plan. A run that was planned before keeps what it has.
    let is_wrong = prepare_error.is_some_and(run::PrepareError::is_wrong_request)
        || training_error.is_some_and(TrainingPlanError::is_wrong_request);
    let is_rejected = is_wrong && !was_planned(&run.record());
    let hint = hint.or_else(|| is_rejected.then(|| REJECTED_HINT.to_owned()));
    let mut retries = 0;
    loop {
        let control = run.lock_control().await;
        if !run.state().is_active() {
            return;
        }
        let change = |record: &mut RunRecord| {
            record.state = RunState::Failed;
            record.failure = Some(failure.clone());
            record.hint.clone_from(&hint);
        };
        let recorded =
            if is_rejected { reject(plane, run, change).await } else { run.update_record(&plane.store, change).await };
        let Err(error) = recorded else { return };
        if matches!(error, run::RunError::Record(RunRecordError::Superseded { .. })) {
            info!(error = %causes(&error), "the run goes on without this coordinator");
            return run.end_with(None);
        }
        drop(control);
        retries += 1;
        warn!(error = %causes(&error), tries = retries, "the failure of a run was not recorded");
        tokio::time::sleep(backoff(retries)).await;
    }
}

fn was_planned(record: &RunRecord) -> bool {
    !record.parts.is_empty() || record.training_counts.is_some()
}

/// Removes a run that was never planned from the store. Who waits for it still gets its failure.
async fn reject(
    plane: &ControlPlane,
    run: &Arc<ActiveRun>,
    change: impl FnOnce(&mut RunRecord),
) -> Result<(), run::RunError> {
    RunRecord::delete_as_leader(&plane.store, &run.name, plane.term).await?;
    plane.runs.insert_rejected(run.clone());
    let mut record = run.record();
    change(&mut record);
    run.end_with(Some(record));
    info!("a run that cannot be planned as it was submitted is not kept");
    Ok(())
}

async fn run_to_completion(
    plane: &Arc<ControlPlane>,
    run: &Arc<ActiveRun>,
    events: &mut RunEvents,
) -> Result<(), Interruption> {
    let mut plans = 0;
    loop {
        plans += 1;
        run.take_submitted_again();
        let work = tokio::select! {
            work = plan(plane, run) => work?,
            () = wait_for_cancellation(events) => return Err(Interruption::Cancelled),
        };
        register_datasets(plane, run, &work).await?;
        schedule(plane, run, work).await?;
        wait_until_done(run, events).await?;
        match complete(plane, run).await {
            // Another run of the same pictures has replaced some of the parts.
            Err(Interruption::Failed(error)) if plans < PLANS_MAX && is_incomplete(&error) => {
                warn!(error = %causes(error.as_ref()), "parts are missing: the run is planned again");
            }
            Err(Interruption::SubmittedAgain) => plans = 0,
            ended => return ended,
        }
    }
}

fn is_incomplete(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(run::RunError::Incomplete { .. }))
}

async fn plan(plane: &ControlPlane, run: &ActiveRun) -> Result<RunPlan, Interruption> {
    // One after the other: a coordinator that ends with one of them must not count an attempt of the others.
    let _turn = if planning_attempts(run) > 0 { Some(plane.runs.lock_repeated_planning().await) } else { None };
    begin_planning(plane, run).await?;
    let request = plan_request(&run.record(), &plane.roots)?;
    let prepare = async || run::prepare(&plane.store, &request, &mut PlanningLog).await;
    Ok(retry_transient(prepare).await?)
}

fn plan_request(record: &RunRecord, roots: &Roots) -> anyhow::Result<PlanRequest> {
    let request = record.request.as_ref().context("the run's record lacks its request")?;
    // Without a model the default views say how large shards are.
    let views = Some(record.spec.views.as_str()).filter(|views| !views.is_empty()).map(str::parse::<Views>);
    let views = views.transpose().map_err(|error| anyhow!("the run's views: {}", causes(&error)))?.unwrap_or_default();
    Ok(PlanRequest {
        definitions: definitions(record)?,
        algorithms: request.algorithms.clone(),
        allow_missing: request.allow_missing,
        retry_failed: request.retry_failed,
        with_hazy: request.with_hazy,
        shard_windows: record.spec.shard_windows_max,
        views,
        limits: record.spec.limits,
        metrics: record.metrics(),
        leaves_out_metrics: MetricSelection::parse(request.metrics.iter().map(String::as_str))?.leaves_out,
        metric_parameters: record.spec.metric_parameters.clone(),
        roots: roots.clone(),
    })
}

/// Registers the data sets' names again: their manifests have been read, so it is known whether they have labels.
async fn register_datasets(plane: &ControlPlane, run: &ActiveRun, work: &RunPlan) -> anyhow::Result<()> {
    let definitions = definitions(&run.record())?;
    let requested: Vec<registry::RequestedDataset> = definitions.iter().map(registry::RequestedDataset::new).collect();
    let (registered, used_by) = (work.registrations(&requested), format!("run {}", run.name));
    let register = async || registry::register(&plane.store, &registered, &[], &used_by).await;
    retry_transient(register).await
}

/// Writes the plan into the run's record and adds the missing shards to the scheduler.
async fn schedule(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>, mut work: RunPlan) -> Result<(), Interruption> {
    let _control = run.lock_control().await;
    let mut record = run.record();
    let request = record.request.clone().context("the run's record lacks its request")?;
    if !record.state.is_active() {
        return Err(Interruption::Cancelled);
    }
    run::dropped_rows(&record, &work).iter().for_each(|line| info!("{line}"));
    let trained_on = match &request.model {
        Some(model) => read_training(plane, model).await?,
        None => TrainedOn::default(),
    };
    run::record_plan(&mut record, &work, &trained_on);
    record.request = Some(RunRequest { planning_attempts: 0, ..request.clone() });
    for leak in record.spec.training_leaks() {
        warn!(leak, "scenes were seen in training");
    }
    let is_paused = record.state == RunState::Paused;
    if !is_paused {
        record.state = RunState::Running;
    }
    record.updated = Timestamp::now();
    retry_transient(async || record.write_by(&plane.store, plane.record_writer()).await).await?;
    if retry_transient(async || work.drop_vanished_parts(&plane.store).await).await? {
        run::record_plan(&mut record, &work, &trained_on);
    }
    let plan = ScheduledPlan::new(work, run::part_metadata(&record));
    let shards = plan.shards();
    info!(shards = plan.parts(), missing = shards.len(), pictures = record.counts.pictures, "run planned");
    run.set_plan(record, plan);
    let class = require_class(&request.device)?;
    let has_model = request.model.is_some();
    plane.schedule_run(
        run,
        NewRun { class, priority: request.priority, is_paused, has_model, is_training: false, shards },
    );
    run.notify_changed();
    Ok(())
}

/// Returns the scenes that a model was trained on, as far as its files record them.
async fn read_training(plane: &ControlPlane, model: &ModelSpec) -> anyhow::Result<TrainedOn> {
    let read = async || RecordedTraining::of_stored(&plane.store, model).await;
    let (trained_on, unreadable) = retry_transient(read).await?.known();
    if let Some(why) = unreadable {
        warn!(why, "the scenes that the model was trained on are unknown");
    }
    Ok(trained_on)
}

/// Counts the rows of every part, then writes the record and the reports.
async fn complete(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>) -> Result<(), Interruption> {
    let control = run.lock_control().await;
    if !run.state().is_active() {
        return Err(Interruption::Cancelled);
    }
    let id = run.scheduler_id();
    let plan = run.take_plan().context("a run that completes has a plan")?;
    if let Some(id) = id {
        plane.unschedule_run(id);
    }
    if run.take_submitted_again() {
        return Err(Interruption::SubmittedAgain);
    }
    let mut work = plan.into_run_plan();
    let mut record = run.record();
    record.request.as_mut().context("the run's record lacks its request")?.retry_failed = false;
    (record.failure, record.hint) = (None, None);
    let commit = async || run::commit(&plane.store, &mut work, record.clone(), plane.record_writer()).await;
    let record = retry_transient(commit).await?;
    drop(work);
    // Logged before the state changes: whoever sees that a run is complete finds it in the log.
    info!(scored = record.counts.scored, failed = record.counts.failed, "run complete");
    run.set_complete(record.clone());
    drop(control);
    let options = ReportOptions::from_run(&record);
    let reported = async {
        let report = report::compute(&plane.store, &record, &options).await?;
        report.write(&plane.store).await
    };
    if let Err(error) = reported.await {
        // The scores are in the store; `dqa-coord report` makes the reports again.
        warn!(error = %causes(&error), "the run is complete, but its reports were not written");
    }
    // Watchers see the end once the reports are written.
    run.notify_changed();
    Ok(())
}

/// Logs how planning proceeds.
struct PlanningLog;

impl PlanObserver for PlanningLog {
    fn headers_left(&mut self, dataset: &str, left: usize) {
        info!(dataset, left, "headers to read");
    }

    fn faults(&mut self, check: &CheckReport) {
        info!("{check}");
    }

    fn remark(&mut self, dataset: &str, line: &str) {
        info!(dataset, "{line}");
    }
}

#[cfg(test)]
mod tests;
