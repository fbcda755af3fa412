//! How pictures are scored: bytes in, scores out, on one machine.
//!
//! [`decode`] turns a file into pixels, [`engine`] takes pictures through the model with bounded memory, [`shard`] makes a
//! part of a shard, [`train`] trains, [`study`] tests what was trained, [`explain`] draws where a model looks, [`headers`]
//! reads sizes for planning, [`models`] opens a model by its name, [`hub`] finds those of the hub. [`cluster`] takes shards
//! from a coordinator. [`cli`] is the `dqa-worker` program; [`program`], [`net`] and [`telemetry`] are what all programs
//! share. What to score is decided elsewhere.

pub mod cli;
pub mod cluster;
pub mod decode;
pub mod engine;
pub mod explain;
pub mod headers;
pub mod hub;
pub mod models;
pub mod net;
pub mod program;
pub mod shard;
pub mod study;
pub mod telemetry;
pub mod train;
