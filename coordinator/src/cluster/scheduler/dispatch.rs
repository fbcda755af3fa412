//! Chooses shards for workers. The run of the highest priority comes first; among equals the one with the fewest
//! windows in progress, so that a small run does not wait for a large one. A worker gets as many shards as it has
//! slots: the others wait here, where the next free worker can get them.

use dqa_proto::v1::DeviceClass;

use super::attempt::{Attempt, AttemptStage};
use super::effect::Effect;
use super::ids::{RunId, ShardId, Time};
use super::run::ScheduledRun;
use super::state::Scheduler;
use super::worker::Worker;

/// Waiting shards that are examined for one worker. Some of them may have failed on it.
const EXAMINED_MAX: usize = 64;

impl Scheduler {
    /// Dispatches shards to all workers with free slots, those with the most free slots first.
    pub(super) fn dispatch_all(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let free_slots = |(id, worker): (&String, &Worker)| (worker.free_slots(now), id.clone());
        let mut free: Vec<(u32, String)> =
            self.workers.iter().map(free_slots).filter(|(slots, _)| *slots > 0).collect();
        free.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        // One shard each per round: slots beyond the first only keep a device from waiting.
        while !free.is_empty() {
            free.retain_mut(|(slots, id)| {
                let is_dispatched = self.dispatch_one(id, now, effects);
                *slots -= 1;
                is_dispatched && *slots > 0
            });
        }
    }

    /// Dispatches shards to one worker until its slots are taken.
    pub(super) fn dispatch_to(&mut self, worker: &str, now: Time, effects: &mut Vec<Effect>) {
        let has_free_slot =
            |scheduler: &Scheduler| scheduler.workers.get(worker).is_some_and(|worker| worker.free_slots(now) > 0);
        while has_free_slot(self) && self.dispatch_one(worker, now, effects) {}
    }

    fn dispatch_one(&mut self, worker: &str, now: Time, effects: &mut Vec<Effect>) -> bool {
        let Some((shard, is_exclusive)) = self.take_next_shard(worker) else {
            return false;
        };
        let run = &self.runs[&shard.run];
        let deadline = self.policy.deadline(run.shards[shard.index].windows, run.class);
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        let worker = worker.to_owned();
        effects.push(Effect::Dispatch { attempt, shard, worker: worker.clone(), is_exclusive, deadline });
        let stage = AttemptStage::Dispatched;
        self.insert_attempt(
            attempt,
            Attempt { shard, worker, dispatched: now, deadline, is_exclusive, stage, windows_done: 0 },
        );
        true
    }

    /// Removes the next shard for a worker from its queue and tells whether it must run exclusively.
    fn take_next_shard(&mut self, worker_id: &str) -> Option<(ShardId, bool)> {
        let worker = self.workers.get(worker_id)?;
        let (class, is_idle) = (worker.registration.device(), worker.attempts.is_empty());
        if worker.attempts.iter().any(|attempt| self.attempts[attempt].is_exclusive) {
            return None;
        }
        if let Some(run) = self.next_run_with(class, |run| !run.waiting_exclusive.is_empty()) {
            match self.exclusive_choice(run, worker_id, is_idle) {
                ExclusiveChoice::Take(index) => return Some((ShardId { run, index }, true)),
                ExclusiveChoice::KeepIdle => return None,
                ExclusiveChoice::Skip => {}
            }
        } else {
            self.reserved.remove(&i32::from(class));
        }
        let run = self.next_run_with(class, |run| !run.waiting.is_empty())?;
        let index = self.take_waiting(run, worker_id)?;
        Some((ShardId { run, index }, false))
    }

    /// Decides what a worker does for a shard that must run exclusively: an idle worker takes it. If no worker is idle,
    /// one worker is reserved and gets nothing else until it is idle.
    fn exclusive_choice(&mut self, run: RunId, worker: &str, is_idle: bool) -> ExclusiveChoice {
        let class = i32::from(self.runs[&run].class);
        if is_idle {
            self.reserved.remove(&class);
            let index = self.runs.get_mut(&run).and_then(|run| run.waiting_exclusive.pop_front());
            return index.map_or(ExclusiveChoice::Skip, ExclusiveChoice::Take);
        }
        let has_reserved = self.reserved.get(&class).is_some_and(|reserved| {
            self.workers.get(reserved).is_some_and(|worker| !worker.is_draining && !worker.attempts.is_empty())
        });
        if !has_reserved {
            self.reserved.insert(class, worker.to_owned());
        }
        if self.reserved[&class] == worker { ExclusiveChoice::KeepIdle } else { ExclusiveChoice::Skip }
    }

    /// Removes a shard from the queue of a run: the first that has not failed on this worker, or that no other worker
    /// can take.
    fn take_waiting(&mut self, run_id: RunId, worker: &str) -> Option<usize> {
        let run = &self.runs[&run_id];
        let is_allowed = |index: &usize| {
            let shard = ShardId { run: run_id, index: *index };
            !run.shards[*index].history.has_failed_on(worker) || self.count_other_workers(shard, worker) == 0
        };
        let position = run.waiting.iter().take(EXAMINED_MAX).position(is_allowed)?;
        self.runs.get_mut(&run_id)?.waiting.remove(position)
    }

    /// Returns the run whose turn it is among those of a class that meet a condition.
    fn next_run_with(&self, class: DeviceClass, condition: impl Fn(&ScheduledRun) -> bool) -> Option<RunId> {
        let is_candidate = |run: &ScheduledRun| !run.is_paused && run.class == class && condition(run);
        let candidates = self.runs.iter().filter(|(_, run)| is_candidate(run));
        candidates.min_by_key(|(id, run)| (-i64::from(run.priority), run.windows_running, **id)).map(|(id, _)| *id)
    }
}

/// What a worker does when a shard waits that must run exclusively.
enum ExclusiveChoice {
    /// It takes the shard with this index.
    Take(usize),
    /// It takes nothing until it is idle.
    KeepIdle,
    /// It takes an ordinary shard; another worker takes this one.
    Skip,
}
