//! The scoring engine: bytes in, scores out, on one machine.
//!
//! [`fetch`] reads pictures ahead, [`decode`] turns a file into pixels, [`inference`] takes pictures through the model
//! with bounded memory, [`shard`] writes the part of a shard. [`train`] trains prompts and [`study`] evaluates them.
//! [`explain`] draws where a model looks. [`headers`] reads the pictures' sizes for planning. [`models`] opens a model
//! by its name, and [`hub`] downloads those of the Hugging Face hub.
//!
//! What to score is decided elsewhere; nothing here knows of a coordinator, a network port or a command line.

pub mod console;
pub mod decode;
pub mod explain;
pub mod fetch;
pub mod headers;
pub mod hub;
pub mod inference;
pub mod models;
pub mod provenance;
pub mod shard;
pub mod study;
pub mod train;
