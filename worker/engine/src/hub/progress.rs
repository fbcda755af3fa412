//! Progress of a download on standard error: a bar on a terminal, plain lines elsewhere.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar};

use crate::console;

/// Interval of plain lines, so that the log of a long download stays short.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// Smaller files are downloaded without a display.
const SHOWN_MIN: u64 = 1 << 20;

/// The file that is being downloaded, as [`download_line`] describes it.
static CURRENT: Mutex<Option<String>> = Mutex::new(None);

/// Says how much of the file that is being downloaded is kept if this process ends. None if none is being downloaded.
pub fn download_line() -> Option<String> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Progress of one file.
pub(super) struct DownloadProgress {
    name: String,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    /// Bytes that an earlier process has received.
    from: u64,
    position: u64,
    started: Instant,
    last_line: Instant,
}

impl DownloadProgress {
    /// Starts the display of a file whose download starts at `position`.
    pub(super) fn new(name: &str, position: u64, total: Option<u64>) -> DownloadProgress {
        let is_shown = total.is_none_or(|total| total >= SHOWN_MIN);
        let template = match total {
            Some(_) => "{bar:20} {binary_bytes}/{binary_total_bytes}{wide_msg}",
            None => "{binary_bytes}{wide_msg}",
        };
        let bar = if is_shown { console::progress_bar(total, template) } else { None };
        if let Some(bar) = &bar {
            bar.set_position(position);
        }
        let now = Instant::now();
        let name = name.to_owned();
        let progress = DownloadProgress { name, bar, total, from: position, position, started: now, last_line: now };
        progress.publish();
        if is_shown && progress.bar.is_none() {
            progress.line(if position == 0 { "downloading" } else { "resuming the download of" });
        }
        progress
    }

    /// Shows that the file has been received up to `position`.
    pub(super) fn set_position(&mut self, position: u64) {
        self.position = position;
        self.publish();
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(self.message());
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            self.line("downloading");
            self.last_line = Instant::now();
        }
    }

    /// Returns the rate and the time that is left by what this process has received, and the file.
    fn message(&self) -> String {
        let rate = (self.position - self.from) as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let left = self.total.filter(|_| rate > 0.0).map_or(String::new(), |total| {
            let seconds = total.saturating_sub(self.position) as f64 / rate;
            format!(", {} left", HumanDuration(Duration::from_secs_f64(seconds.round())))
        });
        format!(", {}/s{left}, {}", HumanBytes(rate as u64), self.name)
    }

    /// Makes the state known to [`download_line`].
    fn publish(&self) {
        let position = HumanBytes(self.position);
        let of = self.total.map_or(String::new(), |total| format!(" of {}", HumanBytes(total)));
        let line =
            format!("hub: {position}{of} of {} is downloaded and kept; the download goes on from there", self.name);
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
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
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line about the hub to standard error.
pub(super) fn note(line: fmt::Arguments<'_>) {
    console::note(format_args!("hub: {line}"));
}
