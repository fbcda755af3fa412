//! Decides after a failed attempt whether a shard is retried, and when, by the kind of failure and the workers on which
//! the shard failed.

use std::fmt;
use std::time::Duration;

use dqa_proto::v1::FailureKind;
use dqa_service::wire::failure_kind_name;

use super::ids::Time;
use super::policy::Policy;
use super::tried_workers::TriedWorkers;
use super::worker::Worker;

/// Workers that died while they ran a shard before the shard is run exclusively.
const EXCLUSIVE_AFTER_DEATHS: u32 = 2;

/// The error code in the rows of a quarantined shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuarantineCode {
    /// Workers died while they ran it.
    WorkerDied,
    /// The device or the model failed.
    Device,
    Deadline,
    /// A worker panicked.
    Internal,
    /// A training cannot be done anywhere.
    Task,
}

impl fmt::Display for QuarantineCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuarantineCode::WorkerDied => "worker_died",
            QuarantineCode::Device => "device",
            QuarantineCode::Deadline => "deadline",
            QuarantineCode::Internal => "internal",
            QuarantineCode::Task => "task",
        })
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptFailure {
    /// The kind that the worker reported, or that a timeout stands for.
    Reported(FailureKind),
    /// The task never reached its worker.
    Undelivered,
    /// The task cannot reach any worker.
    Undeliverable,
}

impl AttemptFailure {
    /// Returns the name in logs and metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            AttemptFailure::Reported(kind) => failure_kind_name(kind),
            AttemptFailure::Undelivered => "untaken",
            AttemptFailure::Undeliverable => "hopeless",
        }
    }

    /// Returns whether the worker may be at fault, so that another should try the shard.
    pub(super) fn may_be_workers_fault(self) -> bool {
        !matches!(
            self,
            AttemptFailure::Undeliverable
                | AttemptFailure::Reported(FailureKind::Stopped | FailureKind::HandedBack | FailureKind::Task)
        )
    }

    /// Returns whether the run's model failed, which concerns all shards of the run.
    pub(super) fn is_of_model(self) -> bool {
        self == AttemptFailure::Reported(FailureKind::Model)
    }
}

/// What follows from a failed attempt.
pub(super) enum RetryDecision {
    RetryAfter(Duration),
    Quarantine(QuarantineCode),
    /// No further attempt would succeed; an operator has to look.
    FailRun,
}

/// The failures of one shard.
#[derive(Clone, Debug, Default)]
pub(super) struct FailureHistory {
    /// The workers on which the shard failed. Most shards never fail.
    pub(super) tried: TriedWorkers,
    /// Failures of the store and losses on the way that no other worker could have avoided.
    store_failures: u32,
    lost_deliveries: u32,
    failures: usize,
    worker_deaths: u32,
    exclusive_deaths: u32,
    /// Workers that could not read some of the shard's pictures.
    unreadable: usize,
    /// These workers are enough: the pictures become rows with an error.
    accepts_unreadable: bool,
}

impl FailureHistory {
    /// Counts a failed attempt, whose worker is recorded in `tried`, and decides what follows. With `has_better_worker`
    /// there is a worker on which the shard failed less often. That worker tries the shard before any failure is held
    /// against the shard or its run: the others may be at fault.
    pub(super) fn decide(
        &mut self,
        failure: AttemptFailure,
        attempt: u64,
        has_better_worker: bool,
        policy: &Policy,
    ) -> RetryDecision {
        let kind = match failure {
            AttemptFailure::Undeliverable => return RetryDecision::FailRun,
            AttemptFailure::Undelivered => {
                self.lost_deliveries += u32::from(!has_better_worker);
                let is_final = self.lost_deliveries >= policy.deliveries_max;
                return if is_final { RetryDecision::FailRun } else { RetryDecision::RetryAfter(Duration::ZERO) };
            }
            AttemptFailure::Reported(kind) => kind,
        };
        let code = match kind {
            FailureKind::Stopped | FailureKind::HandedBack => return RetryDecision::RetryAfter(Duration::ZERO),
            FailureKind::Task => return RetryDecision::Quarantine(QuarantineCode::Task),
            FailureKind::Unreadable if !self.accepts_unreadable => {
                self.unreadable += 1;
                self.accepts_unreadable = !has_better_worker || self.unreadable >= policy.failures_max;
                return RetryDecision::RetryAfter(policy.backoff_min);
            }
            FailureKind::Store | FailureKind::Worker | FailureKind::Model | FailureKind::Unreadable
                if has_better_worker =>
            {
                return RetryDecision::RetryAfter(jittered(policy.backoff_min, attempt));
            }
            FailureKind::Model => return RetryDecision::FailRun,
            FailureKind::Store | FailureKind::Worker | FailureKind::Unreadable => {
                self.store_failures += 1;
                if self.store_failures > policy.store_failures_max {
                    return RetryDecision::FailRun;
                }
                let doubled = policy.backoff_min * 2u32.saturating_pow((self.store_failures - 1).min(16));
                return RetryDecision::RetryAfter(jittered(doubled.min(policy.backoff_max), attempt));
            }
            FailureKind::Device => QuarantineCode::Device,
            FailureKind::Deadline => QuarantineCode::Deadline,
            FailureKind::Internal | FailureKind::Unspecified => QuarantineCode::Internal,
        };
        self.failures += 1;
        let is_final =
            self.failures >= policy.failures_max && (self.tried.count() >= policy.failures_max || !has_better_worker);
        if is_final { RetryDecision::Quarantine(code) } else { RetryDecision::RetryAfter(policy.backoff_min) }
    }

    /// Returns whether pictures that cannot be read are to become rows with an error: several workers could not read
    /// them, or all.
    pub(super) fn accepts_unreadable(&self) -> bool {
        self.accepts_unreadable
    }

    /// Records that a worker died while it had the shard. `was_exclusive`: the worker had nothing else.
    pub(super) fn record_worker_death(&mut self, worker: &Worker, died: Time, was_exclusive: bool) {
        self.tried.record_failure(worker, died);
        self.worker_deaths += 1;
        self.exclusive_deaths += u32::from(was_exclusive);
    }

    /// Takes back a recorded death of a worker that turned out to be alive.
    pub(super) fn retract_worker_death(&mut self, worker: &str, was_exclusive: bool) {
        self.tried.retract_failure(worker);
        self.worker_deaths = self.worker_deaths.saturating_sub(1);
        self.exclusive_deaths = self.exclusive_deaths.saturating_sub(u32::from(was_exclusive));
    }

    /// Returns whether more workers died under the shard than chance explains.
    pub(super) fn is_fatal(&self, policy: &Policy) -> bool {
        // Exclusive deaths count only once the shard was run exclusively on purpose: a machine may also be taken away
        // while it happens to have one shard.
        let exclusive_deaths = if self.worker_deaths > EXCLUSIVE_AFTER_DEATHS { self.exclusive_deaths } else { 0 };
        self.worker_deaths >= policy.deaths_max || exclusive_deaths >= policy.exclusive_deaths_max
    }

    /// Returns whether the shard must run alone on its worker: other shards must neither die with it nor be blamed for
    /// its deaths.
    pub(super) fn needs_exclusive_worker(&self) -> bool {
        self.worker_deaths >= EXCLUSIVE_AFTER_DEATHS
    }
}

/// Returns between half of a delay and all of it, so that shards that failed together are not retried together.
fn jittered(delay: Duration, attempt: u64) -> Duration {
    let share = attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    delay.mul_f64(0.5 + 0.5 * share as f64 / f64::from(u32::MAX))
}
