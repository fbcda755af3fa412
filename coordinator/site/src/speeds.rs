//! How fast runs went while someone looked at them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dqa_pages::Speed;
use jiff::Timestamp;

/// Points of a run's speed that are kept: at one in 2 s, the last hour.
const SPEEDS_MAX: usize = 1800;

/// Runs whose speeds are kept.
const RUNS_MAX: usize = 64;

/// The shortest time between two points of the speed.
const POINT_INTERVAL: Duration = Duration::from_secs(2);

/// The windows that runs had at the times when someone looked.
#[derive(Default)]
pub(crate) struct Speeds(Mutex<HashMap<String, VecDeque<(Timestamp, u64)>>>);

impl Speeds {
    /// Notes how many windows of a run are done.
    pub(crate) fn note(&self, run: &str, windows: u64, now: Timestamp) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() > RUNS_MAX {
            runs.clear();
        }
        let points = runs.entry(run.to_owned()).or_default();
        let is_due = points.back().is_none_or(|(time, _)| now.duration_since(*time).unsigned_abs() >= POINT_INTERVAL);
        if is_due {
            points.push_back((now, windows));
        }
        if points.len() > SPEEDS_MAX {
            points.pop_front();
        }
    }

    /// Returns the speed between each two points.
    pub(crate) fn of(&self, run: &str) -> Vec<Speed> {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(points) = runs.get(run) else { return Vec::new() };
        let pairs = points.iter().zip(points.iter().skip(1));
        let speed = |((before, less), (time, more)): (&(Timestamp, u64), &(Timestamp, u64))| {
            let seconds = time.duration_since(*before).as_secs_f64();
            Speed { time: *time, windows_per_second: more.saturating_sub(*less) as f64 / seconds.max(1e-3) }
        };
        pairs.map(speed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_differences_of_what_was_seen() {
        let speeds = Speeds::default();
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        for (second, windows) in [(0, 0), (1, 50), (4, 200), (8, 200)] {
            speeds.note("r", windows, at(second));
        }
        let found: Vec<(i64, f64)> =
            speeds.of("r").iter().map(|speed| (speed.time.as_second(), speed.windows_per_second)).collect();
        assert_eq!(found, [(4, 50.0), (8, 0.0)], "a point that comes too early is left out");
        assert!(speeds.of("other").is_empty());
    }
}
