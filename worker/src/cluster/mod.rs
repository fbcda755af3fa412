//! A worker of a cluster: one process a node, with all its devices.
//!
//! ```text
//! coordinator -ShardTask (Ballista's poll)-> Node -DeviceSlot-> ShardExecutor -part-> store
//!             <-Report (Attend)--------------|
//! ```
//!
//! `node` runs shard tasks and keeps the state of what is under way; `session` reports it to the coordinator and receives
//! requests to stop; `poll` fetches shard tasks through Ballista, and tasks of queries, whose files `sweep` removes;
//! `models` loads the runs' models. Which shard is scored where is decided elsewhere. A part is written whole or not at
//! all and its content does not depend on who makes it, so that a worker may die, be given up too early or do a thing
//! twice, and nothing is lost or wrong.

pub mod models;
mod node;
mod poll;
mod run;
mod session;
mod sweep;

pub use node::{DeviceSlot, ShardExecutor, ShardFailure};
pub use run::{Ended, RunError, Settings, run};
