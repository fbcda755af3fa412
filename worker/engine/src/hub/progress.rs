//! How far a download is, on standard error: a bar on a terminal, a plain line now and then elsewhere.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console;

/// Between two plain lines: a log of a long download stays readable.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Smaller files are there before anybody has read of them.
const SHOWN_MIN: u64 = 1 << 20;

/// Of one file.
pub(super) struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    at: u64,
    last_line: Instant,
}

impl Progress {
    /// Of the file `name`, which is begun at `at`.
    pub(super) fn new(name: &str, at: u64, total: Option<u64>) -> Progress {
        let is_shown = total.is_none_or(|total| total >= SHOWN_MIN);
        let bar = (is_shown && stderr().is_terminal()).then(|| {
            let style = match total {
                Some(_) => "{msg}  {bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
                None => "{msg}  {binary_bytes}  {binary_bytes_per_sec}",
            };
            let style = ProgressStyle::with_template(style).expect("the template is well-formed");
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
            bar.set_position(at);
            bar.reset_eta();
            bar.with_message(name.to_owned())
        });
        let progress = Progress { name: name.to_owned(), bar, total, at, last_line: Instant::now() };
        if is_shown && progress.bar.is_none() {
            progress.line(if at == 0 { "downloading" } else { "resuming the download of" });
        }
        progress
    }

    /// So many bytes of the file are there.
    pub(super) fn at(&mut self, at: u64) {
        self.at = at;
        if let Some(bar) = &self.bar {
            bar.set_position(at);
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            self.line("downloading");
            self.last_line = Instant::now();
        }
    }

    fn line(&self, doing: &str) {
        let at = HumanBytes(self.at);
        match self.total {
            Some(total) if self.at == 0 => note(format_args!("{doing} {} ({})", self.name, HumanBytes(total))),
            Some(total) => note(format_args!("{doing} {}: {at} of {}", self.name, HumanBytes(total))),
            None => note(format_args!("{doing} {}: {at}", self.name)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One line about the hub.
pub(super) fn note(line: fmt::Arguments<'_>) {
    console::note(format_args!("hub: {line}"));
}
