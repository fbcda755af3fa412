//! Messages and progress bars on standard error.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use console::Term;
use dqa_pipelines::result_page::wrapped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar is drawn again at least this often, so that its clock goes on while a step takes long.
const REDRAW_INTERVAL: Duration = Duration::from_millis(500);

/// Writes one line to standard error. On a terminal, a line that is wider is broken between words. A failed write is ignored:
/// `eprintln!` would panic on the closed pipe of `2>&1 | head`.
pub fn note(line: fmt::Arguments<'_>) {
    let _ = match Term::stderr().size_checked() {
        Some((_, columns)) => writeln!(stderr(), "{}", wrapped(&line.to_string(), columns.into())),
        None => writeln!(stderr(), "{line}"),
    };
}

/// Returns a progress bar on standard error, or None if that is not a terminal. `template` is one of indicatif's; its last
/// element is `{wide_msg}`, which is cut to the width of the terminal, so that the line does not wrap.
///
/// # Panics
/// If the template is invalid.
pub fn progress_bar(length: Option<u64>, template: &str) -> Option<ProgressBar> {
    if !stderr().is_terminal() {
        return None;
    }
    let style = ProgressStyle::with_template(template).expect("the template is well-formed");
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr()).with_style(style);
    bar.enable_steady_tick(REDRAW_INTERVAL);
    Some(bar)
}
