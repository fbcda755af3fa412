//! A worker of a cluster: one process per node, with all its devices.
//!
//! ```text
//! coordinator -ShardTask (Ballista's poll)-> Node -DeviceSlot-> ShardExecutor -part-> store
//!             <-Report (Attend)--------------|
//! ```
//!
//! `node` runs shard tasks and keeps the state of the attempts; `session` reports it to the coordinator and receives
//! requests to stop; `ballista_executor` fetches shard tasks and the tasks of queries through Ballista, and `job_files`
//! deletes their old files; `model_executor` runs the runs' models, whose files `model_files` keeps on the node. The
//! coordinator decides which worker scores which shard.
//! A part is written whole or not at all, and its content does not depend on its writer. So a worker may die, be given
//! up too early or score a shard twice, and nothing is lost or wrong.

mod ballista_executor;
mod job_files;
mod model_executor;
mod model_files;
mod node;
mod session;
mod worker_lifecycle;

pub use model_executor::{DeviceConfig, ModelExecutor};
pub use node::{DeviceSlot, Node, ShardExecutor, ShardFailure, score_blocking};
pub use session::Session;
pub use worker_lifecycle::{ExitReason, WorkerError, WorkerSettings, run};
