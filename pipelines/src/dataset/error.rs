//! What keeps a data set from being known: its definition, its place, its labels. A picture that is missing or cannot be
//! read is none of these: the data set is known, and not whole.

use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::layout::LayoutError;
use super::mat::MatError;
use super::members::TarError;
use super::table::RowAt;
use crate::names::{AlgorithmName, DatasetName, NameError};
use crate::store::StoreError;

/// Why there is no data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// Neither the name of a definition nor a path.
    #[error(
        "there is no data set `{text}`: it is neither a definition in {searched} nor a folder nor a file{}",
        near_text(near)
    )]
    Unknown {
        /// As asked for.
        text: String,
        /// Where definitions were looked for.
        searched: String,
        /// Names that are like it.
        near: Vec<String>,
    },
    /// A definition's file that cannot be read.
    #[error("cannot read the definition {path}")]
    Read {
        /// The file.
        path: String,
        /// What the file system said.
        #[source]
        source: std::io::Error,
    },
    /// A definition that is not TOML, or has a key that is unknown or of another type.
    #[error("{path} does not define a data set")]
    Definition {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A definition that contradicts itself.
    #[error("the definition of data set `{name}` does not hold together: {why}")]
    Contradiction {
        /// Which.
        name: DatasetName,
        /// What is wrong.
        why: String,
    },
    /// What stands before `=` and is no name.
    #[error("`{text}` does not give a data set a name, and is no path")]
    Name {
        /// As given.
        text: String,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
    /// A folder that a data set cannot be named after.
    #[error("the folder {address} gives its data set no name; NAME={address} does, or a definition with one")]
    Unnamed {
        /// The folder.
        address: String,
        /// What is wrong with its name.
        #[source]
        source: NameError,
    },
    /// A layout of the definition is none.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The place of pictures or labels failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tar that pictures cannot be read from.
    #[error("cannot take pictures from the tar {address}")]
    Tar {
        /// The tar.
        address: String,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// A bare folder that is laid out in no known way, or in several.
    #[error("cannot tell how {root} is laid out: {why}; write a definition with a layout")]
    Undetected {
        /// The folder.
        root: String,
        /// What was seen.
        why: String,
    },
    /// Nothing there is a picture of the data set.
    #[error("data set `{name}` has no pictures: {seen}")]
    Empty {
        /// Which.
        name: DatasetName,
        /// What is there instead.
        seen: String,
    },
    /// What a path has in an algorithm's place is no name.
    #[error("`{image}` names no algorithm; an alias would: [algorithms] \"{text}\" = \"A-NAME\"")]
    Algorithm {
        /// Whose path it is.
        image: String,
        /// As found.
        text: String,
        /// What is wrong with it.
        #[source]
        source: NameError,
    },
    /// An algorithm that was asked for and that the data set lacks.
    #[error("data set `{dataset}` has no algorithm `{algorithm}`{}", near_or_all(near, all))]
    UnknownAlgorithm {
        /// Where it was looked for.
        dataset: DatasetName,
        /// As asked for.
        algorithm: String,
        /// Names that are like it.
        near: Vec<String>,
        /// All that there are.
        all: Vec<AlgorithmName>,
    },
    /// Labels that cannot be used.
    #[error("cannot take labels from {file}")]
    Labels {
        /// The file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: LabelError,
    },
    /// A list of pictures that cannot be used.
    #[error("cannot take pictures from {file}")]
    Pictures {
        /// The file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: LabelError,
    },
}

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
        row: RowAt,
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
        row: RowAt,
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
        row: RowAt,
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
        row: RowAt,
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
    Twice {
        /// The row of the second.
        row: RowAt,
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
        row: RowAt,
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

fn near_text(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; near to it: {}", near.join(", ")) }
}

fn near_or_all(near: &[String], all: &[AlgorithmName]) -> String {
    if near.is_empty() { format!("; it has {}", list(all)) } else { near_text(near) }
}

fn readings_text(readings: &[(String, String)]) -> String {
    let reading = |(encoding, text): &(String, String)| format!("\"{encoding}\" reads `{text}`");
    let readings: Vec<String> = readings.iter().map(reading).collect();
    let which = if readings.is_empty() { String::new() } else { format!(" ({})", readings.join(", ")) };
    format!(": save it as UTF-8, or say its `encoding` in [labels]{which}")
}

/// The first few, so that an error stays readable.
fn list<T: ToString>(all: &[T]) -> String {
    let shown: Vec<String> = all.iter().take(20).map(T::to_string).collect();
    let more = if all.len() > shown.len() { ", ..." } else { "" };
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") + more }
}

/// A table that is wrong, before it is said which, or anything else.
pub(super) enum Misfit {
    Table(LabelError),
    Other(DatasetError),
}

impl Misfit {
    /// As the error of that file of labels.
    pub(super) fn of_labels(self, file: String) -> DatasetError {
        match self {
            Misfit::Table(source) => DatasetError::Labels { file, source },
            Misfit::Other(error) => error,
        }
    }

    /// As the error of that list of pictures.
    pub(super) fn of_pictures(self, file: String) -> DatasetError {
        match self {
            Misfit::Table(source) => DatasetError::Pictures { file, source },
            Misfit::Other(error) => error,
        }
    }
}

impl From<LabelError> for Misfit {
    fn from(error: LabelError) -> Misfit {
        Misfit::Table(error)
    }
}

impl From<DatasetError> for Misfit {
    fn from(error: DatasetError) -> Misfit {
        Misfit::Other(error)
    }
}

impl From<StoreError> for Misfit {
    fn from(error: StoreError) -> Misfit {
        Misfit::Other(error.into())
    }
}

impl DatasetError {
    /// Whether another try may do better: a store did not answer.
    pub fn may_pass(&self) -> bool {
        matches!(self, DatasetError::Store(error) if error.may_pass())
    }
}
