//! Decides after a failed attempt whether a shard is retried, and when, by the kind of failure and the number of
//! workers on which it failed.

use std::fmt;
use std::time::Duration;

use dqa_proto::v1::FailureKind;
use dqa_service::wire::failure_kind_name;

use super::policy::Policy;

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
}

impl fmt::Display for QuarantineCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QuarantineCode::WorkerDied => "worker_died",
            QuarantineCode::Device => "device",
            QuarantineCode::Deadline => "deadline",
            QuarantineCode::Internal => "internal",
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

    /// Returns whether several failures of this kind in a row suggest that the worker is at fault.
    pub(super) fn may_be_workers_fault(self) -> bool {
        matches!(self, AttemptFailure::Reported(FailureKind::Device | FailureKind::Internal | FailureKind::Unspecified))
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
    store_failures: u32,
    lost_deliveries: u32,
    failures: usize,
    /// Names of the workers on which the shard failed. Most shards never fail.
    failed_on: Vec<String>,
    worker_deaths: u32,
    exclusive_deaths: u32,
}

impl FailureHistory {
    /// Records a failed attempt and decides what follows. `other_workers` is the number of workers on which the shard
    /// has not failed.
    pub(super) fn record_failure(
        &mut self,
        failure: AttemptFailure,
        (worker, attempt): (&str, u64),
        other_workers: usize,
        policy: &Policy,
    ) -> RetryDecision {
        let AttemptFailure::Reported(kind) = failure else {
            self.lost_deliveries += 1;
            let is_final = failure == AttemptFailure::Undeliverable || self.lost_deliveries >= policy.deliveries_max;
            return if is_final { RetryDecision::FailRun } else { RetryDecision::RetryAfter(Duration::ZERO) };
        };
        let code = match kind {
            FailureKind::Store => {
                self.store_failures += 1;
                if self.store_failures > policy.store_failures_max {
                    return RetryDecision::FailRun;
                }
                let doubled = policy.backoff_min * 2u32.saturating_pow((self.store_failures - 1).min(16));
                return RetryDecision::RetryAfter(jittered(doubled.min(policy.backoff_max), attempt));
            }
            FailureKind::Model => return RetryDecision::FailRun,
            FailureKind::Stopped | FailureKind::HandedBack => return RetryDecision::RetryAfter(Duration::ZERO),
            FailureKind::Device => QuarantineCode::Device,
            FailureKind::Deadline => QuarantineCode::Deadline,
            FailureKind::Internal | FailureKind::Unspecified => QuarantineCode::Internal,
        };
        self.failures += 1;
        if !self.has_failed_on(worker) {
            self.failed_on.push(worker.to_owned());
        }
        let is_final =
            self.failed_on.len() >= policy.failures_max || self.failures >= policy.failures_max && other_workers == 0;
        if is_final { RetryDecision::Quarantine(code) } else { RetryDecision::RetryAfter(policy.backoff_min) }
    }

    /// Returns whether the shard failed on this worker, so that another one should try it if there is one.
    pub(super) fn has_failed_on(&self, worker: &str) -> bool {
        self.failed_on.iter().any(|other| other == worker)
    }

    /// Records that a worker died while it had the shard. `was_exclusive`: the worker had nothing else.
    pub(super) fn record_worker_death(&mut self, was_exclusive: bool) {
        self.worker_deaths += 1;
        self.exclusive_deaths += u32::from(was_exclusive);
    }

    /// Takes back a recorded death of a worker that turned out to be alive.
    pub(super) fn retract_worker_death(&mut self, was_exclusive: bool) {
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
