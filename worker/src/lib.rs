//! Worker.

pub mod hub;
