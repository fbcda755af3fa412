//! SQL over a store.

pub mod aggregates;
