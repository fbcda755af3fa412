//! Effects: what the scheduler decides and [`super::super::effects`] carries out.

use std::time::Duration;

use super::ids::{RunId, ShardId};
use super::retry::QuarantineCode;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Send a shard to a worker.
    Dispatch {
        /// Differs for every attempt, also between coordinators of one store.
        attempt: u64,
        shard: ShardId,
        worker: String,
        /// The worker must run nothing else meanwhile.
        is_exclusive: bool,
        /// Time that the shard may take on the device.
        deadline: Duration,
        /// Pictures that the worker cannot read become rows with an error. Otherwise they fail the attempt.
        accepts_unreadable: bool,
    },
    /// Tell a worker to stop these attempts, whose results are not needed.
    Stop { worker: String, attempts: Vec<u64> },
    /// Tell a worker that the outcomes of these attempts have arrived.
    Acknowledge { worker: String, attempts: Vec<u64> },
    /// Cancel the Ballista job of an attempt that has ended without an outcome from its worker.
    CancelJob { attempt: u64 },
    /// The part of a shard is in the store.
    ShardDone {
        shard: ShardId,
        /// Rows without a score.
        rows_failed: u64,
        /// Time since the dispatch, if this coordinator dispatched the attempt.
        duration: Option<Duration>,
    },
    /// Write rows with this error code for a shard, then call [`super::Scheduler::finish_quarantine`].
    Quarantine { shard: ShardId, code: QuarantineCode, message: String },
    /// An attempt failed. For logs and metrics.
    AttemptFailed { shard: ShardId, worker: String, kind: &'static str, message: String },
    /// All shards of a run are done.
    RunDone { run: RunId },
    /// A run cannot continue.
    RunFailed { run: RunId, message: String },
    /// A worker is lost, with the reason.
    WorkerLost { worker: String, reason: &'static str },
}
