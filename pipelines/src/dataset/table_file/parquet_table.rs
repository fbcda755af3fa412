//! Reads the columns of a Parquet table whose file is not trusted: a small file can hold columns of any length, and its footer
//! can claim anything.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::{COLUMNS_MAX, ROWS_MAX, parquet_footer};
use crate::dataset::label_error::LabelError;

/// Maximum size of the unpacked columns in bytes.
const UNPACKED_BYTES_MAX: usize = 1 << 30;

/// Reads the columns of a file that hold text or numbers, with their names.
///
/// # Errors
/// If the file is not Parquet, or has too many rows or columns, or is too large when it is unpacked.
pub(super) fn read(bytes: Bytes) -> Result<Vec<(String, ArrayRef)>, LabelError> {
    read_within(bytes, UNPACKED_BYTES_MAX)
}

fn read_within(bytes: Bytes, unpacked_max: usize) -> Result<Vec<(String, ArrayRef)>, LabelError> {
    let beyond = |what: String| LabelError::Content(format!("it has {what}"));
    parquet_footer::check(&bytes)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let schema = ArrowReaderMetadata::load(&bytes, options)?.schema().clone();
    if schema.fields().len() > COLUMNS_MAX {
        return Err(beyond(format!("{} columns, and the limit is {COLUMNS_MAX}", schema.fields().len())));
    }
    // A view refers to a text that many rows share, where other arrays hold it once for each row.
    let views = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_data_type(view_type(field))));
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(views.collect::<Vec<_>>())));
    let metadata = ArrowReaderMetadata::load(&bytes, options)?;
    let rows = metadata.metadata().file_metadata().num_rows();
    if !usize::try_from(rows).is_ok_and(|rows| rows <= ROWS_MAX) {
        return Err(beyond(format!("{rows} rows, and the limit is {ROWS_MAX}")));
    }
    let read: Vec<usize> = (0..schema.fields().len()).filter(|index| is_read(schema.field(*index))).collect();
    let mask = ProjectionMask::roots(metadata.parquet_schema(), read.iter().copied());
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata).with_projection(mask).build()?;
    let mut chunks: Vec<Vec<ArrayRef>> = vec![Vec::new(); read.len()];
    let mut left = unpacked_max;
    for batch in reader {
        for (chunks, array) in chunks.iter_mut().zip(batch?.columns()) {
            left = left
                .checked_sub(unpacked_bytes(array))
                .ok_or_else(|| beyond(format!("more than {unpacked_max} bytes when it is unpacked")))?;
            chunks.push(unpack(array)?);
        }
    }
    let joined = read.iter().zip(&chunks).map(|(index, chunks)| {
        let chunks: Vec<&dyn Array> = chunks.iter().map(AsRef::as_ref).collect();
        let name = schema.field(*index).name().clone();
        Ok((
            name,
            if chunks.is_empty() { arrow::array::new_empty_array(&DataType::LargeUtf8) } else { concat(&chunks)? },
        ))
    });
    joined.collect()
}

/// Returns whether a column holds text or numbers. Values of other types have any length, and are never labels.
fn is_read(field: &Field) -> bool {
    let data_type = field.data_type();
    data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Utf8 | DataType::Binary)
}

fn view_type(field: &Field) -> DataType {
    match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    }
}

/// Returns the size of a chunk of a column as [`unpack`] returns it.
fn unpacked_bytes(array: &ArrayRef) -> usize {
    // A view begins with the length of its text, of 32 bits.
    let texts = |views: &[u128]| views.iter().map(|view| *view as u32 as usize + size_of::<i64>()).sum();
    match array.data_type() {
        DataType::Utf8View => texts(array.as_string_view().views()),
        DataType::BinaryView => texts(array.as_binary_view().views()),
        _ => array.get_array_memory_size(),
    }
}

/// Returns a chunk of a column with texts of its own. Joined text may exceed the 2 GiB that 32-bit offsets reach.
fn unpack(array: &ArrayRef) -> Result<ArrayRef, LabelError> {
    let to = match array.data_type() {
        DataType::Utf8View => DataType::LargeUtf8,
        DataType::BinaryView => DataType::LargeBinary,
        _ => return Ok(array.clone()),
    };
    Ok(cast_with_options(array, &to, &CastOptions::default())?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::tables::parquet_file;

    fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        parquet_file::write(&batch.schema(), &[batch], &[]).unwrap()
    }

    #[test]
    fn text_and_numbers_are_read() {
        let texts: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), None, Some("a long text that a view refers to")]));
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 2.5, 3.5]));
        let read = read(file(vec![("image", texts.clone()), ("mos", numbers.clone())])).unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["image", "mos"]);
        assert_eq!(
            read[0].1.as_string::<i64>().iter().collect::<Vec<_>>(),
            texts.as_string::<i32>().iter().collect::<Vec<_>>()
        );
        assert_eq!(&read[1].1, &numbers);
    }

    /// 1,000 rows of one text of 100 kB: 100 MB in a file of a few kilobytes.
    #[test]
    fn a_text_that_all_rows_share_counts_for_each() {
        let values = StringArray::from(vec!["x".repeat(100_000)]);
        let keys = Int32Array::from(vec![0; 1_000]);
        let column: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values)));
        let bytes = file(vec![("image", column)]);
        assert!(bytes.len() < 100_000, "{} bytes", bytes.len());
        assert_eq!(read_within(bytes.clone(), 101_000_000).unwrap()[0].1.len(), 1_000);
        let error = read_within(bytes, 99_000_000).unwrap_err();
        assert!(matches!(&error, LabelError::Content(why) if why.contains("unpacked")), "{error}");
    }
}
