//! The runs that this coordinator works on, by their names and by their ids in the scheduler.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dqa_pipelines::names::RunName;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::active_run::ActiveRun;
use super::scheduler::RunId;

/// Whoever submitted a rejected run asks for it at once, or again after a connection was lost.
const REJECTED_KEPT_FOR: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(super) struct RunRegistry {
    index: Mutex<Index>,
    loading: tokio::sync::Mutex<()>,
    repeated_planning: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Index {
    by_name: BTreeMap<RunName, Arc<ActiveRun>>,
    by_id: HashMap<RunId, Arc<ActiveRun>>,
    rejected: HashMap<RunName, (Instant, Arc<ActiveRun>)>,
}

impl RunRegistry {
    /// Locks the loading of runs. Held while a run is looked up and, if missing, read from the store and inserted,
    /// so that no run is registered twice.
    pub(super) async fn lock_loading(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.loading.lock().await
    }

    /// Locks the planning of runs that a coordinator began to plan, and ended.
    pub(super) async fn lock_repeated_planning(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.repeated_planning.lock().await
    }

    pub(super) fn get(&self, name: &RunName) -> Option<Arc<ActiveRun>> {
        self.index.lock().by_name.get(name).cloned()
    }

    /// Returns the run that the scheduler knows under this id, or `None` if it was unscheduled.
    pub(super) fn get_scheduled(&self, id: RunId) -> Option<Arc<ActiveRun>> {
        self.index.lock().by_id.get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<ActiveRun>> {
        self.index.lock().by_name.values().cloned().collect()
    }

    /// Counts the runs that have not ended.
    pub(super) fn count_active(&self) -> usize {
        self.all().iter().filter(|run| run.state().is_active()).count()
    }

    pub(super) fn insert(&self, run: Arc<ActiveRun>) {
        self.index.lock().by_name.insert(run.name.clone(), run);
    }

    /// Returns whether exactly this run, and not a later one of its name, is registered.
    pub(super) fn contains(&self, run: &Arc<ActiveRun>) -> bool {
        self.get(&run.name).is_some_and(|registered| Arc::ptr_eq(&registered, run))
    }

    /// Removes a run that has ended: its record is in the store. A later run of its name stays.
    pub(super) fn remove(&self, run: &Arc<ActiveRun>) {
        let mut index = self.index.lock();
        if index.by_name.get(&run.name).is_some_and(|registered| Arc::ptr_eq(registered, run)) {
            index.by_name.remove(&run.name);
        }
    }

    /// Keeps a run that was rejected, and has no record in the store, for whoever waits for it.
    pub(super) fn insert_rejected(&self, run: Arc<ActiveRun>) {
        let mut index = self.index.lock();
        index.rejected.retain(|_, (since, _)| since.elapsed() < REJECTED_KEPT_FOR);
        index.rejected.insert(run.name.clone(), (Instant::now(), run));
    }

    /// Returns the run of this name that was rejected last. The store may have a later one.
    pub(super) fn get_rejected(&self, name: &RunName) -> Option<Arc<ActiveRun>> {
        self.index.lock().rejected.get(name).map(|(_, run)| run.clone())
    }

    pub(super) fn insert_scheduled(&self, id: RunId, run: Arc<ActiveRun>) {
        self.index.lock().by_id.insert(id, run);
    }

    pub(super) fn remove_scheduled(&self, id: RunId) {
        self.index.lock().by_id.remove(&id);
    }
}
