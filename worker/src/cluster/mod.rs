//! A worker of a cluster: one process a node, with all its devices.
//!
//! ```text
//! coordinator -Order (Ballista's poll)-> Node -seat-> Scorers -part-> store
//!             <-Report (Attend)----------|
//! ```
//!
//! `node` runs what it is ordered and knows what is under way; `session` tells the coordinator, and is told to stop;
//! `poll` fetches orders through Ballista, and tasks of queries, whose files `shuffle_client` reads and `sweep` removes;
//! `models` loads the runs' models. Which shard is scored where is decided elsewhere. A part is written whole or not at
//! all and its content does not depend on who makes it, so that a worker may die, be given up too early or do a thing
//! twice, and nothing is lost or wrong.

mod codec;
pub mod models;
mod node;
mod poll;
mod run;
mod session;
mod shard_task;
mod shuffle_client;
mod sweep;

pub use codec::Codec;
pub use node::{DeviceSlot, ShardExecutor, ShardFailure};
pub use run::{Ended, RunError, Settings, run};
pub use shard_task::ShardTask;
pub use shuffle_client::ShuffleClient;
pub use sweep::JOB_FILES_KEPT;

use dqa_proto::v1::{DeviceClass, FailureKind};

/// Tasks that Ballista may give a worker at once. A slot has two, so that a shard never waits for the end of another's task;
/// queries have theirs beside them.
pub fn tasks(slots: usize, query_tasks: usize) -> usize {
    2 * slots + query_tasks
}

/// A device class as it is written in flags, records and metrics.
pub fn class_name(class: DeviceClass) -> &'static str {
    match class {
        DeviceClass::Unspecified => "any",
        DeviceClass::Cpu => "cpu",
        DeviceClass::Cuda => "cuda",
    }
}

/// A kind of trouble as it is written in logs and metrics.
pub fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unspecified | FailureKind::Internal => "internal",
        FailureKind::Store => "store",
        FailureKind::Device => "device",
        FailureKind::Model => "model",
        FailureKind::Stopped => "stopped",
        FailureKind::Deadline => "deadline",
        FailureKind::HandedBack => "handed_back",
    }
}
