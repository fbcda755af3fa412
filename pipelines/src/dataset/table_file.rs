//! Reads columns by name from text with separators, a workbook, Parquet or MATLAB. This module converts columns to text and
//! numbers, and does not know their meaning. A file's first bytes decide what kind it is.

mod delimited;
pub(super) mod encoding;
mod grid;
pub(super) mod numbers;
mod parquet_footer;
mod parquet_table;
pub(super) mod row_position;
mod table_file_kind;
#[cfg(test)]
mod tests;
mod workbook;
#[cfg(test)]
pub(super) use tests::workbook as workbook_for_tests;

use arrow::array::{ArrayRef, AsArray, Float64Array, LargeStringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type};
use bytes::Bytes;

use self::delimited::Delimited;
use self::grid::CellGrid;
use self::numbers::{Decimal, NumberFormat};
use self::row_position::RowPosition;
use self::table_file_kind::{HEAD_BYTES, TableFileKind};
use super::error::{DatasetError, UnlocatedError};
use super::label_error::LabelError;
use super::load_policy::LoadPolicy;
use super::matlab_file::{self, Value};
use crate::caught_panic::catch_panic;
use crate::store::Store;

/// Maximum size of a table in bytes: millions of rows of text. The whole table is read into memory.
pub(super) const TABLE_BYTES_MAX: u64 = 256 << 20;

/// Maximum number of rows of a table.
pub(super) const ROWS_MAX: usize = 10_000_000;

/// Maximum number of columns of a table.
const COLUMNS_MAX: usize = 10_000;

/// Columns of equal length.
#[derive(Debug)]
pub(super) struct Table {
    content: Content,
    decimal: Option<Decimal>,
}

#[derive(Debug)]
enum Content {
    /// Text below a header.
    Delimited(Delimited),
    Sheet(CellGrid),
    Columns(Vec<(String, ArrayRef)>),
    /// Values of any shape. Whether one is a column shows when it is read.
    Variables(Vec<(String, Value)>),
}

/// What the definition says about the format of a table.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TableFormat<'d> {
    pub(super) encoding: Option<&'d str>,
    pub(super) sheet: Option<&'d str>,
    pub(super) decimal: Option<Decimal>,
}

/// Reads a file that may be a table. The beginning of a large one is checked first.
pub(super) async fn fetch(store: &Store, file: &str) -> Result<Bytes, UnlocatedError> {
    let size = store.head(file).await?.bytes;
    if size > HEAD_BYTES {
        let limit = match table_file_kind::kind(file, &store.get_first(file, HEAD_BYTES).await?)? {
            TableFileKind::Workbook => workbook::WORKBOOK_BYTES_MAX,
            TableFileKind::Mat => matlab_file::FILE_BYTES_MAX,
            TableFileKind::Text | TableFileKind::Parquet => TABLE_BYTES_MAX,
        };
        if size > limit {
            return Err(LabelError::Large { bytes: size, limit }.into());
        }
    }
    // Not more, if the file has grown.
    Ok(store.get_first(file, size).await?)
}

/// Reads the table in a file of a store.
///
/// # Errors
/// If the store fails, or the file is not a table.
pub(super) async fn open(
    store: &Store,
    file: &str,
    form: TableFormat<'_>,
    policy: &LoadPolicy,
) -> Result<Table, UnlocatedError> {
    let bytes = fetch(store, file).await?;
    if policy.is_restricted() {
        let kind = table_file_kind::kind(file, &bytes[..bytes.len().min(HEAD_BYTES as usize)])?;
        if kind == TableFileKind::Workbook && !workbook::is_xlsx(&bytes) {
            let what = "a workbook that a coordinator does not read: save it as .xlsx or CSV";
            return Err(LabelError::NotATable { what }.into());
        }
    }
    Ok(Table::read(file, bytes, form)?)
}

/// Reads the table of labels in a file of a store.
///
/// # Errors
/// The same as [`open`], with the file's address.
pub(super) async fn open_labels(
    store: &Store,
    file: &str,
    form: TableFormat<'_>,
    policy: &LoadPolicy,
) -> Result<Table, DatasetError> {
    open(store, file, form, policy).await.map_err(|misfit| misfit.into_labels_error(store.address(file)))
}

impl Table {
    pub(super) fn read(file: &str, bytes: Bytes, form: TableFormat) -> Result<Table, LabelError> {
        let head = &bytes[..bytes.len().min(HEAD_BYTES as usize)];
        let kind = table_file_kind::kind(file, head)?;
        if let (Some(sheet), false) = (form.sheet, kind == TableFileKind::Workbook) {
            return Err(LabelError::Content(format!("it has no sheet `{sheet}`: it is not a workbook")));
        }
        let decode = || {
            Ok(match kind {
                TableFileKind::Text => Content::Delimited(delimited::read(file, &bytes, form.encoding)?),
                TableFileKind::Workbook => Content::Sheet(workbook::read(bytes, form.sheet)?),
                TableFileKind::Parquet => Content::Columns(parquet_table::read(bytes)?),
                TableFileKind::Mat => Content::Variables(matlab_file::read(&bytes)?),
            })
        };
        // Libraries panic on some files that are damaged.
        let content =
            catch_panic(decode).unwrap_or_else(|panic| Err(LabelError::Content(format!("it is damaged: {panic}"))))?;
        Ok(Table { content, decimal: form.decimal })
    }

    fn grid(&self) -> Option<&CellGrid> {
        match &self.content {
            Content::Delimited(Delimited { grid, .. }) | Content::Sheet(grid) => Some(grid),
            _ => None,
        }
    }

    pub(super) fn has(&self, column: &str) -> bool {
        match &self.content {
            Content::Variables(variables) => find(variables, column).is_some(),
            _ => !self.column_indices(column).is_empty(),
        }
    }

    /// Returns the columns with exactly this name, or else those that differ in case and blanks only.
    fn column_indices(&self, column: &str) -> Vec<usize> {
        let names = self.names();
        let folded = |name: &str| name.trim().to_lowercase();
        let matching = |is: &dyn Fn(&str) -> bool| (0..names.len()).filter(|at| is(&names[*at])).collect::<Vec<_>>();
        let exact = matching(&|name| name.trim() == column.trim());
        if exact.is_empty() { matching(&|name| folded(name) == folded(column)) } else { exact }
    }

    fn column_index(&self, column: &str) -> Result<usize, LabelError> {
        match self.column_indices(column)[..] {
            [index] => Ok(index),
            [] => Err(self.lacks(column)),
            _ => Err(LabelError::Content(format!("more than one of its columns is called `{column}`"))),
        }
    }

    /// Returns a column as text. Null in rows without one.
    pub(super) fn texts(&self, column: &str) -> Result<LargeStringArray, LabelError> {
        match &self.content {
            Content::Delimited(Delimited { grid, .. }) | Content::Sheet(grid) => {
                Ok(grid.columns[self.column_index(column)?].clone())
            }
            Content::Columns(columns) => {
                let array = &columns[self.column_index(column)?].1;
                if array.data_type().is_floating() {
                    // Scene 1 and not 1.0: pandas turns a column of whole numbers with a gap into real ones.
                    let numbers = cast(array, column, &DataType::Float64, "text")?;
                    let numbers = numbers.as_primitive::<Float64Type>();
                    return Ok(numbers.iter().map(|number| number.map(|number| number.to_string())).collect());
                }
                Ok(cast(array, column, &DataType::LargeUtf8, "text")?.as_string::<i64>().clone())
            }
            Content::Variables(variables) => {
                let values = find(variables, column).ok_or_else(|| self.lacks(column))?;
                texts(&values).map_err(|why| wrong_type(column, "text", why))
            }
        }
    }

    /// Returns a column as numbers. NaN in rows without one.
    pub(super) fn numbers(&self, column: &str) -> Result<Float64Array, LabelError> {
        let has_semicolons = matches!(&self.content, Content::Delimited(table) if table.separator == b';');
        let written = NumberFormat { decimal: self.decimal, has_semicolons };
        let read = |texts: &LargeStringArray| numbers::numbers(texts, column, |at| self.row(at), written);
        match &self.content {
            Content::Delimited(Delimited { grid, .. }) | Content::Sheet(grid) => {
                read(&grid.columns[self.column_index(column)?])
            }
            Content::Columns(columns) => {
                let array = &columns[self.column_index(column)?].1;
                let is_text = |data_type: &DataType| {
                    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
                };
                match array.data_type() {
                    DataType::Dictionary(_, values) if is_text(values) => read(&self.texts(column)?),
                    other if is_text(other) => read(&self.texts(column)?),
                    _ => {
                        let numbers = cast(array, column, &DataType::Float64, "numbers")?;
                        let numbers = numbers.as_primitive::<Float64Type>().iter();
                        Ok(numbers.map(|number| number.unwrap_or(f64::NAN)).collect())
                    }
                }
            }
            Content::Variables(variables) => {
                let values = find(variables, column).ok_or_else(|| self.lacks(column))?;
                numbers(&values).map_err(|why| wrong_type(column, "numbers", why))
            }
        }
    }

    /// Returns the position of a row in the file.
    pub(super) fn row(&self, at: usize) -> RowPosition {
        self.grid().map_or(RowPosition { unit: "row", number: at as u64 + 1 }, |grid| grid.row(at))
    }

    /// Returns the number of comment lines below the header.
    pub(super) fn comments(&self) -> u64 {
        match &self.content {
            Content::Delimited(table) => table.comments,
            _ => 0,
        }
    }

    pub(super) fn lacks(&self, column: &str) -> LabelError {
        match self.grid().filter(|grid| grid.has_no_header()) {
            Some(grid) => LabelError::Header { first: grid.header.join(", ") },
            None => LabelError::Column { column: column.to_owned(), has: self.names() },
        }
    }

    /// Returns the names of all columns; those of MATLAB's structs with their fields.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.content {
            Content::Delimited(Delimited { grid, .. }) | Content::Sheet(grid) => grid.header.clone(),
            Content::Columns(columns) => columns.iter().map(|(name, _)| name.clone()).collect(),
            Content::Variables(variables) => {
                let names = variables.iter().flat_map(|(name, value)| match value {
                    Value::Struct(fields) => fields.iter().map(|(field, _)| format!("{name}.{field}")).collect(),
                    _ => vec![name.clone()],
                });
                names.collect()
            }
        }
    }
}

fn wrong_type(column: &str, expected: &'static str, why: impl Into<String>) -> LabelError {
    LabelError::Type { column: column.to_owned(), expected, why: why.into() }
}

fn cast(array: &ArrayRef, column: &str, to: &DataType, expected: &'static str) -> Result<ArrayRef, LabelError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).map_err(|why| wrong_type(column, expected, why.to_string()))
}

/// Finds a variable, or a field `variable.field`, which has a value for each element of a struct array.
fn find<'v>(variables: &'v [(String, Value)], column: &str) -> Option<Vec<&'v Value>> {
    let by_name = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    if let Some(value) = by_name(column) {
        return Some(vec![value]);
    }
    let (variable, field) = column.split_once('.')?;
    match by_name(variable)? {
        Value::Struct(fields) => {
            fields.iter().find(|(known, _)| known == field).map(|(_, values)| values.iter().collect())
        }
        _ => None,
    }
}

/// Reads the rows of a char array, or cells of one row each.
fn texts(values: &[&Value]) -> Result<LargeStringArray, &'static str> {
    let all = match values {
        [Value::Text(rows)] => rows.iter().map(String::as_str).collect::<Vec<_>>(),
        [Value::Cells(cells)] => cells.iter().map(one_text).collect::<Result<_, _>>()?,
        [other] => vec![one_text(other)?],
        several => several.iter().copied().map(one_text).collect::<Result<_, _>>()?,
    };
    Ok(LargeStringArray::from(all))
}

fn one_text(value: &Value) -> Result<&str, &'static str> {
    match value {
        Value::Text(rows) if rows.len() == 1 => Ok(&rows[0]),
        Value::Cells(cells) if cells.len() == 1 => one_text(&cells[0]), // {{'a'}, {'b'}}
        Value::Other(what) => Err(what),
        _ => Err("a cell does not hold one text"),
    }
}

/// Reads the numbers of an array, or cells of one number each.
fn numbers(values: &[&Value]) -> Result<Float64Array, &'static str> {
    let all = match values {
        [Value::Numbers(numbers)] => numbers.clone(),
        [Value::Cells(cells)] => cells.iter().map(one_number).collect::<Result<_, _>>()?,
        several => several.iter().copied().map(one_number).collect::<Result<_, _>>()?,
    };
    Ok(Float64Array::from(all))
}

fn one_number(value: &Value) -> Result<f64, &'static str> {
    match value {
        Value::Numbers(numbers) if numbers.len() == 1 => Ok(numbers[0]),
        Value::Cells(cells) if cells.len() == 1 => one_number(&cells[0]),
        Value::Other(what) => Err(what),
        _ => Err("a cell does not hold one number"),
    }
}
