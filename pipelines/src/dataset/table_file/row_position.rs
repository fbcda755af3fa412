//! The position of a row in its file.

use std::fmt;

/// The position of a row in its file, as a program that opens the file shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPosition {
    pub(in crate::dataset) unit: &'static str,
    pub(in crate::dataset) number: u64,
}

impl fmt::Display for RowPosition {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.unit, self.number)
    }
}
