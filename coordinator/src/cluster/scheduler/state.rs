//! The scheduler's state: runs with their shards, workers, and the attempts between them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use dqa_proto::v1::DeviceClass;

use super::attempt::Attempt;
use super::effect::Effect;
use super::ids::{RunId, ShardId, Time};
use super::policy::Policy;
use super::run::{NewRun, ScheduledRun, ShardState, Tally};
use super::worker::{LostWorker, Worker};

#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(super) policy: Policy,
    pub(super) runs: BTreeMap<RunId, ScheduledRun>,
    pub(super) workers: BTreeMap<String, Worker>,
    pub(super) attempts: HashMap<u64, Attempt>,
    /// The shards of each part's name, by which attempts of an earlier coordinator are recognized.
    pub(super) parts: HashMap<String, Vec<ShardId>>,
    pub(super) next_attempt: u64,
    next_run_id: u64,
    /// Runs of the store are still being planned: unknown attempts of workers may be theirs.
    pub(super) is_recovering: bool,
    /// By class of devices: the worker that is kept idle for a shard that must run exclusively.
    pub(super) reserved: BTreeMap<i32, String>,
    pub(super) lost: VecDeque<LostWorker>,
}

/// The load of one class of devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) workers: usize,
    pub(crate) slots: usize,
    /// Shards that no worker has.
    pub(crate) waiting: usize,
    /// Shards that a worker has.
    pub(crate) running: usize,
}

impl Scheduler {
    /// Creates an empty scheduler. Attempts are numbered from `term << 32`, so that no two coordinators of a store use
    /// the same number.
    pub(crate) fn new(policy: Policy, term: u64) -> Scheduler {
        Scheduler {
            policy,
            runs: BTreeMap::new(),
            workers: BTreeMap::new(),
            attempts: HashMap::new(),
            parts: HashMap::new(),
            next_attempt: term << 32,
            next_run_id: 0,
            is_recovering: true,
            reserved: BTreeMap::new(),
            lost: VecDeque::new(),
        }
    }

    /// Ends the recovery: every active run of the store has been added, so workers stop attempts that are still
    /// unknown.
    pub(crate) fn finish_recovery(&mut self) {
        self.is_recovering = false;
    }

    /// Adds a run and dispatches its first shards.
    pub(crate) fn add_run(&mut self, new: NewRun, now: Time) -> (RunId, Vec<Effect>) {
        let id = RunId(self.next_run_id);
        self.next_run_id += 1;
        for (index, shard) in new.shards.iter().enumerate() {
            self.parts.entry(shard.part.clone()).or_default().push(ShardId { run: id, index });
        }
        let mut effects = Vec::new();
        if new.shards.is_empty() {
            effects.push(Effect::RunDone { run: id });
        }
        self.runs.insert(id, ScheduledRun::new(new));
        let workers: Vec<String> = self.workers.keys().cloned().collect();
        workers.iter().for_each(|worker| self.adopt_attempts(worker, now));
        self.dispatch_all(now, &mut effects);
        (id, effects)
    }

    /// Pauses a run: no more of its shards are dispatched.
    pub(crate) fn pause_run(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.is_paused = true;
        }
    }

    /// Resumes a paused run.
    pub(crate) fn resume_run(&mut self, id: RunId, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(run) = self.runs.get_mut(&id) {
            run.is_paused = false;
        }
        self.dispatch_all(now, &mut effects);
        effects
    }

    /// Removes a run and stops its attempts.
    pub(crate) fn remove_run(&mut self, id: RunId, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(run) = self.runs.remove(&id) else {
            return effects;
        };
        for shard in &run.shards {
            if let Some(shards) = self.parts.get_mut(&shard.part) {
                shards.retain(|shard| shard.run != id);
                if shards.is_empty() {
                    self.parts.remove(&shard.part);
                }
            }
        }
        let is_of_run = |(_, attempt): &(&u64, &Attempt)| attempt.shard.run == id;
        let attempts: Vec<u64> = self.attempts.iter().filter(is_of_run).map(|(number, _)| *number).collect();
        for number in attempts {
            let Some(attempt) = self.attempts.remove(&number) else { continue };
            if let Some(worker) = self.workers.get_mut(&attempt.worker) {
                worker.attempts.remove(&number);
            }
            effects.push(Effect::Stop { worker: attempt.worker, attempts: vec![number] });
            effects.push(Effect::CancelJob { attempt: number });
        }
        self.dispatch_all(now, &mut effects);
        effects
    }

    pub(super) fn insert_attempt(&mut self, number: u64, attempt: Attempt) {
        let run = self.runs.get_mut(&attempt.shard.run).expect("attempts of a removed run are removed with it");
        run.shards[attempt.shard.index].state = ShardState::Running(number);
        run.running += 1;
        run.windows_running += run.shards[attempt.shard.index].windows;
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            worker.attempts.insert(number);
        }
        self.attempts.insert(number, attempt);
    }

    /// Removes an attempt. The caller must then set the state of its shard.
    pub(super) fn remove_attempt(&mut self, number: u64) -> Option<Attempt> {
        let attempt = self.attempts.remove(&number)?;
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            worker.attempts.remove(&number);
        }
        let run = self.runs.get_mut(&attempt.shard.run)?;
        run.running -= 1;
        run.windows_running -= run.shards[attempt.shard.index].windows;
        Some(attempt)
    }

    /// Returns the workers, sorted by their ids.
    pub(crate) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    pub(crate) fn worker(&self, id: &str) -> Option<&Worker> {
        self.workers.get(id)
    }

    /// Returns the run of an attempt with the planned windows of its shard. None for an attempt that has ended.
    pub(crate) fn shard_of_attempt(&self, attempt: u64) -> Option<(RunId, u64)> {
        let shard = self.attempts.get(&attempt)?.shard;
        Some((shard.run, self.runs.get(&shard.run)?.shards[shard.index].windows))
    }

    pub(crate) fn tally(&self, id: RunId) -> Tally {
        let Some(run) = self.runs.get(&id) else {
            return Tally::default();
        };
        let attempts = self.attempts.values().filter(|attempt| attempt.shard.run == id);
        Tally {
            shards: run.shards.len(),
            done: run.done,
            running: run.running,
            retrying: run.delayed.len() + run.waiting_exclusive.len(),
            quarantined: run.quarantined,
            windows_done: run.windows_done + attempts.map(|attempt| attempt.windows_done).sum::<u64>(),
        }
    }

    /// Says what the workers that train for a run are doing, for people to read.
    pub(crate) fn activities(&self, id: RunId) -> Vec<String> {
        let is_of_run = |attempt: &u64| self.attempts.get(attempt).is_some_and(|attempt| attempt.shard.run == id);
        let of_worker = |worker: &Worker| {
            let running = worker.running.iter().filter(|running| is_of_run(&running.attempt));
            let said = running.filter(|running| !running.activity.is_empty());
            said.map(|running| format!("{}: {}: {}", worker.registration.host, running.part, running.activity))
                .collect::<Vec<_>>()
        };
        self.workers.values().flat_map(of_worker).collect()
    }

    pub(crate) fn demand(&self, class: DeviceClass) -> Demand {
        let mut demand = Demand::default();
        for worker in self.workers.values().filter(|worker| worker.registration.device() == class) {
            demand.workers += 1;
            demand.slots += worker.registration.slots as usize;
        }
        for run in self.runs.values().filter(|run| run.class == class) {
            demand.running += run.running;
            if !run.is_paused {
                demand.waiting += run.waiting.len() + run.waiting_exclusive.len() + run.delayed.len();
            }
        }
        demand
    }
}
