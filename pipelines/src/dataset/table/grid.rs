//! Rows of cells, one after the other, as columns of text below a header. What separates cells is not known here.

use arrow::array::{LargeStringArray, LargeStringBuilder};

use super::numbers::plain;
use super::row_position::RowPosition;
use crate::dataset::label_error::LabelError;

/// A header and the columns below it.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) header: Vec<String>,
    pub(super) columns: Vec<LargeStringArray>,
    /// Where the header is, and then each row.
    places: Vec<u64>,
    unit: &'static str,
}

impl Grid {
    pub(super) fn row(&self, at: usize) -> RowPosition {
        RowPosition { unit: self.unit, number: self.places.get(at + 1).copied().unwrap_or_default() }
    }

    /// Whether what is taken for the header has numbers in it, which names of columns are not.
    pub(super) fn has_no_header(&self) -> bool {
        self.header.iter().any(|name| is_number(name))
    }
}

pub(super) fn is_number(text: &str) -> bool {
    text.replace(',', ".").parse::<f64>().is_ok_and(f64::is_finite)
}

/// A grid while its rows come.
pub(super) struct Rows {
    header: Vec<String>,
    columns: Vec<LargeStringBuilder>,
    places: Vec<u64>,
    unit: &'static str,
}

impl Rows {
    /// None yet; `unit` is what their places count: lines or rows.
    pub(super) fn new(unit: &'static str) -> Rows {
        Rows { header: Vec::new(), columns: Vec::new(), places: Vec::new(), unit }
    }

    /// The next row, the first of which is the header. One of blank cells is none.
    ///
    /// # Errors
    /// A row that has more cells than the header.
    pub(super) fn push<'c>(&mut self, store: u64, cells: impl Iterator<Item = &'c str>) -> Result<(), LabelError> {
        let mut cells: Vec<&str> = cells.map(plain).collect();
        if cells.iter().all(|cell| cell.is_empty()) {
            return Ok(());
        }
        if self.places.is_empty() {
            self.header = cells.into_iter().map(str::to_owned).collect();
            self.places.push(store);
            self.columns = self.header.iter().map(|_| LargeStringBuilder::new()).collect();
            return Ok(());
        }
        while cells.len() > self.header.len() && cells.last().is_some_and(|cell| cell.is_empty()) {
            cells.pop();
        }
        if self.places.len() == 1 && begins_with_a_row_name(&cells, &self.header) {
            self.header.insert(0, String::new());
            self.columns.push(LargeStringBuilder::new());
        }
        if cells.len() > self.header.len() {
            let (cells, header) = (cells.len(), self.header.len());
            return Err(LabelError::Ragged { row: RowPosition { unit: self.unit, number: store }, cells, header });
        }
        self.places.push(store);
        for (at, column) in self.columns.iter_mut().enumerate() {
            column.append_option(cells.get(at).filter(|cell| !cell.is_empty()));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Grid {
        let columns = self.columns.into_iter().map(|mut column| column.finish()).collect();
        Grid { header: self.header, columns, places: self.places, unit: self.unit }
    }
}

/// R's `write.table` numbers its rows in a column that the header does not name.
fn begins_with_a_row_name(cells: &[&str], header: &[String]) -> bool {
    let has_text = cells.iter().skip(1).any(|cell| !is_number(cell));
    cells.len() == header.len() + 1 && matches!(cells[0], "0" | "1") && has_text
}
