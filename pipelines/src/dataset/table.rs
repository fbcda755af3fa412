//! Columns of a file by name: CSV, TSV, Parquet or MATLAB. It knows how to read text and numbers from them, not what
//! they mean.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, LargeStringArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use bytes::Bytes;

use super::error::LabelError;
use super::mat::{self, Value};
use crate::tables::parquet_file;

/// Columns of equal length.
#[derive(Debug)]
pub(super) struct Table(Content);

#[derive(Debug)]
enum Content {
    Columns(Vec<(String, ArrayRef)>),
    /// Values of any shape; which are columns shows when they are asked for.
    Variables(Vec<(String, Value)>),
}

impl Table {
    /// The file is of the kind that its name says.
    pub(super) fn read(file: &str, bytes: Bytes) -> Result<Table, LabelError> {
        let lower = file.to_ascii_lowercase();
        match lower.rsplit_once('.').map(|(_, extension)| extension) {
            Some("csv") => Table::csv(&bytes, b','),
            Some("tsv") => Table::csv(&bytes, b'\t'),
            Some("parquet") => Table::columns(&parquet_file::read(bytes)?),
            Some("mat") => Ok(Table(Content::Variables(mat::read(&bytes)?))),
            _ => Err(LabelError::Kind),
        }
    }

    /// All columns are text until they are asked for as numbers.
    fn csv(bytes: &[u8], delimiter: u8) -> Result<Table, LabelError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // Excel's byte order mark
        let format = arrow::csv::reader::Format::default().with_header(true).with_delimiter(delimiter);
        let (schema, _) = format.infer_schema(bytes, Some(0))?;
        let texts = schema.fields().iter().map(|field| Field::new(field.name().trim(), DataType::Utf8, true));
        let schema = Arc::new(Schema::new(texts.collect::<Vec<_>>()));
        let reader = arrow::csv::ReaderBuilder::new(schema.clone()).with_format(format).build(Cursor::new(bytes))?;
        let mut batches = reader.collect::<Result<Vec<_>, _>>()?;
        if batches.is_empty() {
            batches.push(RecordBatch::new_empty(schema)); // a header alone has columns too
        }
        Table::columns(&batches)
    }

    fn columns(batches: &[RecordBatch]) -> Result<Table, LabelError> {
        let Some(first) = batches.first() else { return Ok(Table(Content::Columns(Vec::new()))) };
        let column = |at: usize, field: &Arc<Field>| {
            // Joined, text may pass the 2 GiB that short offsets reach.
            let long = |array: &ArrayRef| match array.data_type() {
                DataType::Utf8 => cast_with_options(array, &DataType::LargeUtf8, &CastOptions::default()),
                _ => Ok(array.clone()),
            };
            let chunks = batches.iter().map(|batch| long(batch.column(at))).collect::<Result<Vec<_>, _>>()?;
            let chunks: Vec<&dyn Array> = chunks.iter().map(AsRef::as_ref).collect();
            Ok((field.name().clone(), concat(&chunks)?))
        };
        let schema = first.schema();
        let columns = schema.fields().iter().enumerate().map(|(at, field)| column(at, field));
        Ok(Table(Content::Columns(columns.collect::<Result<_, LabelError>>()?)))
    }

    pub(super) fn has(&self, column: &str) -> bool {
        match &self.0 {
            Content::Columns(columns) => columns.iter().any(|(name, _)| name == column),
            Content::Variables(variables) => find(variables, column).is_some(),
        }
    }

    /// A column as text; None where a row has none.
    pub(super) fn texts(&self, column: &str) -> Result<LargeStringArray, LabelError> {
        match &self.0 {
            Content::Columns(columns) => {
                Ok(cast(columns, column, &DataType::LargeUtf8, "text")?.as_string::<i64>().clone())
            }
            Content::Variables(variables) => {
                let values = find(variables, column).ok_or_else(|| self.lacks(column))?;
                texts(&values).map_err(|why| wrong_type(column, "text", why))
            }
        }
    }

    /// A column as numbers; NaN where a row has none.
    pub(super) fn numbers(&self, column: &str) -> Result<Float64Array, LabelError> {
        match &self.0 {
            Content::Columns(columns) => {
                let numbers = cast(columns, column, &DataType::Float64, "numbers")?;
                Ok(numbers.as_primitive::<Float64Type>().iter().map(|number| number.unwrap_or(f64::NAN)).collect())
            }
            Content::Variables(variables) => {
                let values = find(variables, column).ok_or_else(|| self.lacks(column))?;
                numbers(&values).map_err(|why| wrong_type(column, "numbers", why))
            }
        }
    }

    fn lacks(&self, column: &str) -> LabelError {
        LabelError::Column { column: column.to_owned(), has: self.names() }
    }

    /// Of columns; MATLAB's with their fields.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.0 {
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

fn wrong_type(column: &str, wanted: &'static str, why: impl Into<String>) -> LabelError {
    LabelError::Type { column: column.to_owned(), wanted, why: why.into() }
}

fn cast(
    columns: &[(String, ArrayRef)],
    column: &str,
    to: &DataType,
    wanted: &'static str,
) -> Result<ArrayRef, LabelError> {
    let found = columns.iter().find(|(name, _)| name == column);
    let (_, array) = found.ok_or_else(|| LabelError::Column {
        column: column.to_owned(),
        has: columns.iter().map(|(name, _)| name.clone()).collect(),
    })?;
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &strict).map_err(|why| wrong_type(column, wanted, why.to_string()))
}

/// A variable, or `variable.field`: of a struct array the field of each element.
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

/// A char array's rows, or cells of one row each.
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

/// An array's numbers, or cells of one number each.
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
