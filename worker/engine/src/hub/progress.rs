//! Progress of a download on standard error: a bar on a terminal, plain lines elsewhere.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::console;

/// Interval of plain lines, so that the log of a long download stays short.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Smaller files are downloaded without a display.
const SHOWN_MIN: u64 = 1 << 20;

/// Progress of one file.
pub(super) struct DownloadProgress {
    name: String,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    position: u64,
    last_line: Instant,
}

impl DownloadProgress {
    /// Starts the display of a file whose download starts at `position`.
    pub(super) fn new(name: &str, position: u64, total: Option<u64>) -> DownloadProgress {
        let is_shown = total.is_none_or(|total| total >= SHOWN_MIN);
        let bar = (is_shown && stderr().is_terminal()).then(|| {
            let style = match total {
                Some(_) => "{msg}  {bar:30} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left",
                None => "{msg}  {binary_bytes}  {binary_bytes_per_sec}",
            };
            let style = ProgressStyle::with_template(style).expect("the template is well-formed");
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
            bar.set_position(position);
            bar.reset_eta();
            bar.with_message(name.to_owned())
        });
        let progress = DownloadProgress { name: name.to_owned(), bar, total, position, last_line: Instant::now() };
        if is_shown && progress.bar.is_none() {
            progress.line(if position == 0 { "downloading" } else { "resuming the download of" });
        }
        progress
    }

    /// Shows that the file has been received up to `position`.
    pub(super) fn set_position(&mut self, position: u64) {
        self.position = position;
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            self.line("downloading");
            self.last_line = Instant::now();
        }
    }

    fn line(&self, doing: &str) {
        let position = HumanBytes(self.position);
        match self.total {
            Some(total) if self.position == 0 => note(format_args!("{doing} {} ({})", self.name, HumanBytes(total))),
            Some(total) => note(format_args!("{doing} {}: {position} of {}", self.name, HumanBytes(total))),
            None => note(format_args!("{doing} {}: {position}", self.name)),
        }
    }
}

impl Drop for DownloadProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line about the hub to standard error.
pub(super) fn note(line: fmt::Arguments<'_>) {
    console::note(format_args!("hub: {line}"));
}
