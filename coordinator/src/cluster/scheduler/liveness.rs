//! Timeouts of the scheduler: backoffs that end, attempts that take too long, workers that fall silent.

use std::time::Duration;

use super::attempt::Attempt;
use super::effect::Effect;
use super::ids::Time;
use super::retry::{AttemptFailure, QuarantineCode};
use super::state::Scheduler;
use super::worker::{LostWorker, Worker};

/// Lost workers that are remembered. A worker whose connection was interrupted comes back under its id.
const LOST_WORKERS_MAX: usize = 1024;

impl Scheduler {
    /// Handles everything that is due at this time.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.expire(now, &mut effects);
        self.dispatch_all(now, &mut effects);
        effects
    }

    /// Ends backoffs, loses workers and fails attempts whose time has passed.
    pub(super) fn expire(&mut self, now: Time, effects: &mut Vec<Effect>) {
        self.runs.values_mut().for_each(|run| run.enqueue_delayed(now));
        let loss = |(id, worker): (&String, &Worker)| Some((id.clone(), worker.loss_reason(&self.policy, now)?));
        let lost: Vec<(String, &'static str)> = self.workers.iter().filter_map(loss).collect();
        for (id, reason) in lost {
            self.lose_worker(&id, reason, now, effects);
        }
        let overdue = |(number, attempt): (&u64, &Attempt)| Some((*number, attempt.overdue(&self.policy, now)?));
        let overdue: Vec<(u64, (AttemptFailure, &'static str))> = self.attempts.iter().filter_map(overdue).collect();
        for (number, (failure, message)) in overdue {
            let worker = self.attempts[&number].worker.clone();
            effects.push(Effect::Stop { worker, attempts: vec![number] });
            self.fail_attempt(number, failure, message.to_owned(), now, effects);
        }
    }

    /// Removes a lost worker and retries its shards elsewhere.
    fn lose_worker(&mut self, id: &str, reason: &'static str, now: Time, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.remove(id) else {
            return;
        };
        self.reserved.retain(|_, reserved| reserved != id);
        effects.push(Effect::WorkerLost { worker: id.to_owned(), reason });
        let has_died = worker.disconnected.is_some() && !worker.is_draining;
        let kind = if has_died { "worker_died" } else { "worker_silent" };
        let running = worker.attempts.iter().filter(|number| self.attempts[number].may_be_running()).count();
        let mut deaths = Vec::new();
        for number in worker.attempts {
            effects.push(Effect::CancelJob { attempt: number });
            let Some(attempt) = self.remove_attempt(number) else { continue };
            let shard = attempt.shard;
            let message = reason.to_owned();
            effects.push(Effect::AttemptFailed { shard, worker: id.to_owned(), kind, message });
            let Some(run) = self.runs.get_mut(&shard.run) else { continue };
            let history = &mut run.shards[shard.index].history;
            if has_died && attempt.may_be_running() {
                let was_exclusive = attempt.is_exclusive || running == 1;
                history.record_worker_death(was_exclusive);
                deaths.push((shard, was_exclusive));
            }
            if history.is_fatal(&self.policy) {
                let message = format!("several workers died while they scored it: {reason}");
                self.quarantine(shard, QuarantineCode::WorkerDied, message, effects);
            } else {
                run.enqueue(shard.index, Duration::ZERO, now);
            }
        }
        if !deaths.is_empty() {
            self.lost.push_back(LostWorker { id: id.to_owned(), deaths });
            if self.lost.len() > LOST_WORKERS_MAX {
                self.lost.pop_front();
            }
        }
    }

    /// Retracts the deaths that were recorded for a worker that is back: an id belongs to one process, so it did not
    /// die.
    pub(super) fn retract_deaths(&mut self, id: &str) {
        let Some(position) = self.lost.iter().position(|lost| lost.id == id) else {
            return;
        };
        for (shard, was_exclusive) in self.lost.remove(position).map(|lost| lost.deaths).unwrap_or_default() {
            if let Some(run) = self.runs.get_mut(&shard.run) {
                run.shards[shard.index].history.retract_worker_death(was_exclusive);
            }
        }
    }
}
