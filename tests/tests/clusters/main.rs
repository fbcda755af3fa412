//! Clusters of real processes on this machine: faults, queries, access control, and what is said of them.

#![allow(clippy::unwrap_used)] // helpers too

mod chaos;
mod cluster_queries;
mod faults;
mod listen_addresses;
mod security;
mod several_runs;
mod sick_workers;
mod status;
mod telemetry;
mod trainings;
