//! Reads one sheet of a workbook: Excel's `.xlsx`, `.xlsb` and `.xls`, and OpenDocument's `.ods`, with the crate calamine.

use std::collections::BTreeMap;
use std::io::Cursor;

use bytes::Bytes;
use calamine::{Data, Reader, Sheets, open_workbook_auto_from_rs};

use super::grid::{CellGrid, Rows};
use crate::causes;
use crate::dataset::label_error::LabelError;

/// Maximum size of a workbook in bytes: hundreds of times that of any table of labels. It is unpacked in memory.
pub(super) const WORKBOOK_BYTES_MAX: u64 = 64 << 20;

/// Maximum number of cells of a sheet: Excel's rows by 16 columns.
const CELLS_MAX: usize = 1 << 24;

/// Reads the cells of a sheet, or of the first sheet if no name is given.
///
/// # Errors
/// If the file is not a workbook, does not have the sheet, or has too many cells.
pub(super) fn read(bytes: Bytes, sheet: Option<&str>) -> Result<CellGrid, LabelError> {
    let unreadable = |source: calamine::Error| LabelError::Workbook(source.to_string());
    let mut book = open(bytes)?;
    let sheets = book.sheet_names();
    let sheet = match sheet {
        None => sheets.first().cloned().ok_or_else(|| LabelError::Content("it has no sheet".to_owned()))?,
        Some(name) if sheets.iter().any(|known| known == name) => name.to_owned(),
        Some(name) => return Err(LabelError::Sheet { sheet: name.to_owned(), has: sheets }),
    };
    let cells = match &mut book {
        // Not as a range: one stray cell in the last corner would give it 17 billion cells.
        Sheets::Xlsx(book) => {
            let mut reader = book.worksheet_cells_reader(&sheet).map_err(|error| unreadable(error.into()))?;
            let mut cells = Cells::default();
            while let Some(cell) = reader.next_cell().map_err(|error| unreadable(error.into()))? {
                let (row, column) = cell.get_position();
                cells.push(row, column, text(&Data::from(cell.get_value().clone())))?;
            }
            cells
        }
        book => {
            let range = book.worksheet_range(&sheet).map_err(unreadable)?;
            let (first_row, first_column) = range.start().unwrap_or_default();
            let mut cells = Cells::default();
            for (row, column, value) in range.used_cells() {
                cells.push(first_row + row as u32, first_column + column as u32, text(value))?;
            }
            cells
        }
    };
    cells.grid()
}

fn open(bytes: Bytes) -> Result<Sheets<Cursor<Bytes>>, LabelError> {
    open_workbook_auto_from_rs(Cursor::new(bytes.clone())).map_err(|_| {
        // The error for the most common kind of workbook.
        let error = calamine::open_workbook_from_rs::<calamine::Xlsx<_>, _>(Cursor::new(bytes)).err();
        LabelError::Workbook(error.map_or_else(|| "its kind is unknown".to_owned(), |error| causes(&error).to_string()))
    })
}

#[derive(Default)]
struct Cells {
    rows: BTreeMap<u32, BTreeMap<u32, String>>,
    count: usize,
}

impl Cells {
    fn push(&mut self, row: u32, column: u32, text: String) -> Result<(), LabelError> {
        if text.is_empty() {
            return Ok(());
        }
        self.count += 1;
        if self.count > CELLS_MAX {
            return Err(LabelError::Content(format!("its sheet has more than {CELLS_MAX} cells")));
        }
        self.rows.entry(row).or_default().insert(column, text);
        Ok(())
    }

    fn grid(self) -> Result<CellGrid, LabelError> {
        let mut rows = Rows::new("row");
        for (row, cells) in self.rows {
            let is_comment = cells.len() == 1 && cells.values().all(|cell| cell.starts_with('#'));
            if is_comment {
                continue;
            }
            let width = cells.last_key_value().map_or(0, |(column, _)| column + 1);
            let cell = |column: u32| cells.get(&column).map_or("", String::as_str);
            rows.push(u64::from(row) + 1, (0..width).map(cell))?;
        }
        Ok(rows.finish())
    }
}

/// Returns a cell as it would be in a CSV: whole numbers without a decimal point.
fn text(value: &Data) -> String {
    match value {
        Data::DateTime(_) | Data::DateTimeIso(_) => format!("{value} (a date)"),
        other => other.to_string(),
    }
}
