//! Progress of a command on standard error: a bar on a terminal, plain lines elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use dqa_service::program::{EndOnSignal, end_on_signal, note, progress_bar};
use indicatif::{HumanDuration, ProgressBar};

/// Interval of plain lines, so that the log of a long run stays short.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct ScoringProgress {
    bar: Option<ProgressBar>,
    pictures: u64,
    /// Shared with what is printed when a signal ends the process.
    done: Arc<AtomicU64>,
    windows: u64,
    failed: u64,
    started: Instant,
    last_line: Instant,
}

impl ScoringProgress {
    pub(super) fn new(pictures: usize) -> ScoringProgress {
        let template = "{bar:20} {pos}/{len} pictures, {elapsed}{wide_msg}";
        let bar = progress_bar(Some(pictures as u64), template);
        let now = Instant::now();
        ScoringProgress {
            bar,
            pictures: pictures as u64,
            done: Arc::default(),
            windows: 0,
            failed: 0,
            started: now,
            last_line: now,
        }
    }

    /// Says how many pictures have their row on standard output when a signal ends the process.
    pub(super) fn end_on_signal(&self) -> anyhow::Result<EndOnSignal> {
        let (done, pictures) = (self.done.clone(), self.pictures);
        end_on_signal(move || {
            vec![
                format!("{} of {pictures} pictures are scored; their rows are in the output", done.load(Relaxed)),
                "hint: this command keeps nothing; `dqa-coord submit` keeps scores and goes on from them".to_owned(),
            ]
        })
    }

    /// Counts a picture with its number of windows; None if it failed.
    pub(super) fn add_picture(&mut self, windows: Option<usize>) {
        let done = self.done.fetch_add(1, Relaxed) + 1;
        self.windows += windows.unwrap_or(0) as u64;
        self.failed += u64::from(windows.is_none());
        let seconds = self.started.elapsed().as_secs_f64();
        let left = seconds / done as f64 * (self.pictures - done) as f64;
        let left = HumanDuration(Duration::from_secs_f64(left.round()));
        let rate = self.windows as f64 / seconds.max(1e-3);
        let mut text = format!("{left} left, {rate:.1} windows/s");
        if self.failed > 0 {
            text += &format!(", {} failed", self.failed);
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(format!(", {text}"));
                bar.inc(1);
            }
            None if self.last_line.elapsed() >= PLAIN_EVERY => {
                note(format_args!("{done}/{} pictures, {text}", self.pictures));
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
