//! What Ballista carries between a coordinator and its workers: the [`ShardTask`] of a job, the [`Codec`] that writes its
//! plan, and the [`ShuffleClient`] that reads the rows that workers keep for queries.

mod codec;
mod shard_task;
mod shuffle_client;

pub use codec::Codec;
pub use shard_task::ShardTask;
pub use shuffle_client::ShuffleClient;

use std::time::Duration;

/// How long a worker keeps a job's files after their last write. A query has half of it to run, and the rest to be read.
pub const JOB_FILES_KEPT: Duration = Duration::from_secs(3600);

/// Returns how many tasks Ballista may give a worker at once: two for each slot, so that a shard never waits for the end of
/// another's task, and those of queries beside them.
pub fn tasks(slots: usize, query_tasks: usize) -> usize {
    2 * slots + query_tasks
}
