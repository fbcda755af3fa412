//! The steps that the lifecycle of every run has, whether it scores or trains.

use anyhow::anyhow;
use dqa_pipelines::Hint;
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::run::RunRecord;
use dqa_proto::v1::DeviceClass;
use dqa_service::wire::device_class_from_name;

use super::active_run::{ActiveRun, RunEvent, RunEvents};
use super::control_plane::ControlPlane;
use super::store_retry::retry_transient;

/// Attempts at planning, each of which a coordinator ended with, before the run fails.
const PLANNING_ATTEMPTS_MAX: u32 = 3;

/// Why a run stopped before it was complete.
pub(super) enum Interruption {
    Cancelled,
    /// A user has submitted the run again meanwhile: it is planned again.
    SubmittedAgain,
    Failed(anyhow::Error),
}

/// The coordinator has ended in each attempt at planning a run.
#[derive(Debug, thiserror::Error)]
#[error("planning was begun {PLANNING_ATTEMPTS_MAX} times, and the coordinator ended each time before it had a plan")]
pub(super) struct PlanningAbandoned;

impl Hint for PlanningAbandoned {
    fn hint(&self) -> Option<String> {
        let advice = "the data set may need more memory than the coordinator has; `dqa-coord resume` tries again";
        Some(advice.to_owned())
    }
}

impl<E: Into<anyhow::Error>> From<E> for Interruption {
    fn from(error: E) -> Interruption {
        Interruption::Failed(error.into())
    }
}

/// Counts an attempt at planning in the run's record. A data set that ends the process that lists it would otherwise end the
/// coordinator again after each restart, and those that stand by.
pub(super) async fn begin_planning(plane: &ControlPlane, run: &ActiveRun) -> Result<(), Interruption> {
    let _control = run.lock_control().await;
    if !run.state().is_active() {
        return Err(Interruption::Cancelled);
    }
    let attempts = planning_attempts(run);
    if attempts >= PLANNING_ATTEMPTS_MAX {
        return Err(PlanningAbandoned.into());
    }
    let count = |record: &mut RunRecord| {
        if let Some(request) = &mut record.request {
            request.planning_attempts = attempts + 1;
        }
    };
    Ok(retry_transient(async || run.update_record(&plane.store, count).await).await?)
}

pub(super) fn planning_attempts(run: &ActiveRun) -> u32 {
    run.record().request.map_or(0, |request| request.planning_attempts)
}

pub(super) async fn wait_for_cancellation(events: &mut RunEvents) {
    while let Some((_, event)) = events.recv().await {
        if event == RunEvent::Cancelled {
            return;
        }
    }
}

pub(super) async fn wait_until_done(run: &ActiveRun, events: &mut RunEvents) -> Result<(), Interruption> {
    let own_id = run.scheduler_id();
    loop {
        match events.recv().await {
            Some((id, RunEvent::Done)) if id == own_id => return Ok(()),
            Some((id, RunEvent::Failed(message))) if id == own_id => return Err(anyhow!(message).into()),
            Some((_, RunEvent::Cancelled)) | None => return Err(Interruption::Cancelled),
            Some((_, RunEvent::Done | RunEvent::Failed(_))) => {}
        }
    }
}

pub(super) fn definitions(record: &RunRecord) -> anyhow::Result<Vec<Definition>> {
    let definitions = record.spec.datasets.iter().map(|dataset| Definition::from_toml(&dataset.definition));
    Ok(definitions.collect::<Result<_, _>>()?)
}

pub(super) fn require_class(device: &str) -> anyhow::Result<DeviceClass> {
    match device_class_from_name(device) {
        DeviceClass::Unspecified => Err(anyhow!("unknown device class `{device}`: expected `cpu` or `cuda`")),
        class => Ok(class),
    }
}
