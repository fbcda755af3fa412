//! Takes a run that trains from its request to its study's table. As [`super::run_lifecycle`], which starts and ends it.

use std::sync::Arc;

use anyhow::Context;
use dqa_pipelines::Hint;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::run::{RunRequest, RunState, TrainingCounts};
use jiff::Timestamp;
use tracing::info;

use super::active_run::{ActiveRun, RunEvents};
use super::control_plane::ControlPlane;
use super::lifecycle_steps::{
    Interruption, begin_planning, definitions, planning_attempts, require_class, wait_for_cancellation, wait_until_done,
};
use super::scheduler::NewRun;
use super::store_retry::retry_transient;
use super::training_plan::{TrainingPlan, TrainingPlanError};
use crate::study::StudyRunError;

/// Trainings that an error names.
const NAMED_MAX: usize = 3;

/// Some trainings of a run cannot be done. The others are.
#[derive(Debug, thiserror::Error)]
#[error("{} of {units} cannot be done: {}", counted(given_up.len(), "training"), reasons(given_up))]
pub(super) struct TrainingsGivenUp {
    units: u64,
    /// Names and reasons.
    given_up: Vec<(String, String)>,
}

impl Hint for TrainingsGivenUp {
    fn hint(&self) -> Option<String> {
        Some("what was trained is kept; when the cause is mended, `dqa-coord resume` trains the rest".to_owned())
    }
}

fn reasons(given_up: &[(String, String)]) -> String {
    let named =
        given_up.iter().take(NAMED_MAX).map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ");
    match given_up.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

pub(super) async fn run_to_completion(
    plane: &Arc<ControlPlane>,
    run: &Arc<ActiveRun>,
    events: &mut RunEvents,
) -> Result<(), Interruption> {
    let plan = tokio::select! {
        plan = plan(plane, run) => plan?,
        () = wait_for_cancellation(events) => return Err(Interruption::Cancelled),
    };
    schedule(plane, run, plan).await?;
    wait_until_done(run, events).await?;
    complete(plane, run).await
}

async fn plan(plane: &ControlPlane, run: &ActiveRun) -> Result<TrainingPlan, Interruption> {
    // One after the other: a coordinator that ends with one of them must not count an attempt of the others.
    let _turn = if planning_attempts(run) > 0 { Some(plane.runs.lock_repeated_planning().await) } else { None };
    begin_planning(plane, run).await?;
    let record = run.record();
    let request = record.training().context("the run's record lacks its trainings")?;
    let definitions = definitions(&record)?;
    let prepare = async || TrainingPlan::prepare(&plane.store, request, &definitions, &plane.roots).await;
    Ok(retry_transient::<_, TrainingPlanError>(prepare).await?)
}

/// Writes the plan's numbers into the run's record and adds the missing units to the scheduler.
async fn schedule(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>, plan: TrainingPlan) -> Result<(), Interruption> {
    let _control = run.lock_control().await;
    let mut record = run.record();
    let request = record.request.clone().context("the run's record lacks its request")?;
    if !record.state.is_active() {
        return Err(Interruption::Cancelled);
    }
    let class = require_class(&request.device)?;
    let TrainingCounts { units, done } = plan.counts();
    record.training_counts = Some(TrainingCounts { units, done });
    record.counts.windows = plan.windows().0;
    record.request = Some(RunRequest { planning_attempts: 0, ..request.clone() });
    (record.failure, record.hint) = (None, None);
    let is_paused = record.state == RunState::Paused;
    if !is_paused {
        record.state = RunState::Running;
    }
    record.updated = Timestamp::now();
    retry_transient(async || record.write_by(&plane.store, plane.record_writer()).await).await?;
    let shards = plan.shards();
    info!(trainings = units, missing = shards.len(), "trainings planned");
    run.set_trainings(record, plan);
    let priority = request.priority;
    plane.schedule_run(run, NewRun { class, priority, is_paused, has_model: false, is_training: true, shards });
    run.notify_changed();
    Ok(())
}

/// Writes the study's table and the record.
async fn complete(plane: &Arc<ControlPlane>, run: &Arc<ActiveRun>) -> Result<(), Interruption> {
    let _control = run.lock_control().await;
    if !run.state().is_active() {
        return Err(Interruption::Cancelled);
    }
    let id = run.scheduler_id();
    let (plan, given_up) = run.take_trainings().context("trainings that are done have a plan")?;
    if let Some(id) = id {
        plane.unschedule_run(id);
    }
    let units = plan.counts().units;
    let mut record = run.record();
    record.training_counts = Some(TrainingCounts { units, done: units - given_up.len() as u64 });
    if !given_up.is_empty() {
        run.set_complete(record);
        return Err(anyhow::Error::from(TrainingsGivenUp { units, given_up }).into());
    }
    let read = async || plan.outcome(&plane.store, false).await;
    if let Some(outcome) = retry_transient::<_, StudyRunError>(read).await? {
        retry_transient(async || outcome.write(&plane.store).await).await?;
    }
    record.state = RunState::Complete;
    record.updated = Timestamp::now();
    (record.failure, record.hint) = (None, None);
    retry_transient(async || record.write_by(&plane.store, plane.record_writer()).await).await?;
    info!(trainings = units, "trainings complete");
    run.set_complete(record);
    run.notify_changed();
    Ok(())
}
