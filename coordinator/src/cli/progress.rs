//! Shows the progress of a command on standard error: a bar on a terminal, a plain line every 10 s elsewhere.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dqa_engine::shard::{self, ShardOutcome};
use dqa_pipelines::count_text::counted;
use dqa_service::program::{note, progress_bar};
use indicatif::{HumanDuration, ProgressBar};

/// 10 s between two plain lines keep the log of a long run readable.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how many of the planned windows are scored, with the rate.
pub(super) struct ScoringBar {
    bar: Option<ProgressBar>,
    /// What the scorer has counted so far.
    counters: Arc<shard::ScoringProgress>,
    /// Metrics of the run: with several, a picture has several scores.
    metrics: usize,
    windows: u64,
    /// Planned windows of the shards that are done.
    windows_of_done_shards: u64,
    /// Windows that the scorer had counted when the last shard was done.
    counted_at_last_shard: u64,
    rows_reused: u64,
    started: Instant,
    last_line: Instant,
}

impl ScoringBar {
    /// Starts at 0 of `windows` windows and follows the counters of a scorer of `metrics` metrics.
    pub(super) fn new(windows: u64, counters: Arc<shard::ScoringProgress>, metrics: usize) -> ScoringBar {
        let bar = progress_bar(Some(windows), "{bar:20} {pos}/{len} windows, {elapsed}, {wide_msg}");
        let now = Instant::now();
        ScoringBar {
            bar,
            counters,
            metrics,
            windows,
            windows_of_done_shards: 0,
            counted_at_last_shard: 0,
            rows_reused: 0,
            started: now,
            last_line: now,
        }
    }

    /// Shows the progress; off a terminal only if a line is due.
    pub(super) fn refresh(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.done());
            bar.set_message(self.message());
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            note(format_args!("{}/{} windows, {}", self.done(), self.windows, self.message()));
            self.last_line = Instant::now();
        }
    }

    /// Counts a shard as done, of which `windows` were planned.
    pub(super) fn shard_done(&mut self, windows: u64, outcome: &ShardOutcome) {
        self.windows_of_done_shards += windows;
        self.counted_at_last_shard = self.counters.windows.load(Relaxed);
        self.rows_reused += outcome.reused;
        self.refresh();
    }

    /// Clears the bar and notes what was scored.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (scores, windows) = (self.counters.pictures.load(Relaxed), self.counters.windows.load(Relaxed));
        let (scored, reused) = match self.metrics {
            0 | 1 => (format!("scored {}", counted(scores, "picture")), counted(self.rows_reused, "picture")),
            metrics => {
                (format!("made {} by {metrics} metrics", counted(scores, "score")), counted(self.rows_reused, "score"))
            }
        };
        let seconds = self.started.elapsed().as_secs_f64();
        note(format_args!(
            "{scored} ({} failed), {} in {seconds:.1} s ({:.1}/s); {reused} reused from earlier runs",
            self.counters.failed.load(Relaxed),
            counted(windows, "window"),
            windows as f64 / seconds.max(1e-9),
        ));
    }

    fn done(&self) -> u64 {
        let of_current_shard = self.counters.windows.load(Relaxed).saturating_sub(self.counted_at_last_shard);
        (self.windows_of_done_shards + of_current_shard).min(self.windows)
    }

    fn message(&self) -> String {
        let windows = self.counters.windows.load(Relaxed);
        let rate = windows as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let left = (self.windows - self.done()) as f64 / rate.max(1e-3);
        let left = match windows {
            0 => "starting".to_owned(),
            _ => format!("{rate:.1}/s, {} left", HumanDuration(Duration::from_secs_f64(left))),
        };
        match self.counters.failed.load(Relaxed) {
            0 => left,
            failed => format!("{left}, {failed} failed"),
        }
    }
}

/// Shows how many steps of a known number are done.
pub(super) struct StepProgress {
    bar: Option<ProgressBar>,
    /// The unit of a step in the plural, such as `scenes`.
    unit: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
}

impl StepProgress {
    /// Starts at 0 of `total` steps.
    pub(super) fn new(total: u64, unit: &'static str) -> StepProgress {
        let bar = progress_bar(Some(total), &format!("{{bar:20}} {{pos}}/{{len}} {unit}, {{elapsed}}{{wide_msg}}"));
        let now = Instant::now();
        StepProgress { bar, unit, total, done: 0, started: now, last_line: now }
    }

    /// Counts more steps as done.
    pub(super) fn add(&mut self, done: u64) {
        self.done += done;
        let left = self.started.elapsed().as_secs_f64() / self.done as f64 * (self.total - self.done) as f64;
        let left = HumanDuration(Duration::from_secs_f64(left.round()));
        if let Some(bar) = &self.bar {
            bar.set_message(format!(", {left} left"));
            bar.inc(done);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            note(format_args!("{}/{} {}, {left} left", self.done, self.total, self.unit));
            self.last_line = Instant::now();
        }
    }

    /// Clears the bar.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
