//! Errors in a table of labels or pictures.

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::matlab_file::MatError;
use super::table_file::row_position::RowPosition;

/// Why a table of labels or pictures cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The file is of a kind that is not read as a table.
    #[error("it is {what} (supported: CSV and the like, .xlsx, .xls, .ods, Parquet, MATLAB up to -v7)")]
    NotATable {
        /// The kind of file, and what the user can do about it.
        what: &'static str,
    },
    /// The file is too large for a table.
    #[error("it has {bytes} bytes, and the limit for its kind of table is {limit}: is it the right file?")]
    Large {
        /// The file's size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The encoding is unknown.
    #[error("unknown encoding `{0}`: expected one like utf-8, utf-16le, gbk, big5, shift_jis, euc-kr or windows-1252")]
    Encoding(String),
    /// The text does not have the encoding.
    #[error("its line {line} is not {encoding}{}", readings_text(readings))]
    NotText {
        /// The number of the first invalid line, from 1.
        line: u64,
        /// The expected encoding.
        encoding: String,
        /// Other encodings, with the line as each would read it.
        readings: Vec<(String, String)>,
    },
    /// A row has more cells than the header.
    #[error("{row} has {cells} cells, and the header {header}")]
    Ragged {
        /// The row.
        row: RowPosition,
        /// The number of its cells.
        cells: usize,
        /// The number of the header's cells.
        header: usize,
    },
    /// The first row has data instead of names of columns.
    #[error("it has no header: its first row is `{first}`; a row above it must name the columns, as `image,mos`")]
    Header {
        /// The first row.
        first: String,
    },
    /// A workbook cannot be read.
    #[error("it is not a valid workbook (.xlsx, .xlsb, .xls, .ods): {0}")]
    Workbook(String),
    /// A workbook does not have the sheet.
    #[error("it has no sheet `{sheet}`; it has {}", list(has))]
    Sheet {
        /// The requested sheet.
        sheet: String,
        /// All sheets.
        has: Vec<String>,
    },
    /// A cell is not a number.
    #[error("{row}: `{value}` in the column `{column}` {why}")]
    Value {
        /// The row.
        row: RowPosition,
        /// The column.
        column: String,
        /// The cell's text.
        value: String,
        /// Why it is invalid.
        why: &'static str,
    },
    /// The batches of a column cannot be joined.
    #[error("its columns cannot be joined")]
    Arrow(#[from] ArrowError),
    /// The table lacks columns, and the definition can name others.
    #[error("it has no {lacks}; it has {}; {hint}", list(has))]
    Columns {
        /// The missing columns.
        lacks: String,
        /// All columns.
        has: Vec<String>,
        /// How the definition names other columns.
        hint: String,
    },
    /// The Parquet file is invalid.
    #[error("it is not a valid Parquet file")]
    Parquet(#[from] ParquetError),
    /// The MATLAB file is invalid.
    #[error("it is not a MATLAB file that can be read")]
    Mat(#[from] MatError),
    /// The table lacks a column.
    #[error("it has no column `{column}`; it has {}", list(has))]
    Column {
        /// The requested column.
        column: String,
        /// All columns.
        has: Vec<String>,
    },
    /// A column has the wrong type.
    #[error("its column `{column}` is not {expected}: {why}")]
    Type {
        /// The column.
        column: String,
        /// The expected type.
        expected: &'static str,
        /// What was found.
        why: String,
    },
    /// The columns have different lengths.
    #[error("its columns have {rows} and {other} rows")]
    Lengths {
        /// The length of the first.
        rows: usize,
        /// The length of another.
        other: usize,
    },
    /// A label is outside the definition's range.
    #[error("{row}: the label {mos} of `{image}` is outside {low} to {high}")]
    Range {
        /// The row.
        row: RowPosition,
        /// The picture.
        image: String,
        /// The label as stored.
        mos: f64,
        /// The minimum.
        low: f64,
        /// The maximum.
        high: f64,
    },
    /// A label is infinite.
    #[error("{row}: the label {mos} of `{image}` is not finite")]
    Infinite {
        /// The row.
        row: RowPosition,
        /// The picture.
        image: String,
        /// The label as stored.
        mos: f64,
    },
    /// A picture has two different labels.
    #[error(
        "{row}: `{image}` has two labels: {first} and {second}; if each row is one person's rating, `repeated = \"mean\"` in \
         [labels] uses their mean"
    )]
    Duplicate {
        /// The row of the second label.
        row: RowPosition,
        /// The picture.
        image: String,
        /// The first label.
        first: f64,
        /// The second label.
        second: f64,
    },
    /// A row does not name its picture.
    #[error("{row} has no `{column}`")]
    Blank {
        /// The row.
        row: RowPosition,
        /// The column that is empty.
        column: String,
    },
    /// No label belongs to a picture.
    #[error("none of its {rows} rows matches a picture: {}{hint}", list(named))]
    NoMatch {
        /// The number of rows in all files.
        rows: u64,
        /// The pictures that the first few rows name.
        named: Vec<String>,
        /// The possible cause, and what the user can do.
        hint: String,
    },
    /// No row has a label.
    #[error("none of its {rows} rows has a label in the column `{column}`")]
    NoLabel {
        /// The number of rows in all files.
        rows: u64,
        /// The column of labels.
        column: String,
    },
    /// The content is invalid for another reason.
    #[error("{0}")]
    Content(String),
}

fn readings_text(readings: &[(String, String)]) -> String {
    let reading = |(encoding, text): &(String, String)| format!("\"{encoding}\" reads `{text}`");
    let readings: Vec<String> = readings.iter().map(reading).collect();
    let which = if readings.is_empty() { String::new() } else { format!(" ({})", readings.join(", ")) };
    format!(": save it as UTF-8, or set its `encoding` in [labels]{which}")
}

/// Joins the first 20 items, so that an error stays readable.
pub(super) fn list<T: ToString>(all: &[T]) -> String {
    let shown: Vec<String> = all.iter().take(20).map(T::to_string).collect();
    let more = if all.len() > shown.len() { ", ..." } else { "" };
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") + more }
}
