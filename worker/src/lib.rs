//! Worker.

pub mod decode;
