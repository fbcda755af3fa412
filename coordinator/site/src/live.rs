//! What only a coordinator knows: how its runs and workers are at this moment. The site of a store alone has no such source.

use dqa_pages::{RunAction, Worker};
use futures::future::BoxFuture;

/// How a run is at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveRun {
    /// Planned shards.
    pub shards: u64,
    /// Shards that are under way.
    pub shards_running: u64,
    /// Windows that are done, with those of shards that are under way.
    pub windows_done: u64,
    /// Shards that wait for another attempt.
    pub shards_retrying: u64,
    /// Shards that were given up.
    pub shards_quarantined: u64,
    /// Windows per second, the average over the last minute.
    pub windows_per_second: Option<f64>,
}

/// A coordinator.
pub trait LiveSource: Send + Sync {
    /// Returns a run that the coordinator schedules. None: it does not, and the store has the truth.
    fn run<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Option<LiveRun>>;

    /// Returns the workers.
    fn workers(&self) -> Vec<Worker>;

    /// Does what a user asks of a run, or says why not.
    fn act<'a>(&'a self, run: &'a str, action: RunAction) -> BoxFuture<'a, Result<(), String>>;

    /// Makes a worker take no more shards, or says why not.
    fn drain<'a>(&'a self, worker: &'a str) -> BoxFuture<'a, Result<(), String>>;
}
