//! `--watch`: the interval at which a view is refreshed, and clearing the terminal before that.

use std::io::{Write, stdout};
use std::time::Duration;

use dqa_service::program::OutputError;

/// A person at a terminal sees changes of a second as immediate.
const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);

/// In a log a line every ten seconds is enough.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Returns the time between two views.
pub(super) fn refresh_interval(is_terminal: bool) -> Duration {
    if is_terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL }
}

/// Moves the cursor to the top left and clears the terminal.
pub(super) fn clear_terminal() -> Result<(), OutputError> {
    Ok(write!(stdout(), "\x1b[H\x1b[J")?)
}
