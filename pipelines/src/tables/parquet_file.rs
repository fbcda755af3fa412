//! Parquet files as all tables use them: zstd compression, dictionaries, page statistics, metadata of the writer in the
//! footer.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;

use crate::caught_panic::{CaughtPanic, catch_panic};
use crate::store::{Object, Store};

/// Rows per row group. A reader holds the columns of one row group in memory.
const GROUP_ROWS_MAX: usize = 1 << 17;

/// Returns `batches` as one Parquet file with `metadata` in its footer.
///
/// # Errors
/// A batch has another schema.
pub fn write(schema: &SchemaRef, batches: &[RecordBatch], metadata: &[(&str, String)]) -> Result<Bytes, ParquetError> {
    let mut writer = writer(schema, metadata, Vec::new())?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?.into())
}

/// Returns a writer for batches that arrive one by one.
///
/// # Errors
/// Writing to `output` fails.
pub fn writer<W: Write + Send>(
    schema: &SchemaRef,
    metadata: &[(&str, String)],
    output: W,
) -> Result<ArrowWriter<W>, ParquetError> {
    let entries = metadata.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .set_created_by(concat!("dqa ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(entries))
        .build();
    ArrowWriter::try_new(output, schema.clone(), Some(properties))
}

/// Runs a decoder of a file. The library panics on some files that are damaged: this is an error like others.
///
/// # Errors
/// If the decoder fails or panics.
pub fn decode<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_panic(work).unwrap_or_else(|panic| Err(decoder_panic(&panic)))
}

/// Returns the error of a file on which the decoder panicked.
pub fn decoder_panic(panic: &CaughtPanic) -> ParquetError {
    ParquetError::General(format!("it is damaged: {panic}"))
}

/// Reads all rows of a file.
///
/// # Errors
/// The file is not valid Parquet.
pub fn read(bytes: Bytes) -> Result<Vec<RecordBatch>, ParquetError> {
    decode(|| {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
        Ok(reader.collect::<Result<_, _>>()?)
    })
}

/// Reads a file's footer.
///
/// # Errors
/// The file is not valid Parquet.
pub fn read_footer(bytes: &Bytes) -> Result<ParquetMetaData, ParquetError> {
    decode(|| ParquetMetaDataReader::new().parse_and_finish(bytes))
}

/// Returns the value that the writer stored in the footer under this name.
///
/// # Errors
/// The file is not valid Parquet.
pub fn footer_value(bytes: &Bytes, name: &str) -> Result<Option<String>, ParquetError> {
    let metadata = read_footer(bytes)?;
    let entries = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    Ok(entries.filter(|entry| entry.key == name).find_map(|entry| entry.value.clone()))
}

/// Bytes at the end of a file that a reader requests first: 64 KiB. The footer of a part is smaller, so one request fetches it.
const FOOTER_BYTES: usize = 1 << 16;

/// A file in a store for reading some columns: only their bytes are fetched.
pub struct StoredFile {
    store: Store,
    object: Object,
}

impl StoredFile {
    /// Returns the file of an object from a listing or from `Store::head`.
    pub fn new(store: Store, object: Object) -> StoredFile {
        StoredFile { store, object }
    }
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let path = self.store.object_path(&self.object.key);
        async move { Ok(self.store.object_store().get_range(&path, range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let path = self.store.object_path(&self.object.key);
        async move { Ok(self.store.object_store().get_ranges(&path, &ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let bytes = self.object.bytes;
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            let reader = reader.with_prefetch_hint(Some(FOOTER_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}
