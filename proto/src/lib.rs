//! The contract between users, a coordinator and its workers: `dqa/v1/*.proto` as types. It has no behaviour but the
//! words of dqa's own errors.

mod error;

pub use error::{CODE, HINT, code, hint, refused};

/// Of the protocol between a worker and its coordinator; they work together only where it is the same. 2: an order says how
/// large a picture may be, which a worker of version 1 would not heed. 3: a request may ask for the hazy inputs, and say that
/// data sets are defined anew.
pub const PROTOCOL_VERSION: u32 = 3;

/// Version 1.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("dqa.v1");

    /// The description of the services, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dqa.bin"));
}
