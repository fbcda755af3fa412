//! Errors in a table of scores that others made.

use std::fmt;

use super::error::DatasetError;
use super::fault::NAMED_MAX;
use super::label_error::LabelError;
use super::table_file::row_position::RowPosition;

/// Why a table of scores cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScoreTableError {
    /// The file is not a table, or lacks a column.
    #[error(transparent)]
    Table(#[from] LabelError),
    /// The store failed, or the data set's definition is invalid.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// Two ways to name pictures are given.
    #[error("its pictures are named by a column `image` or by the columns `scene` and `algorithm`, not both")]
    TwoWays,
    /// Rows name pictures that the data set does not have.
    #[error("{} of its {all} rows have no picture in the data set: {rows}{}", rows.count, hint_text(hint.as_deref()))]
    Unknown {
        /// The rows.
        rows: NamedRows,
        /// The number of all rows.
        all: u64,
        /// The likely cause, and what the user can do.
        hint: Option<String>,
    },
    /// Rows fit several pictures.
    #[error("{} of its rows fit more than one picture: {rows}", rows.count)]
    Ambiguous {
        /// The rows.
        rows: NamedRows,
    },
    /// Pictures have several rows.
    #[error("{} of its rows repeat the picture of another row: {}", pairs.len(), first_ones(pairs))]
    Repeated {
        /// The pairs of rows with their picture.
        pairs: Vec<String>,
    },
    /// A score is infinite.
    #[error("{row}: the score {value} of `{image}` is not finite")]
    Infinite {
        /// The row.
        row: RowPosition,
        /// The picture.
        image: String,
        /// The score.
        value: f64,
    },
    /// No row has a score.
    #[error("none of its {rows} rows has a score in the column `{column}`")]
    NoScore {
        /// The number of rows.
        rows: u64,
        /// The column of scores.
        column: String,
    },
}

fn hint_text(hint: Option<&str>) -> String {
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

fn first_ones(all: &[String]) -> String {
    let more = if all.len() > NAMED_MAX { ", ..." } else { "" };
    all[..all.len().min(NAMED_MAX)].join(", ") + more
}

/// The number of some rows of a table, and the first few of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRows {
    /// The number of rows.
    pub count: u64,
    /// The first rows, with the pictures that they name.
    pub first: Vec<String>,
}

impl NamedRows {
    pub(super) fn new(rows: impl ExactSizeIterator<Item = (RowPosition, String)>) -> NamedRows {
        let count = rows.len() as u64;
        NamedRows { count, first: rows.take(NAMED_MAX).map(|(row, name)| format!("{row} (`{name}`)")).collect() }
    }
}

impl fmt::Display for NamedRows {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let more = if self.count > self.first.len() as u64 { ", ..." } else { "" };
        write!(f, "{}{more}", self.first.join(", "))
    }
}
