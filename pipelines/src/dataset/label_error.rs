//! Errors in a table of labels or pictures.

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::matlab_file::MatError;
use super::table::row_position::RowPosition;

/// What is wrong with a table of labels or of pictures.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// Of a kind that no table is read from.
    #[error("it is {what} (what is read: CSV and the like, .xlsx, .xls, .ods, Parquet, MATLAB up to -v7)")]
    NoTable {
        /// What it is, and what to do about it.
        what: &'static str,
    },
    /// Larger than any table.
    #[error("it has {bytes} bytes, and a table of its kind may have {limit}: is it the right file?")]
    Large {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// An encoding that is not known.
    #[error(
        "`{0}` is no encoding that is known; utf-8, utf-16le, gbk, big5, shift_jis, euc-kr and windows-1252 are some"
    )]
    Encoding(String),
    /// Bytes that are not of the encoding.
    #[error("its line {line} is not {encoding}{}", readings_text(readings))]
    NotText {
        /// The first such line, from 1.
        line: u64,
        /// What the file should be.
        encoding: String,
        /// Other encodings, and what the line is in each.
        readings: Vec<(String, String)>,
    },
    /// A row that has more cells than the header.
    #[error("{row} has {cells} cells, and the header {header}")]
    Ragged {
        /// Which row.
        row: RowPosition,
        /// Its cells.
        cells: usize,
        /// The header's.
        header: usize,
    },
    /// Data where the names of columns should be.
    #[error("it has no header: its first row is `{first}`; a row above it must name the columns, as `image,mos`")]
    Header {
        /// The first row.
        first: String,
    },
    /// A workbook that cannot be read.
    #[error("it is no workbook that can be read (.xlsx, .xlsb, .xls, .ods): {0}")]
    Workbook(String),
    /// A sheet that it lacks.
    #[error("it has no sheet `{sheet}`; it has {}", list(has))]
    Sheet {
        /// As asked for.
        sheet: String,
        /// All that there are.
        has: Vec<String>,
    },
    /// A cell that is no number.
    #[error("{row}: `{value}` in the column `{column}` {why}")]
    Value {
        /// Which row.
        row: RowPosition,
        /// Which column.
        column: String,
        /// The cell.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Columns that are more than memory takes.
    #[error("its columns cannot be put together")]
    Arrow(#[from] ArrowError),
    /// Columns that it lacks, with what says which they are.
    #[error("it has no {lacks}; it has {}; {hint}", list(has))]
    Columns {
        /// What it lacks.
        lacks: String,
        /// All that there are.
        has: Vec<String>,
        /// What to do.
        hint: String,
    },
    /// Not Parquet.
    #[error("it is no Parquet file that can be read")]
    Parquet(#[from] ParquetError),
    /// Not MATLAB's.
    #[error("it is no MATLAB file that can be read")]
    Mat(#[from] MatError),
    /// A column that it lacks.
    #[error("it has no column `{column}`; it has {}", list(has))]
    Column {
        /// As asked for.
        column: String,
        /// All that there are.
        has: Vec<String>,
    },
    /// A column that is not what it should be.
    #[error("its column `{column}` is not {wanted}: {why}")]
    Type {
        /// Which.
        column: String,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        why: String,
    },
    /// Columns of unequal length.
    #[error("its columns have {rows} and {other} rows")]
    Lengths {
        /// Of the first.
        rows: usize,
        /// Of another.
        other: usize,
    },
    /// A label beyond what the definition says.
    #[error("{row}: the label {mos} of `{image}` is outside of {low} to {high}")]
    Range {
        /// Which row.
        row: RowPosition,
        /// Whose.
        image: String,
        /// As stored.
        mos: f64,
        /// The least allowed.
        low: f64,
        /// The most allowed.
        high: f64,
    },
    /// A label that is no number to compare with others.
    #[error("{row}: the label {mos} of `{image}` is not finite")]
    Infinite {
        /// Which row.
        row: RowPosition,
        /// Whose.
        image: String,
        /// As stored.
        mos: f64,
    },
    /// Two labels for one picture.
    #[error(
        "{row}: `{image}` has two labels: {first} and {second}; if each row is one person's rating, `repeated = \"mean\"` in \
         [labels] takes their mean"
    )]
    Duplicate {
        /// The row of the second.
        row: RowPosition,
        /// Whose.
        image: String,
        /// One.
        first: f64,
        /// The other.
        second: f64,
    },
    /// A row that does not say which picture it is of.
    #[error("{row} has no `{column}`")]
    Blank {
        /// Which row.
        row: RowPosition,
        /// What it lacks.
        column: String,
    },
    /// Labels of which none is of a picture.
    #[error("none of its {rows} rows is of a picture: {}{hint}", list(named))]
    NoMatch {
        /// Rows of all files.
        rows: u64,
        /// The first few.
        named: Vec<String>,
        /// Why they are not, and what to do.
        hint: String,
    },
    /// Rows without any label.
    #[error("none of its {rows} rows has a label in the column `{column}`")]
    NoLabel {
        /// Rows of all files.
        rows: u64,
        /// The column of labels.
        column: String,
    },
    /// Anything else that is wrong with its content.
    #[error("{0}")]
    Content(String),
}

fn readings_text(readings: &[(String, String)]) -> String {
    let reading = |(encoding, text): &(String, String)| format!("\"{encoding}\" reads `{text}`");
    let readings: Vec<String> = readings.iter().map(reading).collect();
    let which = if readings.is_empty() { String::new() } else { format!(" ({})", readings.join(", ")) };
    format!(": save it as UTF-8, or say its `encoding` in [labels]{which}")
}

/// The first few, so that an error stays readable.
pub(super) fn list<T: ToString>(all: &[T]) -> String {
    let shown: Vec<String> = all.iter().take(20).map(T::to_string).collect();
    let more = if all.len() > shown.len() { ", ..." } else { "" };
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") + more }
}
