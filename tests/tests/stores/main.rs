//! Where data and models come from and results go: folders, tars, buckets, the emulators of their services, and the hub.

#![allow(clippy::unwrap_used)] // helpers too

mod emulators;
mod folders;
mod hub;
mod misconfigured_stores;
mod tars;
