//! Where a row is in its file.

use std::fmt;

/// Where a row is in its file, as whoever opens it counts.
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
