//! Where a run's time went.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Of one run of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pictures that have their outcome.
    pub pictures: u64,
    /// Of them, those without a score.
    pub failed: u64,
    /// Windows scored.
    pub windows: u64,
    /// From first to last.
    pub wall: Duration,
    /// The device thread, waiting for a decoded picture.
    pub waiting: Duration,
    /// The device thread, embedding and scoring.
    pub device: Duration,
    /// Summed over the decode threads.
    pub decoding: Duration,
    /// The fetch thread, reading.
    pub fetching: Duration,
}

impl Report {
    /// Windows scored per second of wall time.
    pub fn windows_per_second(&self) -> f64 {
        self.windows as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// Pictures done per second of wall time.
    pub fn pictures_per_second(&self) -> f64 {
        self.pictures as f64 / self.wall.as_secs_f64().max(1e-9)
    }
}

/// Time that several threads add to.
#[derive(Default)]
pub(super) struct Stopwatch(AtomicU64);

impl Stopwatch {
    pub(super) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        self.0.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
        value
    }

    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}
