//! The sources themselves: how they are built, and what none may do.

#![allow(clippy::unwrap_used)] // helpers too

mod checks;
mod structure;
