//! Handles the registrations, reports and disconnections of workers.

use dqa_proto::v1::{FailureKind, Finished, Hello, Report, Running, finished};

use super::attempt::{Attempt, AttemptStage};
use super::effect::Effect;
use super::ids::{ShardId, Time};
use super::retry::AttemptFailure;
use super::run::ShardState;
use super::state::Scheduler;
use super::worker::Worker;

impl Scheduler {
    /// Registers a worker, for the first time or again. It gets shards after its first report, which tells what it
    /// already runs.
    pub(crate) fn register_worker(&mut self, registration: Hello, now: Time) {
        if let Some(worker) = self.workers.get_mut(&registration.id) {
            worker.registration = registration;
            worker.last_seen = now;
            worker.disconnected = None;
            return;
        }
        self.retract_deaths(&registration.id);
        self.workers.insert(registration.id.clone(), Worker::new(registration, now));
    }

    /// Handles the end of a worker's stream. The worker may open another.
    pub(crate) fn disconnect_worker(&mut self, id: &str, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.hand_back_unaccepted(id, now, &mut effects);
        if let Some(worker) = self.workers.get_mut(id) {
            // A draining worker without attempts has finished.
            if worker.is_draining && worker.attempts.is_empty() {
                self.workers.remove(id);
                self.reserved.retain(|_, reserved| reserved != id);
            } else {
                worker.disconnected.get_or_insert(now);
            }
        }
        self.expire(now, &mut effects);
        effects
    }

    /// Hands back the attempts that were on their way to a draining worker, which will not accept them any more.
    fn hand_back_unaccepted(&mut self, id: &str, now: Time, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get(id).filter(|worker| worker.is_draining) else {
            return;
        };
        let is_unaccepted = |attempt: &&u64| !self.attempts[*attempt].stage.is_accepted();
        let unaccepted: Vec<u64> = worker.attempts.iter().filter(is_unaccepted).copied().collect();
        for attempt in unaccepted {
            let message = "the worker left before it received the shard".to_owned();
            self.fail_attempt(attempt, AttemptFailure::Reported(FailureKind::HandedBack), message, now, effects);
        }
    }

    /// Records that a response to a worker's poll contains this attempt.
    pub(crate) fn mark_fetched(&mut self, number: u64) {
        if let Some(attempt) = self.attempts.get_mut(&number)
            && attempt.stage == AttemptStage::Dispatched
        {
            attempt.stage = AttemptStage::Fetched;
        }
    }

    /// Handles a worker's report, which tells everything that the worker runs and has finished.
    pub(crate) fn handle_report(&mut self, id: &str, report: Report, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(worker) = self.workers.get_mut(id) else {
            return effects;
        };
        worker.last_seen = now;
        worker.disconnected = None;
        worker.is_draining |= report.draining;
        worker.totals = report.totals.unwrap_or_default();
        worker.running.clone_from(&report.running);
        let finished: Vec<u64> = report.finished.iter().map(|finished| finished.attempt).collect();
        for finished in report.finished {
            self.handle_finished(id, finished, now, &mut effects);
        }
        if !finished.is_empty() {
            effects.push(Effect::Acknowledge { worker: id.to_owned(), attempts: finished });
        }
        for running in &report.running {
            if let Some(attempt) = self.attempts.get_mut(&running.attempt) {
                attempt.update(running, now);
                if let Some(run) = self.runs.get_mut(&attempt.shard.run) {
                    run.is_loaded |= running.scoring;
                }
            }
        }
        self.adopt_attempts(id, now);
        if !self.is_recovering {
            self.stop_unknown_attempts(id, &report.running, &mut effects);
        }
        self.dispatch_to(id, now, &mut effects);
        effects
    }

    fn handle_finished(&mut self, worker_id: &str, finished: Finished, now: Time, effects: &mut Vec<Effect>) {
        let Finished { attempt: number, part, outcome } = finished;
        let is_current = self.attempts.get(&number).is_some_and(|attempt| attempt.worker == worker_id);
        match outcome {
            Some(finished::Outcome::Scored(scored)) if is_current => {
                let attempt = self.remove_attempt(number).expect("it was found above");
                if let Some(worker) = self.workers.get_mut(worker_id) {
                    worker.health.record_success(now);
                }
                if let Some(run) = self.runs.get_mut(&attempt.shard.run) {
                    // Without windows the rows were there already, and no model was loaded.
                    run.is_loaded |= scored.windows > 0;
                }
                let duration = now.saturating_sub(attempt.dispatched);
                self.complete_shard(attempt.shard, scored.failed, Some(duration), effects);
                if self.runs.get(&attempt.shard.run).is_some_and(|run| run.is_training) {
                    // Other runs may wait for the same training.
                    self.complete_waiting(&part, scored.failed, effects);
                }
            }
            // The attempt is of an earlier coordinator, or was given up too early. The part is in the store all the
            // same.
            Some(finished::Outcome::Scored(scored)) => self.complete_waiting(&part, scored.failed, effects),
            Some(finished::Outcome::Failure(failure)) if is_current => {
                let kind = AttemptFailure::Reported(failure.kind());
                self.fail_attempt(number, kind, failure.message, now, effects);
            }
            None if is_current => {
                let message = "the worker reported no outcome".to_owned();
                self.fail_attempt(number, AttemptFailure::Reported(FailureKind::Internal), message, now, effects);
            }
            Some(finished::Outcome::Failure(_)) | None => {}
        }
    }

    /// Completes the waiting shards of this part.
    fn complete_waiting(&mut self, part: &str, rows_failed: u64, effects: &mut Vec<Effect>) {
        for shard in self.parts.get(part).cloned().unwrap_or_default() {
            let Some(run) = self.runs.get_mut(&shard.run) else { continue };
            if matches!(run.shards[shard.index].state, ShardState::Waiting | ShardState::Delayed(_)) {
                run.dequeue(shard.index);
                self.complete_shard(shard, rows_failed, None, effects);
            }
        }
    }

    fn stop_unknown_attempts(&self, worker: &str, running: &[Running], effects: &mut Vec<Effect>) {
        let is_unknown = |number: &u64| self.attempts.get(number).is_none_or(|attempt| attempt.worker != worker);
        let unknown: Vec<u64> = running.iter().map(|running| running.attempt).filter(is_unknown).collect();
        if !unknown.is_empty() {
            effects.push(Effect::Stop { worker: worker.to_owned(), attempts: unknown });
        }
    }

    /// Adopts attempts that an earlier coordinator dispatched, under their numbers, if their shards wait here.
    pub(super) fn adopt_attempts(&mut self, worker_id: &str, now: Time) {
        let Some(worker) = self.workers.get(worker_id) else {
            return;
        };
        let class = worker.registration.device();
        let is_unknown = |running: &&Running| !self.attempts.contains_key(&running.attempt);
        let unknown: Vec<Running> = worker.running.iter().filter(is_unknown).cloned().collect();
        for running in unknown {
            let is_waiting = |shard: &&ShardId| {
                let run = &self.runs[&shard.run];
                run.class == class && run.shards[shard.index].state == ShardState::Waiting
            };
            let Some(shard) = self.parts.get(&running.part).into_iter().flatten().find(is_waiting).copied() else {
                continue;
            };
            let Some(run) = self.runs.get_mut(&shard.run) else { continue };
            run.dequeue(shard.index);
            run.is_loaded |= running.scoring;
            let attempt = Attempt {
                shard,
                worker: worker_id.to_owned(),
                dispatched: now,
                deadline: self.policy.deadline(run.shards[shard.index].windows, run.class),
                is_exclusive: false,
                stage: AttemptStage::first_reported(running.scoring, now),
                windows_done: running.windows_done,
            };
            self.insert_attempt(running.attempt, attempt);
        }
    }
}
