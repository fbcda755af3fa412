//! A coordinator: it has many workers score the runs of many users, through Ballista.
//!
//! ```text
//! user -api-> lifecycle -shards-> scheduler -effects-> ballista_backend -task-> worker -part-> store
//!                                     ^------- session <-report- worker
//! ```
//!
//! `coordinator` is one without a port, `serve` runs the process, `election` chooses one leader among the coordinators of a store, and `leader_gate` shows
//! the services the `control_plane` of a leader. `scheduler` decides, pure, which worker scores which shard; `effects`
//! carries that out. `run_lifecycle` takes an `active_run` from its request to its reports,
//! and `training_lifecycle` one that trains, by its `training_plan`. `ballista_backend` and
//! `task_binder` hand tasks to workers, which poll for them at `poll_gateway`. `api` is the service for users,
//! `session` the service for workers; `site_source` is what the pages show of all this; `distributed_query` has workers answer SQL. All that must outlive this process is
//! in the store: the process may be killed at any time.

mod active_run;
mod api;
mod ballista_backend;
mod control_plane;
mod coordinator;
mod distributed_query;
mod effects;
mod election;
mod grpc_status;
mod leader_gate;
mod lifecycle_steps;
mod model_files;
mod orphan_collection;
mod poll_gateway;
mod run_lifecycle;
mod run_registry;
mod run_spawner;
mod run_view;
mod scheduler;
mod serve;
mod session;
mod shard_transport;
mod shared_scheduler;
mod site_source;
mod stage_ordering;
mod store_retry;
mod task_binder;
mod ticker;
mod training_lifecycle;
mod training_plan;
mod wire;
mod worker_directory;
mod worker_streams;

pub use coordinator::{Coordinator, CoordinatorSettings};
pub use run_spawner::{RunLifecycle, RunSpawner, thread_per_run};
pub use serve::{Settings, ShutdownReason, serve};
pub use shard_transport::{ShardTransport, Transport};
