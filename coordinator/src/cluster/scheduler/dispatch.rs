//! Chooses shards for workers. The run of the highest priority comes first; among equals the one with the fewest
//! windows in progress, so that a small run does not wait for a large one. A worker gets as many shards as it has
//! slots: the others wait here, where the next free worker can get them.

use dqa_proto::v1::DeviceClass;

use super::attempt::{Attempt, AttemptStage};
use super::effect::Effect;
use super::ids::{RunId, ShardId, Time};
use super::run::{ScheduledRun, ScheduledShard, ShardState};
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
        let Some((shard, is_exclusive)) = self.take_next_shard(worker, now) else {
            return false;
        };
        let run = &self.runs[&shard.run];
        let ScheduledShard { windows, history, .. } = &run.shards[shard.index];
        let deadline = self.policy.deadline(*windows, run.class);
        let accepts_unreadable = history.accepts_unreadable();
        let attempt = self.next_attempt;
        self.next_attempt += 1;
        let worker = worker.to_owned();
        let (of_worker, stage) = (worker.clone(), AttemptStage::Dispatched);
        effects.push(Effect::Dispatch { attempt, shard, worker, is_exclusive, deadline, accepts_unreadable });
        self.insert_attempt(
            attempt,
            Attempt { shard, worker: of_worker, dispatched: now, deadline, is_exclusive, stage, windows_done: 0 },
        );
        true
    }

    /// Removes the next shard for a worker from its queue and tells whether it must run exclusively.
    fn take_next_shard(&mut self, worker_id: &str, now: Time) -> Option<(ShardId, bool)> {
        let worker = self.workers.get(worker_id)?;
        let (class, is_idle) = (worker.registration.device(), worker.attempts.is_empty());
        if worker.attempts.iter().any(|attempt| self.attempts[attempt].is_exclusive) {
            return None;
        }
        let exclusive = self.first_in_turn(class, |id, run| self.find_exclusive(id, run, worker, now));
        match exclusive {
            Some((run, index)) => match self.exclusive_choice(class, worker_id, is_idle) {
                ExclusiveChoice::Take => {
                    self.runs.get_mut(&run)?.dequeue(index);
                    return Some((ShardId { run, index }, true));
                }
                ExclusiveChoice::KeepIdle => return None,
                ExclusiveChoice::Skip => {}
            },
            None if self.reserved.get(&i32::from(class)).is_some_and(|reserved| reserved == worker_id) => {
                self.reserved.remove(&i32::from(class));
            }
            None => {}
        }
        let worker = self.workers.get(worker_id)?;
        let (run, position) = self.first_in_turn(class, |id, run| self.find_waiting(id, run, worker, now))?;
        let index = self.runs.get_mut(&run)?.waiting.remove(position)?;
        Some((ShardId { run, index }, false))
    }

    /// Decides what a worker does for a shard that must run exclusively: an idle worker takes it. If no worker is idle,
    /// one worker is reserved and gets nothing else until it is idle.
    fn exclusive_choice(&mut self, class: DeviceClass, worker: &str, is_idle: bool) -> ExclusiveChoice {
        let class = i32::from(class);
        if is_idle {
            self.reserved.remove(&class);
            return ExclusiveChoice::Take;
        }
        let has_reserved = self.reserved.get(&class).is_some_and(|reserved| {
            self.workers.get(reserved).is_some_and(|worker| !worker.is_draining && !worker.attempts.is_empty())
        });
        if !has_reserved {
            self.reserved.insert(class, worker.to_owned());
        }
        if self.reserved[&class] == worker { ExclusiveChoice::KeepIdle } else { ExclusiveChoice::Skip }
    }

    /// Finds the index of a shard of a run that this worker may run exclusively.
    fn find_exclusive(&self, id: RunId, run: &ScheduledRun, worker: &Worker, now: Time) -> Option<usize> {
        let to_load_alone = if run.must_load_alone() && run.running == 0 { EXAMINED_MAX } else { 0 };
        let waiting = run.waiting_exclusive.iter().take(EXAMINED_MAX).chain(run.waiting.iter().take(to_load_alone));
        waiting.copied().find(|index| self.is_allowed(ShardId { run: id, index: *index }, worker, now))
    }

    /// Finds the position in the queue of a run of a shard that this worker may run beside others.
    fn find_waiting(&self, id: RunId, run: &ScheduledRun, worker: &Worker, now: Time) -> Option<usize> {
        if run.must_load_alone() {
            return None;
        }
        let is_allowed = |index: &usize| self.is_allowed(ShardId { run: id, index: *index }, worker, now);
        run.waiting.iter().take(EXAMINED_MAX).position(is_allowed)
    }

    /// Returns whether a worker may run a shard: unless the shard failed less often on another worker, which gets it. A
    /// training also needs a device without one, and is not run twice for two runs.
    fn is_allowed(&self, id: ShardId, worker: &Worker, now: Time) -> bool {
        if self.runs[&id.run].is_training && (!self.has_device_for_training(worker) || self.is_running_elsewhere(id)) {
            return false;
        }
        let failures = self.runs[&id.run].failures_on(id.index, worker);
        failures == 0 || !self.has_better_worker(id, failures, now)
    }

    fn has_device_for_training(&self, worker: &Worker) -> bool {
        let is_training = |attempt: &&u64| self.runs[&self.attempts[*attempt].shard.run].is_training;
        worker.attempts.iter().filter(is_training).count() < worker.registration.devices.len().max(1)
    }

    /// Returns whether a worker runs the same training for another run.
    fn is_running_elsewhere(&self, id: ShardId) -> bool {
        let state = |id: &ShardId| self.runs[&id.run].shards[id.index].state;
        let same = self.parts.get(&self.runs[&id.run].shards[id.index].part);
        same.into_iter().flatten().any(|other| *other != id && matches!(state(other), ShardState::Running(_)))
    }

    /// Goes through the runs of a class in the order of their turns, and returns the first for which `find` finds
    /// something.
    fn first_in_turn<T>(
        &self,
        class: DeviceClass,
        find: impl Fn(RunId, &ScheduledRun) -> Option<T>,
    ) -> Option<(RunId, T)> {
        let candidates = self.runs.iter().filter(|(_, run)| !run.is_paused && run.class == class);
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|(id, run)| (-i64::from(run.priority), run.windows_running, **id));
        candidates.into_iter().find_map(|(id, run)| Some((*id, find(*id, run)?)))
    }
}

/// What a worker does when a shard waits that must run exclusively.
enum ExclusiveChoice {
    /// It takes the shard.
    Take,
    /// It takes nothing until it is idle.
    KeepIdle,
    /// It takes an ordinary shard; another worker takes this one.
    Skip,
}
