//! Reads one sheet of a workbook: Excel's `.xlsx`, `.xlsb` and `.xls`, and OpenDocument's `.ods`, with the crate calamine.
//!
//! The crate unpacks a workbook in memory and reserves what the file claims, so that both are checked first. It makes a whole
//! sheet of all kinds but `.xlsx`, however far apart the sheet's cells are: others are read for the file's owner alone.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use bytes::Bytes;
use calamine::{Data, Reader, Sheets, open_workbook_auto_from_rs};
use zip::ZipArchive;

use super::grid::{CellGrid, Rows};
use crate::causes;
use crate::dataset::label_error::LabelError;

/// Maximum size of a workbook in bytes: hundreds of times that of any table of labels. It is unpacked in memory.
pub(super) const WORKBOOK_BYTES_MAX: u64 = 64 << 20;

/// Maximum size of a workbook's unpacked files in bytes.
const UNPACKED_BYTES_MAX: u64 = 128 << 20;

/// Maximum number of cells of a sheet: Excel's rows by 8 columns.
const CELLS_MAX: usize = 1 << 23;

/// Maximum size of a sheet's text in bytes. Cells can share a text of any length.
const TEXT_BYTES_MAX: usize = 256 << 20;

/// The file of the texts that cells share, in lower case, and the attribute that says how many there are.
const SHARED_TEXTS: &str = "sharedstrings.xml";
const SHARED_TEXTS_COUNT: &[u8] = b"uniqueCount";

/// Reads the cells of a sheet, or of the first sheet if no name is given.
///
/// # Errors
/// If the file is not a workbook, does not have the sheet, or has too many cells.
pub(super) fn read(bytes: Bytes, sheet: Option<&str>) -> Result<CellGrid, LabelError> {
    let unreadable = |source: calamine::Error| LabelError::Workbook(source.to_string());
    check_unpacked(&bytes)?;
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

/// Returns whether a workbook is an `.xlsx`.
pub(super) fn is_xlsx(bytes: &Bytes) -> bool {
    ZipArchive::new(Cursor::new(bytes)).is_ok_and(|archive| archive.index_for_name("xl/workbook.xml").is_some())
}

/// Checks what a packed workbook takes when it is unpacked. `.xls` is not packed.
fn check_unpacked(bytes: &Bytes) -> Result<(), LabelError> {
    if !bytes.starts_with(b"PK") {
        return Ok(());
    }
    let unreadable = |error: &(dyn std::error::Error + 'static)| LabelError::Workbook(causes(error).to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| unreadable(&error))?;
    let mut left = UNPACKED_BYTES_MAX;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|error| unreadable(&error))?;
        let name = file.name().map_err(|error| unreadable(&error))?.to_ascii_lowercase();
        let has_shared_texts = name.ends_with(SHARED_TEXTS);
        let mut limited = file.take(left + 1);
        let mut texts = Vec::new();
        let unpacked = if has_shared_texts {
            limited.read_to_end(&mut texts).map(|bytes| bytes as u64)
        } else {
            std::io::copy(&mut limited, &mut std::io::sink())
        };
        left = left.checked_sub(unpacked.map_err(|error| unreadable(&error))?).ok_or_else(|| {
            LabelError::Content(format!("it has more than {UNPACKED_BYTES_MAX} bytes when it is unpacked"))
        })?;
        if counts(&texts, SHARED_TEXTS_COUNT).any(|count| count > texts.len() as u64) {
            return Err(LabelError::Content("it claims more texts than it has bytes".to_owned()));
        }
    }
    Ok(())
}

/// Returns the numbers of an attribute in XML.
fn counts<'x>(xml: &'x [u8], attribute: &'x [u8]) -> impl Iterator<Item = u64> {
    let found = xml.windows(attribute.len()).enumerate().filter(move |(_, window)| *window == attribute);
    found.map(move |(at, _)| {
        let rest = xml[at + attribute.len()..].iter().skip_while(|byte| b" \t\r\n='\"".contains(byte));
        let digits = rest.take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_u64, |number, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
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
    text_bytes: usize,
}

impl Cells {
    fn push(&mut self, row: u32, column: u32, text: String) -> Result<(), LabelError> {
        if text.is_empty() {
            return Ok(());
        }
        self.count += 1;
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        if self.count > CELLS_MAX || self.text_bytes > TEXT_BYTES_MAX {
            let why = format!("its sheet has more than {CELLS_MAX} cells, or more than {TEXT_BYTES_MAX} bytes of text");
            return Err(LabelError::Content(why));
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
