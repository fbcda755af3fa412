//! Whether a worker can be trusted with shards: a worker whose attempts fail one after the other, while those of others
//! succeed, gets no shards for a while.

use super::ids::Time;
use super::policy::Policy;

/// The latest outcomes of a worker's attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkerHealth {
    consecutive_failures: u32,
    /// Time of the first of the consecutive failures.
    failing_since: Time,
    last_success: Option<Time>,
    /// It gets no shards until this time.
    benched_until: Time,
}

impl WorkerHealth {
    pub(super) fn record_success(&mut self, now: Time) {
        *self = WorkerHealth { last_success: Some(now), ..WorkerHealth::default() };
    }

    pub(super) fn record_failure(&mut self, now: Time) {
        if self.consecutive_failures == 0 {
            self.failing_since = now;
        }
        self.consecutive_failures += 1;
    }

    pub(super) fn is_benched(&self, now: Time) -> bool {
        self.benched_until > now
    }

    /// Returns whether this worker has succeeded since `other` began to fail: then what `other` needs is there.
    pub(super) fn has_succeeded_since(&self, other: &WorkerHealth) -> bool {
        self.last_success.is_some_and(|success| success >= other.failing_since)
    }

    /// Benches the worker if it has failed often enough. Each further failure doubles the time.
    pub(super) fn bench(&mut self, policy: &Policy, now: Time) {
        if let Some(further) = self.consecutive_failures.checked_sub(policy.bench_after) {
            self.benched_until = now + policy.bench_min * 2u32.pow(further.min(5));
        }
    }
}
