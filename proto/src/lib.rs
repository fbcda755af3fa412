//! The protocol between users, a coordinator and its workers: the types of `dqa/v1/*.proto`, and statuses with dqa's own
//! error codes and hints.

mod error;

pub use error::{CODE, HINT, code, hint, refused};

/// Version of the protocol. A worker and its coordinator must have the same one. Version 2 added limits of pictures to
/// shard tasks, which a worker of version 1 would ignore. Version 3 added hazy inputs and redefined data sets to
/// requests. Version 5 added to shard tasks whether pictures that cannot be read become rows. Version 6 added
/// trainings.
pub const PROTOCOL_VERSION: u32 = 6;

/// The types of package `dqa.v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("dqa.v1");

    /// The encoded file descriptor set, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dqa.bin"));
}
