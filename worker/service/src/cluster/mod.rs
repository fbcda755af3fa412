//! The data that Ballista carries between a coordinator and its workers: the [`Task`] of a job, the [`Codec`] that writes
//! its plan, and the [`ShuffleClient`] that reads the rows that workers keep for queries.

mod codec;
mod shard_task;
mod shuffle_client;
mod task;
mod training_task;

pub use codec::Codec;
pub use shard_task::ShardTask;
pub use shuffle_client::ShuffleClient;
pub use task::Task;
pub use training_task::TrainingTask;

use std::time::Duration;

/// How long a worker keeps a job's files after their last write. A query may run for half of it; the rest is for
/// reading its result.
pub const JOB_FILES_RETENTION: Duration = Duration::from_secs(3600);

/// Returns the number of tasks that Ballista may assign to a worker at once: two for each device slot, so that a shard
/// never waits for the end of another's task, and the tasks of queries.
pub fn task_slots(slots: usize, query_tasks: usize) -> usize {
    2 * slots + query_tasks
}
