//! How shards reach workers: what the control plane needs of Ballista. The simulation of a cluster (`tests/src/simulation`) has
//! a transport of its own.

use std::sync::Arc;

use async_trait::async_trait;
use dqa_service::cluster::ShuffleClient;

/// Carries the tasks of shards to workers. Each attempt at a shard is one task for one worker.
#[async_trait]
pub trait ShardTransport: Send + Sync {
    /// Submits a shard's task for one worker. The worker may never get it.
    ///
    /// # Errors
    /// When the transport does not accept the task.
    async fn submit_shard(&self, attempt: u64, worker: String, task: String) -> anyhow::Result<()>;

    /// Withdraws the task of an attempt that has ended without an outcome.
    async fn cancel_attempt(&self, attempt: u64);

    /// Forgets the task of an attempt whose outcome has arrived.
    async fn finish_attempt(&self, attempt: u64);

    /// Forgets a lost worker.
    async fn remove_executor(&self, worker: &str);
}

/// The transport of a leader's shards.
#[derive(Clone)]
pub enum Transport {
    /// Ballista's scheduler in this process, which queries need. The client reads results of queries from workers.
    Ballista(ShuffleClient),
    /// Another transport. There are no queries over workers then.
    Direct(Arc<dyn ShardTransport>),
}
