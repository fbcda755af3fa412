//! One attempt of one worker at one shard, from its dispatch to its outcome.

use std::time::Duration;

use dqa_proto::v1::{FailureKind, Running};

use super::ids::{ShardId, Time};
use super::policy::Policy;
use super::retry::AttemptFailure;

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) shard: ShardId,
    pub(super) worker: String,
    pub(super) dispatched: Time,
    /// Time that the shard may take on the device.
    pub(super) deadline: Duration,
    /// The worker runs no other shard meanwhile.
    pub(super) is_exclusive: bool,
    pub(super) stage: AttemptStage,
    pub(super) windows_done: u64,
}

/// How far an attempt is known to have come. Stages only go forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptStage {
    /// Handed to Ballista; the worker has not polled for it.
    Dispatched,
    /// Contained in a response to the worker's poll. A process that the shard kills at once has no time to report it.
    Fetched,
    /// First reported by the worker at this time. The worker loads the model or waits for a device.
    Accepted(Time),
    /// First reported as running on a device at this time.
    Scoring(Time),
}

impl AttemptStage {
    /// Returns the stage after the worker's first report of an attempt.
    pub(super) fn first_reported(is_scoring: bool, now: Time) -> AttemptStage {
        if is_scoring { AttemptStage::Scoring(now) } else { AttemptStage::Accepted(now) }
    }

    pub(super) fn is_accepted(self) -> bool {
        matches!(self, AttemptStage::Accepted(_) | AttemptStage::Scoring(_))
    }
}

impl Attempt {
    /// Updates the attempt from its worker's report.
    pub(super) fn update(&mut self, running: &Running, now: Time) {
        self.windows_done = running.windows_done;
        let is_progress = match self.stage {
            AttemptStage::Dispatched | AttemptStage::Fetched => true,
            AttemptStage::Accepted(_) => running.scoring,
            AttemptStage::Scoring(_) => false,
        };
        if is_progress {
            self.stage = AttemptStage::first_reported(running.scoring, now);
        }
    }

    /// Returns whether the shard may have reached its worker, so that it may be why the worker dies.
    pub(super) fn may_be_running(&self) -> bool {
        self.stage != AttemptStage::Dispatched
    }

    /// Returns whether the worker may be loading the model for the shard.
    pub(super) fn may_be_loading(&self) -> bool {
        matches!(self.stage, AttemptStage::Fetched | AttemptStage::Accepted(_))
    }

    /// Returns the failure of an attempt that has stayed in its stage for too long.
    pub(super) fn overdue(&self, policy: &Policy, now: Time) -> Option<(AttemptFailure, &'static str)> {
        let (since, limit, failure, message) = match self.stage {
            AttemptStage::Dispatched | AttemptStage::Fetched => (
                self.dispatched,
                policy.delivery_max,
                AttemptFailure::Undelivered,
                "the worker never confirmed that it received the shard",
            ),
            AttemptStage::Accepted(since) => (
                since,
                policy.model_load_max,
                AttemptFailure::Reported(FailureKind::Internal),
                "the worker did not finish loading the model in time",
            ),
            AttemptStage::Scoring(since) => (
                since,
                self.deadline + policy.overrun_max,
                AttemptFailure::Reported(FailureKind::Deadline),
                "the worker neither finished the shard nor handed it back",
            ),
        };
        (now.saturating_sub(since) > limit).then_some((failure, message))
    }
}
