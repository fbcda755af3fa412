//! Identifiers and the clock of the scheduler.

use std::time::Duration;

/// Time since the coordinator started.
pub(crate) type Time = Duration;

/// Identifies a run of the scheduler. A run that is planned again gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunId(pub(crate) u64);

/// Identifies a shard by its run and its index among the shards that the run was added with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ShardId {
    pub(crate) run: RunId,
    pub(crate) index: usize,
}
