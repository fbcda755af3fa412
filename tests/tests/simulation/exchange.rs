//! How tasks of shards get from coordinators to workers, in Ballista's place: a worker asks every coordinator that it reaches.
//! What a coordinator has not handed over is gone when its process ends, and an answer to a worker may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dqa_coordinator::cluster::ShardTransport;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One in this many answers to a worker is lost.
const LOST: u32 = 100;

struct Task {
    coordinator: String,
    attempt: u64,
    text: String,
}

struct State {
    /// By the worker's id.
    tasks: BTreeMap<String, Vec<Task>>,
    /// Coordinators and workers' machines that do not reach each other.
    cuts: BTreeSet<(String, String)>,
    random: ChaCha8Rng,
}

/// The tasks that wait for their workers.
pub(super) struct Exchange(Mutex<State>);

impl Exchange {
    pub(super) fn new(seed: u64) -> Exchange {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Exchange(Mutex::new(State { tasks: BTreeMap::new(), cuts: BTreeSet::new(), random }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what a coordinator has not handed over.
    pub(super) fn forget(&self, coordinator: &str) {
        for tasks in self.state().tasks.values_mut() {
            tasks.retain(|task| task.coordinator != coordinator);
        }
    }

    pub(super) fn cut(&self, coordinator: &str, machine: &str) {
        self.state().cuts.insert((coordinator.to_owned(), machine.to_owned()));
    }

    pub(super) fn mend(&self, coordinator: &str, machine: &str) {
        self.state().cuts.remove(&(coordinator.to_owned(), machine.to_owned()));
    }

    /// Hands a worker on `machine` the tasks that wait for it.
    pub(super) fn take(&self, worker: &str, machine: &str) -> Vec<String> {
        let mut state = self.state();
        let Some(waiting) = state.tasks.remove(worker) else { return Vec::new() };
        let is_reached = |task: &Task| !state.cuts.contains(&(task.coordinator.clone(), machine.to_owned()));
        let (taken, kept): (Vec<Task>, Vec<Task>) = waiting.into_iter().partition(is_reached);
        if !kept.is_empty() {
            state.tasks.insert(worker.to_owned(), kept);
        }
        if state.random.random_ratio(1, LOST) {
            return Vec::new();
        }
        taken.into_iter().map(|task| task.text).collect()
    }
}

/// The transport of one coordinator.
pub(super) struct Direct {
    pub(super) exchange: Arc<Exchange>,
    pub(super) coordinator: String,
}

#[async_trait]
impl ShardTransport for Direct {
    async fn submit_shard(&self, attempt: u64, worker: String, task: String) -> anyhow::Result<()> {
        let task = Task { coordinator: self.coordinator.clone(), attempt, text: task };
        self.exchange.state().tasks.entry(worker).or_default().push(task);
        Ok(())
    }

    async fn cancel_attempt(&self, attempt: u64) {
        self.finish_attempt(attempt).await;
    }

    async fn finish_attempt(&self, attempt: u64) {
        let is_other = |task: &Task| task.attempt != attempt || task.coordinator != self.coordinator;
        self.exchange.state().tasks.values_mut().for_each(|tasks| tasks.retain(is_other));
    }

    async fn remove_executor(&self, worker: &str) {
        self.exchange.state().tasks.remove(worker);
    }
}
