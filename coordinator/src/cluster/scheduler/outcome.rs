//! Handles the end of an attempt: its shard is done, is retried, or is quarantined.

use std::time::Duration;

use super::effect::Effect;
use super::ids::{ShardId, Time};
use super::retry::{AttemptFailure, FailureHistory, QuarantineCode, RetryDecision};
use super::run::ShardState;
use super::state::Scheduler;
use super::worker::Worker;

impl Scheduler {
    /// Handles an attempt whose task could not be handed to Ballista.
    pub(crate) fn dispatch_failed(
        &mut self,
        attempt: u64,
        failure: AttemptFailure,
        message: String,
        now: Time,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.fail_attempt(attempt, failure, message, now, &mut effects);
        self.dispatch_all(now, &mut effects);
        effects
    }

    /// Handles the end of writing a quarantined shard's rows: the number of rows without a score, or an error, after
    /// which the shard is retried from the start.
    pub(crate) fn finish_quarantine(&mut self, id: ShardId, rows: Result<u64, ()>, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(run) = self.runs.get_mut(&id.run) else {
            return effects;
        };
        if run.shards[id.index].state != ShardState::Quarantined {
            return effects;
        }
        match rows {
            Ok(rows_failed) => {
                run.quarantined += 1;
                self.complete_shard(id, rows_failed, None, &mut effects);
            }
            Err(()) => {
                run.shards[id.index].history = FailureHistory::default();
                run.enqueue(id.index, self.policy.backoff_max, now);
            }
        }
        effects
    }

    pub(super) fn fail_attempt(
        &mut self,
        number: u64,
        failure: AttemptFailure,
        message: String,
        now: Time,
        effects: &mut Vec<Effect>,
    ) {
        let Some(attempt) = self.remove_attempt(number) else {
            return;
        };
        effects.push(Effect::CancelJob { attempt: number });
        let (shard, worker) = (attempt.shard, attempt.worker);
        let kind = failure.name();
        effects.push(Effect::AttemptFailed { shard, worker: worker.clone(), kind, message: message.clone() });
        if let Some(worker) = self.workers.get_mut(&worker) {
            worker.note_failure(&message, now);
        }
        if failure.may_be_workers_fault() {
            self.record_worker_failure(&worker, now);
        }
        let other_workers = self.count_other_workers(shard, &worker);
        let Some(run) = self.runs.get_mut(&shard.run) else {
            return;
        };
        let history = &mut run.shards[shard.index].history;
        match history.record_failure(failure, (&worker, number), other_workers, &self.policy) {
            RetryDecision::RetryAfter(delay) => run.enqueue(shard.index, delay, now),
            RetryDecision::Quarantine(code) => self.quarantine(shard, code, message, effects),
            RetryDecision::FailRun => {
                run.enqueue(shard.index, self.policy.backoff_max, now);
                effects.push(Effect::RunFailed { run: shard.run, message });
            }
        }
    }

    pub(super) fn complete_shard(
        &mut self,
        id: ShardId,
        rows_failed: u64,
        duration: Option<Duration>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(run) = self.runs.get_mut(&id.run) else {
            return;
        };
        let shard = &mut run.shards[id.index];
        shard.state = ShardState::Done;
        run.done += 1;
        run.windows_done += shard.windows;
        effects.push(Effect::ShardDone { shard: id, rows_failed, duration });
        if run.done == run.shards.len() {
            effects.push(Effect::RunDone { run: id.run });
        }
    }

    pub(super) fn quarantine(
        &mut self,
        shard: ShardId,
        code: QuarantineCode,
        message: String,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(run) = self.runs.get_mut(&shard.run) {
            run.shards[shard.index].state = ShardState::Quarantined;
        }
        effects.push(Effect::Quarantine { shard, code, message });
    }

    /// Counts the workers of a shard's class, other than this one, on which the shard has not failed.
    pub(super) fn count_other_workers(&self, id: ShardId, worker: &str) -> usize {
        let Some(run) = self.runs.get(&id.run) else {
            return 0;
        };
        let history = &run.shards[id.index].history;
        let is_other = |(other_id, other): &(&String, &Worker)| {
            *other_id != worker
                && other.registration.device() == run.class
                && !other.is_draining
                && !history.has_failed_on(other_id)
        };
        self.workers.iter().filter(is_other).count()
    }

    /// Counts a failure that may be the worker's fault. After several in a row the worker gets no shards for a while,
    /// if other workers can take them.
    fn record_worker_failure(&mut self, id: &str, now: Time) {
        let Some(class) = self.workers.get(id).map(|worker| worker.registration.device()) else {
            return;
        };
        let is_alternative = |(other_id, other): (&String, &Worker)| {
            other_id != id && other.registration.device() == class && !other.is_draining && other.cooldown_until <= now
        };
        let has_alternative = self.workers.iter().any(is_alternative);
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.consecutive_failures += 1;
        if has_alternative && worker.consecutive_failures >= self.policy.cooldown_after {
            let doublings = (worker.consecutive_failures - self.policy.cooldown_after).min(5);
            worker.cooldown_until = now + self.policy.cooldown * 2u32.pow(doublings);
        }
    }
}
