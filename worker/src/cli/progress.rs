//! Progress of a command on standard error: a bar on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use dqa_service::program::note;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Interval of plain lines, so that the log of a long run stays short.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct ScoringProgress {
    bar: Option<ProgressBar>,
    pictures: u64,
    done: u64,
    windows: u64,
    failed: u64,
    started: Instant,
    last_line: Instant,
}

impl ScoringProgress {
    pub(super) fn new(pictures: usize) -> ScoringProgress {
        let bar = stderr().is_terminal().then(|| {
            let style = "{bar:30} {pos}/{len} pictures  {msg}  {elapsed} elapsed, {eta} left";
            let style = ProgressStyle::with_template(style).expect("the template is well-formed");
            ProgressBar::with_draw_target(Some(pictures as u64), ProgressDrawTarget::stderr()).with_style(style)
        });
        let now = Instant::now();
        ScoringProgress { bar, pictures: pictures as u64, done: 0, windows: 0, failed: 0, started: now, last_line: now }
    }

    /// Counts a picture with its number of windows; None if it failed.
    pub(super) fn add_picture(&mut self, windows: Option<usize>) {
        self.done += 1;
        self.windows += windows.unwrap_or(0) as u64;
        self.failed += u64::from(windows.is_none());
        let message = || {
            let rate = self.windows as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
            format!("{} windows, {rate:.1}/s, {} failed", self.windows, self.failed)
        };
        match &self.bar {
            Some(bar) => {
                bar.set_message(message());
                bar.inc(1);
            }
            None if self.last_line.elapsed() >= PLAIN_EVERY => {
                note(format_args!("{}/{} pictures, {}", self.done, self.pictures, message()));
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// Hides the bar while `print` writes to standard output.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
