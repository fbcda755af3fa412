//! A coordinator: runs of many users on many workers, through Ballista.
//!
//! ```text
//! user -api-> runs -shards-> scheduler -ShardTask-> ballista_backend -> worker -part-> store
//!                              ^---- session <-Report- worker
//! ```
//!
//! `scheduler` decides, pure; `control_plane` holds it with what its decisions act on; `lifecycle` takes a run from a request
//! to its reports; `ballista_backend` is Ballista, `task_binder` says which worker gets its tasks; `session` and `api` are the
//! services; `query` has workers answer SQL, for `ask`; `election` keeps two coordinators of one store out of each other's
//! way. All that must outlive this process is in the store: it may be killed at any time.

mod api;
mod ask;
mod ballista_backend;
mod control_plane;
mod election;
mod lifecycle;
mod model_files;
mod query;
mod scheduler;
mod serve;
mod session;
mod stages;
mod task_binder;
mod view;
mod wire;

pub use serve::{Ended, Settings, serve};
