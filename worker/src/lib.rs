//! How pictures are scored: bytes in, scores out, on one machine.
//!
//! [`decode`] turns a file into pixels, [`engine`] takes pictures through the model with bounded memory, [`hub`] finds
//! a model, [`cli`] is the `dqa-worker` program, [`program`] what all programs share. What to score and where results are kept is not known here.

pub mod cli;
pub mod decode;
pub mod engine;
pub mod hub;
pub mod program;
