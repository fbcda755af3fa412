//! Collects rows of cells into columns of text below a header. This module does not know what separates cells.

use arrow::array::{LargeStringArray, LargeStringBuilder};

use super::numbers::plain;
use super::row_position::RowPosition;
use super::{COLUMNS_MAX, ROWS_MAX};
use crate::dataset::label_error::LabelError;

/// Maximum number of cells, empty ones too: each takes the place of an offset.
const CELLS_MAX: usize = 64 << 20;

/// A header and the columns below it.
#[derive(Debug)]
pub(super) struct CellGrid {
    pub(super) header: Vec<String>,
    pub(super) columns: Vec<LargeStringArray>,
    /// The positions of the header and of each row.
    positions: Vec<u64>,
    unit: &'static str,
}

impl CellGrid {
    pub(super) fn row(&self, index: usize) -> RowPosition {
        RowPosition { unit: self.unit, number: self.positions.get(index + 1).copied().unwrap_or_default() }
    }

    /// Returns whether the first row has numbers, so that it is not a header.
    pub(super) fn has_no_header(&self) -> bool {
        self.header.iter().any(|name| is_number(name))
    }
}

pub(super) fn is_number(text: &str) -> bool {
    text.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite)
}

/// A grid while its rows are added.
pub(super) struct Rows {
    header: Vec<String>,
    columns: Vec<LargeStringBuilder>,
    positions: Vec<u64>,
    unit: &'static str,
}

impl Rows {
    /// Creates an empty grid. `unit` is what positions count: lines or rows.
    pub(super) fn new(unit: &'static str) -> Rows {
        Rows { header: Vec::new(), columns: Vec::new(), positions: Vec::new(), unit }
    }

    /// Adds a row, the first of which is the header. A row of blank cells is skipped.
    ///
    /// # Errors
    /// If the row has more cells than the header.
    pub(super) fn push<'c>(&mut self, position: u64, cells: impl Iterator<Item = &'c str>) -> Result<(), LabelError> {
        let mut cells: Vec<&str> = cells.map(plain).collect();
        if cells.iter().all(|cell| cell.is_empty()) {
            return Ok(());
        }
        self.check_size(cells.len())?;
        if self.positions.is_empty() {
            self.header = cells.into_iter().map(str::to_owned).collect();
            self.positions.push(position);
            self.columns = self.header.iter().map(|_| LargeStringBuilder::new()).collect();
            return Ok(());
        }
        while cells.len() > self.header.len() && cells.last().is_some_and(|cell| cell.is_empty()) {
            cells.pop();
        }
        if self.positions.len() == 1 && begins_with_a_row_name(&cells, &self.header) {
            self.header.insert(0, String::new());
            self.columns.push(LargeStringBuilder::new());
        }
        if cells.len() > self.header.len() {
            let (cells, header) = (cells.len(), self.header.len());
            return Err(LabelError::Ragged { row: RowPosition { unit: self.unit, number: position }, cells, header });
        }
        self.positions.push(position);
        for (index, column) in self.columns.iter_mut().enumerate() {
            column.append_option(cells.get(index).filter(|cell| !cell.is_empty()));
        }
        Ok(())
    }

    /// Checks that a further row, or the header with this many cells, is not beyond the limits.
    fn check_size(&self, cells: usize) -> Result<(), LabelError> {
        let rows = self.positions.len();
        let beyond = |what: &str, limit: usize| Err(LabelError::Content(format!("it has more than {limit} {what}")));
        if rows == 0 && cells > COLUMNS_MAX {
            return beyond("columns", COLUMNS_MAX);
        }
        if rows > ROWS_MAX {
            return beyond("rows", ROWS_MAX);
        }
        if rows * self.header.len() > CELLS_MAX { beyond("cells", CELLS_MAX) } else { Ok(()) }
    }

    pub(super) fn finish(self) -> CellGrid {
        let columns = self.columns.into_iter().map(|mut column| column.finish()).collect();
        CellGrid { header: self.header, columns, positions: self.positions, unit: self.unit }
    }
}

/// Returns whether the first cell is a row name: R's `write.table` numbers rows in a column without a header.
fn begins_with_a_row_name(cells: &[&str], header: &[String]) -> bool {
    let has_text = cells.iter().skip(1).any(|cell| !is_number(cell));
    cells.len() == header.len() + 1 && matches!(cells[0], "0" | "1") && has_text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_row_takes_a_place_in_every_column() {
        let rows = |rows: usize| Rows {
            header: vec!["a".to_owned(); COLUMNS_MAX],
            columns: Vec::new(),
            positions: vec![0; rows],
            unit: "line",
        };
        rows(CELLS_MAX / COLUMNS_MAX).push(1, ["1"].into_iter()).unwrap();
        let error = rows(CELLS_MAX / COLUMNS_MAX + 1).push(1, ["1"].into_iter()).unwrap_err();
        assert!(error.to_string().contains("cells"), "{error}");
    }
}
