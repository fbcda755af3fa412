//! A worker of a cluster: one process per node, with all its devices.
//!
//! ```text
//! coordinator -Task (Ballista's poll)-> Node -DeviceSlot-> ShardExecutor -part-> store
//!             <-Report (Attend)--------------|
//! ```
//!
//! `node` runs tasks and keeps the state of the attempts; `session` reports it to the coordinator and receives
//! requests to stop; `ballista_executor` fetches shard tasks and the tasks of queries through Ballista, and `job_files`
//! deletes their old files; `model_executor` runs the runs' models, whose files `model_files` keeps on the node, and
//! `device_trainer` their trainings. The coordinator decides which worker does what.
//! A part is written whole or not at all, and its content does not depend on its writer. So a worker may die, be given
//! up too early or score a shard twice, and nothing is lost or wrong.

mod ballista_executor;
mod device_config;
mod device_trainer;
mod job_files;
mod model_executor;
mod model_files;
mod node;
mod session;
mod worker_lifecycle;

pub use device_config::DeviceConfig;
pub use model_executor::ModelExecutor;
pub use node::{DeviceSlot, Node, ShardExecutor, ShardFailure, score_blocking};
pub use session::Session;
pub use worker_lifecycle::{ExitReason, WorkerError, WorkerSettings, run};
