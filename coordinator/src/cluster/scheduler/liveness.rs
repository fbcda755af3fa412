//! Timeouts of the scheduler: backoffs that end, attempts that take too long, workers that fall silent.

use std::collections::BTreeSet;
use std::time::Duration;

use super::attempt::Attempt;
use super::effect::Effect;
use super::ids::{RunId, Time};
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

    /// Removes a lost worker and retries its shards elsewhere. If the worker died, it died of one of its shards, or of
    /// a model that it was loading for a run of which no shard has been scored yet: then its shards are not blamed.
    fn lose_worker(&mut self, id: &str, reason: &'static str, now: Time, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.remove(id) else {
            return;
        };
        self.reserved.retain(|_, reserved| reserved != id);
        effects.push(Effect::WorkerLost { worker: id.to_owned(), reason });
        let died = worker.disconnected.filter(|_| !worker.is_draining);
        let kind = if died.is_some() { "worker_died" } else { "worker_silent" };
        let loading = if died.is_some() { self.runs_being_loaded(&worker) } else { BTreeSet::new() };
        let running = worker.attempts.iter().filter(|number| self.attempts[number].may_be_running()).count();
        let mut deaths = Vec::new();
        for number in &worker.attempts {
            effects.push(Effect::CancelJob { attempt: *number });
            let Some(attempt) = self.remove_attempt(*number) else { continue };
            let shard = attempt.shard;
            let message = reason.to_owned();
            effects.push(Effect::AttemptFailed { shard, worker: id.to_owned(), kind, message });
            let Some(run) = self.runs.get_mut(&shard.run) else { continue };
            let history = &mut run.shards[shard.index].history;
            if let Some(died) = died.filter(|_| loading.is_empty() && attempt.may_be_running()) {
                let was_exclusive = attempt.is_exclusive || running == 1;
                history.record_worker_death(&worker, died, was_exclusive);
                deaths.push((shard, was_exclusive));
            }
            if history.is_fatal(&self.policy) {
                let message = format!("several workers died while they scored it: {reason}");
                self.quarantine(shard, QuarantineCode::WorkerDied, message, effects);
            } else {
                // A shard that was to be scored first goes behind the others, of which one may show that the model loads.
                let delay = if loading.contains(&shard.run) { self.policy.backoff_min } else { Duration::ZERO };
                run.enqueue(shard.index, delay, now);
            }
        }
        for run in &loading {
            self.record_load_death(*run, &worker, now, effects);
        }
        if !deaths.is_empty() || !loading.is_empty() {
            self.lost.push_back(LostWorker { id: id.to_owned(), deaths, load_deaths: loading.into_iter().collect() });
            if self.lost.len() > LOST_WORKERS_MAX {
                self.lost.pop_front();
            }
        }
    }

    /// Returns the runs whose model a worker may have been loading, and which no worker has loaded before.
    fn runs_being_loaded(&self, worker: &Worker) -> BTreeSet<RunId> {
        let attempts = worker.attempts.iter().map(|number| &self.attempts[number]);
        let runs = attempts.filter(|attempt| attempt.may_be_loading()).map(|attempt| attempt.shard.run);
        runs.filter(|run| !self.runs[run].is_loaded).collect()
    }

    /// Records that a worker died while it loaded a run's model. The run fails if several workers died, and no other
    /// can try.
    fn record_load_death(&mut self, id: RunId, worker: &Worker, now: Time, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&id) else {
            return;
        };
        run.load_deaths += 1;
        run.model_tried.record_failure(worker, worker.disconnected.unwrap_or(now));
        let can_try = |worker: &Worker| {
            worker.registration.device() == run.class
                && worker.may_take_shards(now)
                && run.model_tried.failures_on(worker) == 0
        };
        let is_final = run.model_tried.count() >= self.policy.failures_max || !self.workers.values().any(can_try);
        if run.load_deaths >= self.policy.load_deaths_max && is_final {
            let message = format!("{} workers died while they loaded the model", run.load_deaths);
            effects.push(Effect::RunFailed { run: id, message });
        }
    }

    /// Retracts the deaths that were recorded for a worker that is back: an id belongs to one process, so it did not
    /// die.
    pub(super) fn retract_deaths(&mut self, id: &str) {
        let Some(lost) = self.lost.iter().position(|lost| lost.id == id).and_then(|lost| self.lost.remove(lost)) else {
            return;
        };
        for (shard, was_exclusive) in lost.deaths {
            if let Some(run) = self.runs.get_mut(&shard.run) {
                run.shards[shard.index].history.retract_worker_death(id, was_exclusive);
            }
        }
        for run in lost.load_deaths {
            if let Some(run) = self.runs.get_mut(&run) {
                run.load_deaths = run.load_deaths.saturating_sub(1);
                run.model_tried.retract_failure(id);
            }
        }
    }
}
