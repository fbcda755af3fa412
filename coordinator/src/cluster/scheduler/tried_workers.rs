//! The workers on which a shard, or the model of a run, has failed.
//!
//! A supervisor starts a dead worker again under another id, so that one sick machine could pass for many workers. A
//! worker therefore inherits the failures that its machine had before it registered. Other workers of the same machine,
//! which may have another device, do not.

use super::ids::Time;
use super::worker::Worker;

#[derive(Clone, Debug, Default)]
pub(super) struct TriedWorkers(Vec<TriedWorker>);

#[derive(Clone, Debug)]
struct TriedWorker {
    id: String,
    host: String,
    failures: u32,
    last_failure: Time,
    /// It is a worker that was started again after a failure.
    is_restarted: bool,
}

impl TriedWorkers {
    pub(super) fn record_failure(&mut self, worker: &Worker, at: Time) {
        let is_restarted = self.failures_on(worker) > 0;
        let id = &worker.registration.id;
        if let Some(tried) = self.0.iter_mut().find(|tried| tried.id == *id) {
            tried.failures += 1;
            tried.last_failure = at;
            return;
        }
        let host = worker.registration.host.clone();
        self.0.push(TriedWorker { id: id.clone(), host, failures: 1, last_failure: at, is_restarted });
    }

    /// Takes back a failure that was recorded for this worker.
    pub(super) fn retract_failure(&mut self, id: &str) {
        if let Some(tried) = self.0.iter_mut().find(|tried| tried.id == id) {
            tried.failures = tried.failures.saturating_sub(1);
        }
        self.0.retain(|tried| tried.failures > 0);
    }

    /// Counts the failures on a worker, and those on its machine from before it was started.
    pub(super) fn failures_on(&self, worker: &Worker) -> u32 {
        let is_same = |tried: &&TriedWorker| {
            tried.id == worker.registration.id
                || tried.host == worker.registration.host && tried.last_failure <= worker.registered
        };
        self.0.iter().filter(is_same).map(|tried| tried.failures).sum()
    }

    /// Counts the workers, each once however often it was started again.
    pub(super) fn count(&self) -> usize {
        self.0.iter().filter(|tried| !tried.is_restarted).count()
    }
}
