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
                for index in run.followers(id.index) {
                    let message = "the training that it tests was given up".to_owned();
                    self.quarantine(ShardId { run: id.run, index }, QuarantineCode::Task, message, &mut effects);
                }
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
        let has_better_worker = failure.may_be_workers_fault() && self.blame_worker(shard, failure, &worker, now);
        let Some(run) = self.runs.get_mut(&shard.run) else {
            return;
        };
        let history = &mut run.shards[shard.index].history;
        match history.decide(failure, number, has_better_worker, &self.policy) {
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
        for follower in run.followers(id.index) {
            run.shards[follower].state = ShardState::Waiting;
            run.waiting.push_back(follower);
        }
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

    /// Records a failure of a shard on a worker that may be at fault. Returns whether there is a worker on which the
    /// shard failed less often.
    fn blame_worker(&mut self, id: ShardId, failure: AttemptFailure, worker_id: &str, now: Time) -> bool {
        self.record_worker_failure(worker_id, now);
        let (Some(worker), Some(run)) = (self.workers.get(worker_id), self.runs.get_mut(&id.run)) else {
            return false;
        };
        let tried = if failure.is_of_model() { &mut run.model_tried } else { &mut run.shards[id.index].history.tried };
        tried.record_failure(worker, now);
        let failures = run.failures_on(id.index, worker);
        self.has_better_worker(id, failures, now)
    }

    /// Returns whether there is a worker of a shard's class on which the shard has failed fewer times than this.
    pub(super) fn has_better_worker(&self, id: ShardId, failures: u32, now: Time) -> bool {
        let run = &self.runs[&id.run];
        self.workers.values().any(|worker| {
            worker.registration.device() == run.class
                && worker.may_take_shards(now)
                && run.failures_on(id.index, worker) < failures
        })
    }

    /// Counts a failure that may be the worker's fault. After several in a row the worker gets no shards for a while,
    /// if another worker has succeeded since.
    fn record_worker_failure(&mut self, id: &str, now: Time) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.health.record_failure(now);
        let mut health = worker.health.clone();
        let class = worker.registration.device();
        let is_healthy = |(other_id, other): (&String, &Worker)| {
            other_id != id
                && other.registration.device() == class
                && other.may_take_shards(now)
                && other.health.has_succeeded_since(&health)
        };
        if self.workers.iter().any(is_healthy) {
            health.bench(&self.policy, now);
        }
        if let Some(worker) = self.workers.get_mut(id) {
            worker.health = health;
        }
    }
}
