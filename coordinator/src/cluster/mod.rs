//! A coordinator: runs of many users on many workers, through Ballista.
//!
//! ```text
//! user -api-> runs -pieces-> board -Order-> carrier (Ballista) -> worker -part-> store
//!                             ^---- attend <-Report- worker
//! ```
//!
//! `board` decides, pure; `desk` holds it with what its decisions act on; `conduct` takes a run from a request to its
//! reports; `carrier` is Ballista, `places` says who gets its tasks; `attend` and `api` are the services; `query`
//! has workers answer SQL, for `ask`; `lead` keeps two coordinators of one store out of each other's way. All that must
//! outlive this process is in the store: it may be killed at any time.

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
