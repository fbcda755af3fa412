//! What comes of what happens: the scheduler decides, others do.

use std::time::Duration;

use super::{Code, RunId, ShardId};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Hand a shard to a worker.
    Order {
        /// Another for every try.
        attempt: u64,
        /// Which shard.
        shard: ShardId,
        /// To whom.
        worker: String,
        /// With nothing beside it.
        alone: bool,
        /// Until when.
        deadline: Duration,
    },
    /// Tell a worker that nobody needs these any more.
    Stop {
        /// Whom.
        worker: String,
        /// Which.
        attempts: Vec<u64>,
    },
    /// Tell a worker that its outcomes are known.
    Acknowledge {
        /// Whom.
        worker: String,
        /// Which.
        attempts: Vec<u64>,
    },
    /// Nobody waits for this attempt any more.
    Forget {
        /// Which.
        attempt: u64,
    },
    /// A shard's part is in the store, so many rows of it without a score.
    Done {
        /// Which.
        shard: ShardId,
        /// Rows without a score.
        failed: u64,
        /// From its assignment, where this coordinator made it.
        after: Option<Duration>,
    },
    /// A shard is given up: write rows that say so, then [`super::Scheduler::given_up`].
    GiveUp {
        /// Which.
        shard: ShardId,
        /// What its rows say.
        code: Code,
        /// And why.
        message: String,
    },
    /// An attempt did not succeed; for logs and metrics.
    Failed {
        /// Which shard.
        shard: ShardId,
        /// On which worker.
        worker: String,
        /// What kind of trouble.
        kind: &'static str,
        /// What it said.
        message: String,
    },
    /// A run has nothing left to do.
    Ended {
        /// Which.
        run: RunId,
    },
    /// A run cannot go on.
    Broken {
        /// Which.
        run: RunId,
        /// Why.
        message: String,
    },
    /// A worker went away.
    Lost {
        /// Which.
        worker: String,
        /// How that was noticed.
        why: &'static str,
    },
}
