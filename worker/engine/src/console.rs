//! Messages to the user on standard error.

use std::fmt;
use std::io::{Write, stderr};

/// Writes one line to standard error. A failed write is ignored: `eprintln!` would panic on the closed pipe of
/// `2>&1 | head`.
pub fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{line}");
}
