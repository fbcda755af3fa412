//! A run as it stands: its record, how far it is by what is in the store, and who works on it. What is said of a run, by
//! whatever command, is said of this.

use std::fmt;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Deserialize;

use crate::names::RunName;
use crate::process::Process;
use crate::progress::{Counter, Progress};
use crate::run::{RunError, RunRecord, RunState};
use crate::store::{Store, StoreError};

/// The folder of coordinators in a store. Each writes a beat into its own object as long as it leads.
pub const COORDINATORS: &str = "coordinators";

/// Objects of processes that are read at once.
const READS_MAX: usize = 16;

/// A run as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStatus {
    /// What is written of it.
    pub record: RunRecord,
    /// The record's state, or [`RunState::Interrupted`].
    pub state: RunState,
    /// How far it is.
    pub progress: Progress,
    /// Who works on it, as far as the store says; None for a run that has ended.
    pub conductor: Option<Conductor>,
}

/// Who works on a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conductor {
    /// A process, by a command.
    Process(Process),
    /// The coordinator of the store that led last.
    Coordinator {
        /// Its name.
        id: String,
        /// When it said last that it leads, by the store's clock.
        seen: Timestamp,
        /// It said that it ended.
        has_ended: bool,
    },
}

impl fmt::Display for Conductor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Conductor::Process(process) => {
                write!(f, "process {} on {} since {:.0}", process.id, process.host, process.since)
            }
            Conductor::Coordinator { id, seen, has_ended: true } => write!(f, "coordinator {id}, ended at {seen:.0}"),
            Conductor::Coordinator { id, seen, .. } => write!(f, "coordinator {id}, last seen at {seen:.0}"),
        }
    }
}

/// What a coordinator writes of itself, as far as it is of interest here.
#[derive(Deserialize)]
struct Leader {
    id: String,
    #[serde(default)]
    ended: bool,
}

impl RunStatus {
    /// How a run stands now.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn read(store: &Store, record: RunRecord) -> Result<RunStatus, StoreError> {
        let mut statuses = RunStatus::read_each(store, vec![record], &Counter::default()).await?;
        Ok(statuses.pop().expect("it is one for each record"))
    }

    /// How all runs of a store stand, oldest first.
    ///
    /// # Errors
    /// Where the store fails or a record is not one.
    pub async fn read_all(store: &Store) -> Result<Vec<RunStatus>, RunError> {
        Ok(RunStatus::read_each(store, RunRecord::all(store).await?, &Counter::default()).await?)
    }

    /// How each of these runs stands, in their order. Who asks again gives the same `counter`.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn read_each(
        store: &Store,
        records: Vec<RunRecord>,
        counter: &Counter,
    ) -> Result<Vec<RunStatus>, StoreError> {
        // Before the parts: a process that ends between the two has left all of them.
        let processes = processes(store, &records).await?;
        let has_remote = records.iter().any(|record| record.state.is_active() && record.is_of_coordinator());
        let coordinator = if has_remote { coordinator(store).await? } else { None };
        let progress = counter.count(store, &records).await?;
        let now = Timestamp::now();
        let status = |((record, process), progress): ((RunRecord, Option<(Process, Timestamp)>), Progress)| {
            let process = process.filter(|(process, written)| process.works(*written, now));
            let (state, conductor) = match (record.state.is_active(), record.is_of_coordinator()) {
                (false, _) => (record.state, None),
                (true, true) => (record.state, coordinator.clone()),
                (true, false) => match process {
                    Some((process, _)) => (record.state, Some(Conductor::Process(process))),
                    None => (RunState::Interrupted, None),
                },
            };
            RunStatus { record, state, progress, conductor }
        };
        Ok(records.into_iter().zip(processes).zip(progress).map(status).collect())
    }

    /// What to do, as far as something is to be done: of a run that goes on nothing is.
    pub fn hint(&self) -> Option<String> {
        let goes_on = matches!(self.state, RunState::Planning | RunState::Running);
        self.record.hint.clone().or_else(|| if goes_on { None } else { self.advice() })
    }

    /// What to do to have the run completed, or to see it complete; None for one that is.
    pub fn advice(&self) -> Option<String> {
        let run = &self.record.name;
        match self.state {
            RunState::Complete if self.progress.is_whole() => None,
            RunState::Complete | RunState::Interrupted => Some(
                "`dqa-coord submit` with the same arguments goes on from there; what was scored is kept".to_owned(),
            ),
            RunState::Failed | RunState::Cancelled | RunState::Paused => {
                Some(format!("`dqa-coord resume {run}` on its coordinator goes on with it; what was scored is kept"))
            }
            RunState::Planning | RunState::Running => match &self.conductor {
                Some(Conductor::Process(_)) => {
                    Some(format!("wait for it: `dqa-coord status {run}` says how far it is"))
                }
                Some(Conductor::Coordinator { .. }) | None => Some(format!(
                    "wait for it: `dqa-coord status {run}` says how far it is. If its coordinator is gone, start it again: \
                     `dqa-coord serve` on this store goes on with it"
                )),
            },
        }
    }
}

/// Returns a sentence that says that a run is not complete, and how much of it is in the store.
pub fn shortfall(run: &str, state: &str, progress: &Progress) -> String {
    format!("run {run} is {state}, and its results are not complete: {}", progress.extent())
}

/// The process that the store names for each run that a command works on.
async fn processes(store: &Store, records: &[RunRecord]) -> Result<Vec<Option<(Process, Timestamp)>>, StoreError> {
    let is_local = |record: &RunRecord| record.state.is_active() && !record.is_of_coordinator();
    let names: Vec<Option<RunName>> =
        records.iter().map(|record| is_local(record).then(|| record.name.clone())).collect();
    let find = |name: Option<RunName>| async move {
        match name {
            Some(name) => Process::find(store, &name).await,
            None => Ok(None),
        }
    };
    futures::stream::iter(names).map(find).buffered(READS_MAX).try_collect().await
}

/// The coordinator that led last; None where the store never had one.
async fn coordinator(store: &Store) -> Result<Option<Conductor>, StoreError> {
    let listed = store.list_sorted(COORDINATORS).await?;
    let Some(newest) = listed.last() else { return Ok(None) };
    let found = async { Ok::<_, StoreError>((store.get(&newest.key).await?, store.modified(&newest.key).await?)) };
    let (bytes, seen) = match found.await {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let leader: Option<Leader> = serde_json::from_slice(&bytes).ok();
    Ok(leader.map(|Leader { id, ended }| Conductor::Coordinator { id, seen, has_ended: ended }))
}
