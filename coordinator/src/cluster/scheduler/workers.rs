//! Workers as they come, report, fall silent and go, and what that means for their attempts.

use std::collections::BTreeSet;
use std::time::Duration;

use dqa_proto::v1::{FailureKind, Finished, Hello, Report, Running, Totals, finished};

use super::retry::{Policy, ShardFailure};
use super::{Attempt, Code, Effect, Scheduler, ShardId, ShardState, Time};

/// Workers that are gone and remembered: one whose connection was away for a moment comes back under its name.
const GONE_MAX: usize = 1024;

/// A worker as the scheduler knows it.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// What it said of itself.
    pub(crate) hello: Hello,
    /// Since when it is here.
    pub(crate) since: Time,
    /// When it was last heard of.
    pub(crate) heard: Time,
    /// It takes no more shards.
    pub(crate) is_draining: bool,
    /// What it has done.
    pub(crate) totals: Totals,
    /// What it has, by its last report.
    pub(crate) running: Vec<Running>,
    pub(super) attempts: BTreeSet<u64>,
    /// When its stream ended, if it has.
    left: Option<Time>,
    failures_in_row: u32,
    /// It gets nothing until then: all that it had went wrong.
    benched_until: Time,
}

/// What a worker had that was lost: whose deaths are taken back if it lives.
#[derive(Debug)]
pub(super) struct Gone {
    worker: String,
    deaths: Vec<(ShardId, bool)>,
}

impl Worker {
    /// Whether its stream is open.
    pub(crate) fn is_here(&self) -> bool {
        self.left.is_none()
    }

    /// Shards that it can still take.
    pub(super) fn room(&self, now: Time) -> u32 {
        if self.is_draining || self.left.is_some() || self.benched_until > now {
            return 0;
        }
        self.hello.slots.saturating_sub(u32::try_from(self.attempts.len()).unwrap_or(u32::MAX))
    }

    /// Why it is gone, if it is.
    fn gone(&self, policy: &Policy, now: Time) -> Option<&'static str> {
        if self.left.is_some_and(|left| now.saturating_sub(left) >= policy.closed_max) {
            return Some("its connection closed");
        }
        (now.saturating_sub(self.heard) >= policy.silent_max).then_some("it is silent")
    }
}

impl Scheduler {
    /// A worker is here, for the first time or again.
    pub(crate) fn join(&mut self, hello: Hello, now: Time) -> Vec<Effect> {
        let id = hello.id.clone();
        match self.workers.get_mut(&id) {
            Some(worker) => {
                worker.hello = hello;
                worker.heard = now;
                worker.left = None;
            }
            None => {
                let worker = Worker {
                    hello,
                    since: now,
                    heard: now,
                    is_draining: false,
                    totals: Totals::default(),
                    running: Vec::new(),
                    attempts: BTreeSet::new(),
                    left: None,
                    failures_in_row: 0,
                    benched_until: Time::ZERO,
                };
                self.lives_after_all(&id);
                self.workers.insert(id, worker);
            }
        }
        // It is given shards with its first report, which says what it has already.
        Vec::new()
    }

    /// A worker's stream has ended. It may open another.
    pub(crate) fn leave(&mut self, id: &str, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.hand_back_untaken(id, now, &mut effects);
        if let Some(worker) = self.workers.get_mut(id) {
            // One that drained and owes nothing has gone home.
            if worker.is_draining && worker.attempts.is_empty() {
                self.workers.remove(id);
                self.reserved.retain(|_, reserved| reserved != id);
            } else {
                worker.left.get_or_insert(now);
            }
        }
        self.tick_into(now, &mut effects);
        effects
    }

    /// What was on its way to a worker that drains and leaves: it takes no more, and is not waited for.
    fn hand_back_untaken(&mut self, id: &str, now: Time, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get(id).filter(|worker| worker.is_draining) else {
            return;
        };
        let is_untaken = |attempt: &&u64| self.attempts[*attempt].taken.is_none();
        let untaken: Vec<u64> = worker.attempts.iter().filter(is_untaken).copied().collect();
        for attempt in untaken {
            let message = "its worker left before it took it".to_owned();
            self.failed(attempt, ShardFailure::Of(FailureKind::HandedBack), message, now, effects);
        }
    }

    /// What a worker says of itself.
    pub(crate) fn report(&mut self, id: &str, report: Report, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(worker) = self.workers.get_mut(id) else {
            return effects;
        };
        worker.heard = now;
        worker.left = None;
        worker.is_draining |= report.draining;
        worker.totals = report.totals.unwrap_or_default();
        worker.running.clone_from(&report.running);
        let finished: Vec<u64> = report.finished.iter().map(|finished| finished.attempt).collect();
        for finished in report.finished {
            self.finished(id, finished, now, &mut effects);
        }
        if !finished.is_empty() {
            effects.push(Effect::Acknowledge { worker: id.to_owned(), attempts: finished });
        }
        for running in &report.running {
            if let Some(attempt) = self.attempts.get_mut(&running.attempt) {
                attempt.taken.get_or_insert(now);
                if running.scoring {
                    attempt.begun.get_or_insert(now);
                }
                attempt.windows_done = running.windows_done;
            }
        }
        self.adopt(id, now);
        if !self.is_recovering {
            let is_unknown = |attempt: &u64| self.attempts.get(attempt).is_none_or(|of| of.worker != id);
            let unknown: Vec<u64> = report.running.iter().map(|running| running.attempt).filter(is_unknown).collect();
            if !unknown.is_empty() {
                effects.push(Effect::Stop { worker: id.to_owned(), attempts: unknown });
            }
        }
        self.assign_to(id, now, &mut effects);
        effects
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Time) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.tick_into(now, &mut effects);
        self.assign(now, &mut effects);
        effects
    }

    fn tick_into(&mut self, now: Time, effects: &mut Vec<Effect>) {
        for run in self.runs.values_mut() {
            while let Some((_, at)) = run.delayed.first().copied().filter(|(when, _)| *when <= now) {
                run.delayed.pop_first();
                run.shards[at].state = ShardState::Waits;
                if run.shards[at].history.must_be_alone() { &mut run.suspects } else { &mut run.waiting }.push_back(at);
            }
        }
        let gone = |(id, worker): (&String, &Worker)| Some((id.clone(), worker.gone(&self.policy, now)?));
        let gone: Vec<(String, &'static str)> = self.workers.iter().filter_map(gone).collect();
        for (id, why) in gone {
            self.lose(&id, why, now, effects);
        }
        let overdue = |(id, attempt): (&u64, &Attempt)| Some((*id, attempt.overdue(&self.policy, now)?));
        let overdue: Vec<(u64, (ShardFailure, &'static str))> = self.attempts.iter().filter_map(overdue).collect();
        for (attempt, (trouble, message)) in overdue {
            let worker = self.attempts[&attempt].worker.clone();
            effects.push(Effect::Stop { worker, attempts: vec![attempt] });
            self.failed(attempt, trouble, message.to_owned(), now, effects);
        }
    }

    /// What an attempt's worker says became of it.
    fn finished(&mut self, worker: &str, finished: Finished, now: Time, effects: &mut Vec<Effect>) {
        let Finished { attempt, part, outcome } = finished;
        let is_its = self.attempts.get(&attempt).is_some_and(|of| of.worker == worker);
        match outcome {
            Some(finished::Outcome::Scored(scored)) if is_its => {
                let of = self.end(attempt).expect("it is there");
                if let Some(worker) = self.workers.get_mut(worker) {
                    worker.failures_in_row = 0;
                }
                self.over(of.shard, scored.failed, Some(now.saturating_sub(of.since)), effects);
            }
            // Of an earlier coordinator, or of one that was given up too early: the part is there all the same.
            Some(finished::Outcome::Scored(scored)) => {
                for shard in self.parts.get(&part).cloned().unwrap_or_default() {
                    let place = self.runs[&shard.run].shards[shard.at].state;
                    if matches!(place, ShardState::Waits | ShardState::Delayed(_)) {
                        self.unwait(shard);
                        self.over(shard, scored.failed, None, effects);
                    }
                }
            }
            Some(finished::Outcome::Failure(failure)) if is_its => {
                self.failed(attempt, ShardFailure::Of(failure.kind()), failure.message, now, effects);
            }
            None if is_its => {
                let trouble = ShardFailure::Of(FailureKind::Internal);
                self.failed(attempt, trouble, "its worker did not say".to_owned(), now, effects);
            }
            _ => {}
        }
    }

    /// A worker is gone with all that it had.
    fn lose(&mut self, id: &str, why: &'static str, now: Time, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.remove(id) else {
            return;
        };
        self.reserved.retain(|_, reserved| reserved != id);
        effects.push(Effect::Lost { worker: id.to_owned(), why });
        let has_died = worker.left.is_some() && !worker.is_draining;
        let had = worker.attempts.iter().filter(|attempt| self.attempts[attempt].is_with_worker()).count();
        let mut deaths = Vec::new();
        for attempt in worker.attempts {
            effects.push(Effect::Forget { attempt });
            let Some(of) = self.end(attempt) else { continue };
            let kind = if has_died { "worker_died" } else { "worker_silent" };
            let (shard, message) = (of.shard, why.to_owned());
            effects.push(Effect::Failed { shard, worker: id.to_owned(), kind, message });
            let Some(run) = self.runs.get_mut(&shard.run) else { continue };
            let history = &mut run.shards[shard.at].history;
            if has_died && of.is_with_worker() {
                let alone = of.alone || had == 1;
                history.died(alone);
                deaths.push((shard, alone));
            }
            if history.is_fatal(&self.policy) {
                self.give_up(shard, Code::WorkerDied, format!("{why}, again and again"), effects);
            } else {
                self.wait(shard, Duration::ZERO, now);
            }
        }
        if !deaths.is_empty() {
            self.gone.push_back(Gone { worker: id.to_owned(), deaths });
            if self.gone.len() > GONE_MAX {
                self.gone.pop_front();
            }
        }
    }

    /// Its process did not die: a name is of one process.
    fn lives_after_all(&mut self, id: &str) {
        let Some(at) = self.gone.iter().position(|gone| gone.worker == id) else {
            return;
        };
        for (shard, alone) in self.gone.remove(at).map(|gone| gone.deaths).unwrap_or_default() {
            if let Some(run) = self.runs.get_mut(&shard.run) {
                run.shards[shard.at].history.did_not_die(alone);
            }
        }
    }

    /// A worker on which things go wrong is left alone for a time, if there are others.
    pub(super) fn went_wrong(&mut self, id: &str, now: Time) {
        let Some(class) = self.workers.get(id).map(|worker| worker.hello.device()) else {
            return;
        };
        let is_other = |(other, worker): (&String, &Worker)| {
            other != id && worker.hello.device() == class && !worker.is_draining && worker.benched_until <= now
        };
        let has_others = self.workers.iter().any(is_other);
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        worker.failures_in_row += 1;
        if has_others && worker.failures_in_row >= self.policy.bench_after {
            let times = (worker.failures_in_row - self.policy.bench_after).min(5);
            worker.benched_until = now + self.policy.bench_for * 2u32.pow(times);
        }
    }

    /// What a worker has from an earlier coordinator and is on this board goes on under its number.
    pub(super) fn adopt(&mut self, id: &str, now: Time) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        let class = worker.hello.device();
        let is_new = |running: &&Running| !self.attempts.contains_key(&running.attempt);
        let strange: Vec<_> = worker.running.iter().filter(is_new).cloned().collect();
        for running in strange {
            let fits = |shard: &&ShardId| {
                let run = &self.runs[&shard.run];
                run.class == class && run.shards[shard.at].state == ShardState::Waits
            };
            let Some(shard) = self.parts.get(&running.part).into_iter().flatten().find(fits).copied() else {
                continue;
            };
            self.unwait(shard);
            let run = &self.runs[&shard.run];
            let deadline = self.policy.deadline(run.shards[shard.at].windows, run.class);
            let attempt = Attempt {
                shard,
                worker: id.to_owned(),
                since: now,
                deadline,
                alone: false,
                is_fetched: true,
                taken: Some(now),
                begun: running.scoring.then_some(now),
                windows_done: running.windows_done,
            };
            self.begin(running.attempt, attempt);
        }
    }
}
