//! Code that both programs share, apart from scoring itself.
//!
//! [`program`] runs a command: arguments, configuration file, exit status, error messages. [`model_args`] has the flags
//! that choose a model and a device. [`telemetry`] has logs, traces and metrics. With the feature `network`, `net` has
//! ports and channels with TLS and tokens, and `wire` converts between the protocol's messages and dqa's types. With
//! the feature `cluster`, `cluster` has the shard tasks, the codec and the client that Ballista uses between
//! a coordinator and its workers.

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod metric_args;
pub mod model_args;
#[cfg(feature = "network")]
pub mod net;
pub mod portable_model;
pub mod program;
pub mod telemetry;
#[cfg(feature = "network")]
pub mod wire;
