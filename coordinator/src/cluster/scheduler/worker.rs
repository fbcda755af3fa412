//! A worker as the scheduler knows it.

use std::collections::{BTreeSet, VecDeque};

use dqa_proto::v1::{Hello, Running, Totals};

use super::ids::{RunId, ShardId, Time};
use super::policy::Policy;
use super::worker_health::WorkerHealth;

#[derive(Clone, Debug)]
pub(crate) struct Worker {
    /// What the worker registered with.
    pub(crate) registration: Hello,
    /// When it first registered.
    pub(crate) registered: Time,
    /// Time of its last message.
    pub(crate) last_seen: Time,
    /// It accepts no more shards.
    pub(crate) is_draining: bool,
    /// Its totals since it started, from its last report.
    pub(crate) totals: Totals,
    /// The attempts that it runs, from its last report.
    pub(crate) running: Vec<Running>,
    /// Its last failures of attempts, the newest first: when, and the message.
    pub(crate) failures: VecDeque<(Time, String)>,
    pub(super) attempts: BTreeSet<u64>,
    /// When its stream closed, if it has no open one.
    pub(super) disconnected: Option<Time>,
    pub(super) health: WorkerHealth,
}

/// A lost worker, with the deaths that are retracted if it turns out to be alive.
#[derive(Debug)]
pub(super) struct LostWorker {
    pub(super) id: String,
    /// Each shard, and whether the worker had nothing else.
    pub(super) deaths: Vec<(ShardId, bool)>,
    /// The runs whose model the worker was loading.
    pub(super) load_deaths: Vec<RunId>,
}

/// Failures of a worker that are kept for users to read.
const FAILURES_MAX: usize = 5;

impl Worker {
    pub(super) fn new(registration: Hello, now: Time) -> Worker {
        Worker {
            registration,
            registered: now,
            last_seen: now,
            is_draining: false,
            totals: Totals::default(),
            running: Vec::new(),
            failures: VecDeque::new(),
            attempts: BTreeSet::new(),
            disconnected: None,
            health: WorkerHealth::default(),
        }
    }

    /// Keeps the message of a failed attempt.
    pub(super) fn note_failure(&mut self, message: &str, now: Time) {
        self.failures.push_front((now, message.to_owned()));
        self.failures.truncate(FAILURES_MAX);
    }

    /// Returns whether its stream is open.
    pub(crate) fn is_connected(&self) -> bool {
        self.disconnected.is_none()
    }

    /// Returns whether the worker gets shards, now or once it has a free slot and a stream.
    pub(super) fn may_take_shards(&self, now: Time) -> bool {
        !self.is_draining && !self.health.is_benched(now)
    }

    /// Returns the number of shards that the worker can accept now.
    pub(super) fn free_slots(&self, now: Time) -> u32 {
        if !self.may_take_shards(now) || self.disconnected.is_some() {
            return 0;
        }
        self.registration.slots.saturating_sub(u32::try_from(self.attempts.len()).unwrap_or(u32::MAX))
    }

    /// Returns why the worker counts as lost, if it does.
    pub(super) fn loss_reason(&self, policy: &Policy, now: Time) -> Option<&'static str> {
        if self.disconnected.is_some_and(|since| now.saturating_sub(since) >= policy.reconnect_max) {
            return Some("its connection closed");
        }
        (now.saturating_sub(self.last_seen) >= policy.silence_max).then_some("it stopped reporting")
    }
}
