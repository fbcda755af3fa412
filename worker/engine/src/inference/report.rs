//! The counts and times of a run.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The counts and times of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InferenceReport {
    /// Pictures with an outcome.
    pub pictures: u64,
    /// Pictures without a score.
    pub failed: u64,
    /// Windows scored.
    pub windows: u64,
    /// Wall time of the run.
    pub wall: Duration,
    /// Time that the device thread waited for a decoded picture.
    pub waiting: Duration,
    /// Time that the device thread embedded and scored.
    pub device: Duration,
    /// Time of decoding, summed over the decode threads.
    pub decoding: Duration,
    /// Time that the fetch thread read.
    pub fetching: Duration,
}

impl InferenceReport {
    /// Returns the windows scored per second of wall time.
    pub fn windows_per_second(&self) -> f64 {
        self.windows as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// Returns the pictures done per second of wall time.
    pub fn pictures_per_second(&self) -> f64 {
        self.pictures as f64 / self.wall.as_secs_f64().max(1e-9)
    }
}

/// A sum of times that several threads add to.
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
