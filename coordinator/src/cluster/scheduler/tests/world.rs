//! A scheduler with workers that follow its effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dqa_proto::v1::{DeviceClass, Failure, FailureKind, Finished, Hello, Report, Running, Scored, finished};

use super::super::*;

pub(super) fn registration(id: &str, class: DeviceClass, slots: u32) -> Hello {
    // A worker `w-2` is the worker `w`, started again on its machine.
    let host = id.split('-').next().unwrap_or(id).to_owned();
    Hello { protocol_version: 1, id: id.to_owned(), host, device: class.into(), slots, ..Hello::default() }
}

pub(super) fn new_run(name: &str, class: DeviceClass, priority: i32, count: usize) -> NewRun {
    let shard = |index| ShardSummary { part: format!("{name}-{index}"), windows: 10, after: None };
    NewRun {
        class,
        priority,
        is_paused: false,
        has_model: true,
        is_training: false,
        shards: (0..count).map(shard).collect(),
    }
}

pub(super) fn scored() -> finished::Outcome {
    finished::Outcome::Scored(Scored { rows: 1, windows: 1, ..Scored::default() })
}

pub(super) fn failed(kind: FailureKind) -> finished::Outcome {
    finished::Outcome::Failure(Failure { kind: kind.into(), message: String::new() })
}

pub(super) fn seconds(time: u64) -> Time {
    Duration::from_secs(time)
}

/// A scheduler with workers that follow its effects.
pub(super) struct World {
    pub(super) scheduler: Scheduler,
    pub(super) now: Time,
    /// The attempts and part names of each living worker.
    pub(super) running: BTreeMap<String, BTreeMap<u64, String>>,
    pub(super) finished: BTreeMap<String, Vec<Finished>>,
    pub(super) class: BTreeMap<String, DeviceClass>,
    pub(super) slots: u32,
    pub(super) parts: BTreeMap<ShardId, String>,
    pub(super) done: BTreeMap<ShardId, u32>,
    pub(super) quarantined: BTreeSet<ShardId>,
    pub(super) ended: BTreeSet<RunId>,
    pub(super) failed: BTreeSet<RunId>,
    pub(super) exclusive: BTreeSet<u64>,
    /// Attempts that turn pictures that cannot be read into rows with an error.
    pub(super) accepting: BTreeSet<u64>,
    /// Shards with rows without a score.
    pub(super) with_failed_rows: BTreeSet<ShardId>,
}

impl World {
    pub(super) fn new(slots: u32) -> World {
        let mut scheduler = Scheduler::new(Policy::default(), 1);
        scheduler.finish_recovery();
        World {
            scheduler,
            now: Time::ZERO,
            running: BTreeMap::new(),
            finished: BTreeMap::new(),
            class: BTreeMap::new(),
            slots,
            parts: BTreeMap::new(),
            done: BTreeMap::new(),
            quarantined: BTreeSet::new(),
            ended: BTreeSet::new(),
            failed: BTreeSet::new(),
            exclusive: BTreeSet::new(),
            accepting: BTreeSet::new(),
            with_failed_rows: BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, run: &str, class: DeviceClass, priority: i32, count: usize) -> RunId {
        self.add_run(new_run(run, class, priority, count))
    }

    /// Adds a run of trainings, each of which has a test.
    pub(super) fn add_trainings(&mut self, run: &str, class: DeviceClass, count: usize) -> RunId {
        let training = |index| ShardSummary { part: format!("{run}-{index}"), windows: 10, after: None };
        let test = |index| ShardSummary { part: format!("{run}-{index}-test"), windows: 10, after: Some(index) };
        let shards = (0..count).map(training).chain((0..count).map(test)).collect();
        self.add_run(NewRun { class, priority: 0, is_paused: false, has_model: false, is_training: true, shards })
    }

    fn add_run(&mut self, new: NewRun) -> RunId {
        let (id, effects) = self.scheduler.add_run(new.clone(), self.now);
        let shards = new.shards.into_iter().enumerate();
        self.parts.extend(shards.map(|(index, shard)| (ShardId { run: id, index }, shard.part)));
        self.apply(effects);
        id
    }

    pub(super) fn join(&mut self, id: &str, class: DeviceClass) {
        self.running.insert(id.to_owned(), BTreeMap::new());
        self.finished.entry(id.to_owned()).or_default();
        self.class.insert(id.to_owned(), class);
        self.scheduler.register_worker(registration(id, class, self.slots), self.now);
        self.report(id);
    }

    pub(super) fn report(&mut self, id: &str) {
        self.report_stage(id, |_| true);
    }

    /// The worker reports. `is_scoring` tells by a part's name whether its shard is on the device, or before that.
    pub(super) fn report_stage(&mut self, id: &str, is_scoring: impl Fn(&str) -> bool) {
        let Some(attempts) = self.running.get(id) else { return };
        let running = attempts.iter().map(|(attempt, part)| Running {
            attempt: *attempt,
            part: part.clone(),
            windows_done: 0,
            scoring: is_scoring(part),
            activity: String::new(),
        });
        let finished = self.finished.get(id).cloned().unwrap_or_default();
        let report = Report { running: running.collect(), finished, draining: false, totals: None };
        let effects = self.scheduler.handle_report(id, report, self.now);
        self.apply(effects);
    }

    /// The worker has fetched what was dispatched to it, and has not reported it.
    pub(super) fn fetch(&mut self, id: &str) {
        self.running[id].keys().for_each(|attempt| self.scheduler.mark_fetched(*attempt));
    }

    pub(super) fn finish(&mut self, id: &str, attempt: u64, outcome: finished::Outcome) {
        let Some(part) = self.running.get_mut(id).and_then(|attempts| attempts.remove(&attempt)) else { return };
        let finished = Finished { attempt, part, outcome: Some(outcome) };
        self.finished.entry(id.to_owned()).or_default().push(finished);
    }

    /// Returns an attempt that the worker has.
    pub(super) fn first(&self, id: &str) -> Option<u64> {
        self.running.get(id)?.keys().next().copied()
    }

    /// The worker is gone. Its stream closes, or it only falls silent.
    pub(super) fn lose(&mut self, id: &str, closes: bool) {
        self.running.remove(id);
        self.finished.remove(id);
        if closes {
            let effects = self.scheduler.disconnect_worker(id, self.now);
            self.apply(effects);
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        let effects = self.scheduler.tick(self.now);
        self.apply(effects);
    }

    pub(super) fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Dispatch { attempt, shard, worker, is_exclusive, accepts_unreadable, .. } => {
                    let class = self.class[&worker];
                    assert_eq!(self.scheduler.runs[&shard.run].class, class, "a run is scored on its class of devices");
                    if is_exclusive {
                        self.exclusive.insert(attempt);
                    }
                    if accepts_unreadable {
                        self.accepting.insert(attempt);
                    }
                    // A worker that is gone does not receive it.
                    if let Some(attempts) = self.running.get_mut(&worker) {
                        attempts.insert(attempt, self.parts[&shard].clone());
                    }
                }
                Effect::Stop { worker, attempts } => {
                    if let Some(running) = self.running.get_mut(&worker) {
                        running.retain(|attempt, _| !attempts.contains(attempt));
                    }
                }
                Effect::Acknowledge { worker, attempts } => {
                    if let Some(finished) = self.finished.get_mut(&worker) {
                        finished.retain(|finished| !attempts.contains(&finished.attempt));
                    }
                }
                Effect::ShardDone { shard, rows_failed, .. } => {
                    *self.done.entry(shard).or_default() += 1;
                    if rows_failed > 0 {
                        self.with_failed_rows.insert(shard);
                    }
                }
                Effect::Quarantine { shard, .. } => {
                    self.quarantined.insert(shard);
                    let effects = self.scheduler.finish_quarantine(shard, Ok(1), self.now);
                    self.apply(effects);
                }
                Effect::RunDone { run } => assert!(self.ended.insert(run), "a run ends once"),
                Effect::RunFailed { run, .. } => {
                    self.failed.insert(run);
                }
                Effect::CancelJob { .. } | Effect::AttemptFailed { .. } | Effect::WorkerLost { .. } => {}
            }
        }
        for worker in self.scheduler.workers.values() {
            assert!(worker.attempts.len() <= worker.registration.slots as usize, "no more than it has slots");
            let is_training = |attempt: &&u64| {
                let attempt = &self.scheduler.attempts[*attempt];
                self.scheduler.runs[&attempt.shard.run].is_training
            };
            // Attempts of an earlier coordinator aside.
            assert!(worker.attempts.iter().filter(is_training).count() <= 1, "a device has one training");
            let is_exclusive = worker.attempts.iter().any(|attempt| self.scheduler.attempts[attempt].is_exclusive);
            assert!(!is_exclusive || worker.attempts.len() == 1, "an exclusive shard is alone");
        }
    }

    /// Has every worker score what it has until nothing is left to do.
    pub(super) fn finish_all(&mut self, ids: &[&str]) {
        for _ in 0..400 {
            for id in ids {
                let attempts: Vec<u64> =
                    self.running.get(*id).into_iter().flatten().map(|(attempt, _)| *attempt).collect();
                for attempt in attempts {
                    self.finish(id, attempt, scored());
                }
                self.report(id);
            }
            self.pass(seconds(1));
        }
    }
}
