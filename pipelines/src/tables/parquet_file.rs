//! Parquet as every table here is written: zstd, dictionaries, page statistics, the writer's facts in the footer.

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

use crate::store::{Object, Store};

/// Rows of a group: one group's columns are what a reader holds at once.
const GROUP_ROWS_MAX: usize = 1 << 17;

/// `batches` as one file, with `facts` in its footer.
///
/// # Errors
/// Where a batch has another schema.
pub fn write(schema: &SchemaRef, batches: &[RecordBatch], facts: &[(&str, String)]) -> Result<Bytes, ParquetError> {
    let mut writer = writer(schema, facts, Vec::new())?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?.into())
}

/// A file in the making, for batches that come one by one.
///
/// # Errors
/// Where `to` fails.
pub fn writer<W: Write + Send>(
    schema: &SchemaRef,
    facts: &[(&str, String)],
    to: W,
) -> Result<ArrowWriter<W>, ParquetError> {
    let facts = facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone())).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
        .set_created_by(concat!("dqa ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(facts))
        .build();
    ArrowWriter::try_new(to, schema.clone(), Some(properties))
}

/// All rows of a file.
///
/// # Errors
/// Where it is no Parquet file.
pub fn read(bytes: Bytes) -> Result<Vec<RecordBatch>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    Ok(reader.collect::<Result<_, _>>()?)
}

/// What the writer of a file noted in its footer under this name.
///
/// # Errors
/// Where it is no Parquet file.
pub fn fact(bytes: &Bytes, name: &str) -> Result<Option<String>, ParquetError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(bytes)?;
    let facts = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    Ok(facts.filter(|fact| fact.key == name).find_map(|fact| fact.value.clone()))
}

/// What a reader asks for first, from a file's end: the footer of a part is smaller, so one request has it.
const FOOTER_BYTES: usize = 1 << 16;

/// A file in a store, for a reader that wants some of its columns: it fetches those alone.
pub struct StoredFile {
    place: Store,
    object: Object,
}

impl StoredFile {
    /// A file that a listing shows, or `Store::head`.
    pub fn new(place: Store, object: Object) -> StoredFile {
        StoredFile { place, object }
    }
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        let path = self.place.object_path(&self.object.key);
        async move { Ok(self.place.object_store().get_range(&path, range).await?) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let path = self.place.object_path(&self.object.key);
        async move { Ok(self.place.object_store().get_ranges(&path, &ranges).await?) }.boxed()
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
