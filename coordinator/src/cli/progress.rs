//! How far a run is, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dqa_engine::shard::{self, ShardOutcome};
use dqa_service::program::note;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two plain lines: a log of a long run stays readable.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Windows done and to do, with the rate.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    live: Arc<shard::Progress>,
    total: u64,
    /// Windows of the shards that are done, by plan.
    finished: u64,
    /// Windows that had been scored when the last shard was done.
    scored_then: u64,
    reused: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Of `total` windows, watching what the scorer counts.
    pub(super) fn new(total: u64, live: Arc<shard::Progress>) -> Progress {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} windows  {msg}  {elapsed} elapsed");
            let style = style.expect("the template is well-formed");
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
        });
        let now = Instant::now();
        Progress { bar, live, total, finished: 0, scored_then: 0, reused: 0, started: now, last_line: now }
    }

    /// Shows how far it is, if it is time.
    pub(super) fn look(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.done());
            bar.set_message(self.message());
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            note(format_args!("{}/{} windows  {}", self.done(), self.total, self.message()));
            self.last_line = Instant::now();
        }
    }

    /// A shard of so many planned windows is done.
    pub(super) fn shard_done(&mut self, windows: u64, outcome: &ShardOutcome) {
        self.finished += windows;
        self.scored_then = self.live.windows.load(Relaxed);
        self.reused += outcome.reused;
        self.look();
    }

    /// Clears the bar and says what was done.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (pictures, windows) = (self.live.pictures.load(Relaxed), self.live.windows.load(Relaxed));
        let seconds = self.started.elapsed().as_secs_f64();
        note(format_args!(
            "scored {pictures} pictures ({} failed), {windows} windows in {seconds:.1} s: {:.1} windows/s; {} taken over",
            self.live.failed.load(Relaxed),
            windows as f64 / seconds.max(1e-9),
            self.reused
        ));
    }

    fn done(&self) -> u64 {
        (self.finished + self.live.windows.load(Relaxed).saturating_sub(self.scored_then)).min(self.total)
    }

    fn message(&self) -> String {
        let windows = self.live.windows.load(Relaxed);
        let rate = windows as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let left = (self.total - self.done()) as f64 / rate.max(1e-3);
        let left = if windows == 0 { "?".to_owned() } else { HumanDuration(Duration::from_secs_f64(left)).to_string() };
        format!("{rate:.1}/s, {} failed, {left} left", self.live.failed.load(Relaxed))
    }
}

/// Things done, one after the other, of a known number.
pub(super) struct Steps {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
}

impl Steps {
    /// Of `total`, called `what`.
    pub(super) fn new(total: u64, what: &'static str) -> Steps {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}  {elapsed} elapsed, {eta} left");
            let style = style.expect("the template is well-formed");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style);
            bar.with_message(what)
        });
        let now = Instant::now();
        Steps { bar, what, total, done: 0, started: now, last_line: now }
    }

    pub(super) fn more(&mut self, done: u64) {
        self.done += done;
        if let Some(bar) = &self.bar {
            bar.inc(done);
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            let left = self.started.elapsed().as_secs_f64() / self.done as f64 * (self.total - self.done) as f64;
            let left = HumanDuration(Duration::from_secs_f64(left));
            note(format_args!("{}/{} {}, {left} left", self.done, self.total, self.what));
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
