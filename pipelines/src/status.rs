//! The status of a run: its record, its progress by what is in the store, and the process that works on it. Every command that
//! shows runs shows this.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::leader::Leader;
use crate::names::RunName;
use crate::run::{RunRecord, RunRecordError, RunState};
use crate::run_process::RunProcess;
use crate::run_progress::{Progress, ProgressCounter};
use crate::store::{Store, StoreError};

/// Process objects that are read at the same time.
const READS_MAX: usize = 16;

/// The status of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStatus {
    /// The run's record.
    pub record: RunRecord,
    /// The record's state, or [`RunState::Interrupted`].
    pub state: RunState,
    /// How much of it is in the store.
    pub progress: Progress,
    /// The process that works on it, as recorded in the store. None for a run that has ended.
    pub owner: Option<RunOwner>,
}

/// The process that works on a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOwner {
    /// The process of a command.
    Process(RunProcess),
    /// The coordinator of the store that led last.
    Coordinator {
        /// Its name.
        id: String,
        /// The time of its last heartbeat, by the store's clock.
        seen: Timestamp,
        /// Whether it has reported that it ended.
        has_ended: bool,
    },
}

impl fmt::Display for RunOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunOwner::Process(process) => {
                write!(f, "process {} on {} since {:.0}", process.id, process.host, process.since)
            }
            RunOwner::Coordinator { id, seen, has_ended: true } => write!(f, "coordinator {id}, ended at {seen:.0}"),
            RunOwner::Coordinator { id, seen, .. } => write!(f, "coordinator {id}, last seen at {seen:.0}"),
        }
    }
}

impl RunStatus {
    /// Reads the current status of a run.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read(store: &Store, record: RunRecord) -> Result<RunStatus, StoreError> {
        let mut statuses = RunStatus::read_each(store, vec![record], &ProgressCounter::default()).await?;
        Ok(statuses.pop().expect("it is one for each record"))
    }

    /// Reads the current status of all runs of a store, the oldest first: those with scores, and those that train.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_all(store: &Store) -> Result<Vec<RunStatus>, RunRecordError> {
        Ok(RunStatus::read_each(store, RunRecord::read_all_with_trainings(store).await?, &ProgressCounter::default())
            .await?)
    }

    /// Reads the current status of each of these runs, in their order. Pass the same `counter` on later calls, so that it
    /// reads only what changed.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn read_each(
        store: &Store,
        records: Vec<RunRecord>,
        counter: &ProgressCounter,
    ) -> Result<Vec<RunStatus>, StoreError> {
        // Before the parts are listed: a process that ends between the two has written all its parts.
        let processes = processes(store, &records).await?;
        let has_remote = records.iter().any(|record| record.state.is_active() && record.is_managed_by_coordinator());
        let coordinator = if has_remote { coordinator(store).await? } else { None };
        let progress = counter.count(store, &records).await?;
        let now = Timestamp::now();
        let status = |((record, process), progress): ((RunRecord, Option<(RunProcess, Timestamp)>), Progress)| {
            let progress = record.training_counts.map_or(progress, Progress::of_training);
            let process = process.filter(|(process, written)| process.is_alive(*written, now));
            let (state, owner) = match (record.state.is_active(), record.is_managed_by_coordinator()) {
                (false, _) => (record.state, None),
                (true, true) => (record.state, coordinator.clone()),
                (true, false) => match process {
                    Some((process, _)) => (record.state, Some(RunOwner::Process(process))),
                    None => (RunState::Interrupted, None),
                },
            };
            RunStatus { record, state, progress, owner }
        };
        Ok(records.into_iter().zip(processes).zip(progress).map(status).collect())
    }

    /// Returns what the user can do about the run. None if it is being worked on and its record has no hint.
    pub fn hint(&self) -> Option<String> {
        let is_in_progress = matches!(self.state, RunState::Planning | RunState::Running);
        self.record.hint.clone().or_else(|| if is_in_progress { None } else { self.advice() })
    }

    /// Returns how to get the run completed. None if it is complete.
    pub fn advice(&self) -> Option<String> {
        let run = &self.record.name;
        match self.state {
            RunState::Complete if self.progress.is_complete() => None,
            RunState::Complete | RunState::Interrupted => Some(
                "`dqa-coord submit` with the same arguments goes on from there; what was scored is kept".to_owned(),
            ),
            RunState::Failed | RunState::Cancelled | RunState::Paused => {
                Some(format!("`dqa-coord resume {run}` on its coordinator goes on with it; what was scored is kept"))
            }
            RunState::Planning | RunState::Running => match &self.owner {
                Some(RunOwner::Process(_)) => Some(format!("wait for it: `dqa-coord status {run}` says how far it is")),
                Some(RunOwner::Coordinator { .. }) | None => Some(format!(
                    "wait for it: `dqa-coord status {run}` says how far it is. If its coordinator is gone, start it again: \
                     `dqa-coord serve` on this store goes on with it"
                )),
            },
        }
    }
}

/// Returns a sentence that says that a run is not complete, and how much of it is in the store.
pub fn shortfall(run: &str, state: &str, progress: &Progress) -> String {
    format!("run {run} is {state}, and its results are not complete: {}", progress.text())
}

/// Reads the process of each run that a command scores.
async fn processes(store: &Store, records: &[RunRecord]) -> Result<Vec<Option<(RunProcess, Timestamp)>>, StoreError> {
    let is_local = |record: &RunRecord| record.state.is_active() && !record.is_managed_by_coordinator();
    let names: Vec<Option<RunName>> =
        records.iter().map(|record| is_local(record).then(|| record.name.clone())).collect();
    let find = |name: Option<RunName>| async move {
        match name {
            Some(name) => RunProcess::find(store, &name).await,
            None => Ok(None),
        }
    };
    futures::stream::iter(names).map(find).buffered(READS_MAX).try_collect().await
}

/// Reads the coordinator that led last. None if the store never had one.
async fn coordinator(store: &Store) -> Result<Option<RunOwner>, StoreError> {
    let Some(Leader { id, term, ended: has_ended, .. }) = Leader::newest(store).await? else { return Ok(None) };
    match store.modified(&Leader::key(term)).await {
        Err(error) if error.is_not_found() => Ok(None),
        seen => Ok(Some(RunOwner::Coordinator { id, seen: seen?, has_ended })),
    }
}
