//! Writes the rows of a query in a format as they arrive. Only a few batches are in memory at a time.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json;
use arrow::util::pretty::pretty_format_batches_with_schema;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::DataFrame;
use futures::TryStreamExt;
use parquet::errors::ParquetError;

use crate::error::DataFusionMessage;
use dqa_pipelines::result_page::TEXT_WIDTH;
use dqa_pipelines::tables::parquet_file;

mod records;

/// Maximum rows of one text table. Column widths are fitted to these rows, and further rows start another table.
const TABLE_ROWS_MAX: usize = 8192;

/// The output format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFormat {
    /// Aligned text for a terminal: a record of lines for each row if the columns do not fit 80 columns.
    Table,
    /// Aligned text, however wide it becomes.
    WideTable,
    /// One JSON object per line, with every column.
    Json,
    /// CSV with a header. NULL is an empty field.
    Csv,
    /// Parquet, as in the store's own tables.
    Parquet,
}

/// Why not all rows could be written.
#[derive(Debug, thiserror::Error)]
pub enum QueryOutputError {
    /// The query failed while it ran.
    #[error("the query failed")]
    Query(#[source] DataFusionMessage),
    /// The format does not support a column's type.
    #[error("the rows cannot be written in this format")]
    Encode(#[source] ArrowError),
    /// The rows could not be encoded as Parquet.
    #[error("the rows cannot be written as Parquet")]
    Parquet(#[source] ParquetError),
    /// Writing to the output failed.
    #[error("cannot write the rows")]
    Write(#[source] io::Error),
}

/// Runs a query and writes its rows.
///
/// # Errors
/// The same as [`write_rows`].
pub async fn write(frame: DataFrame, format: QueryFormat, writer: impl Write + Send) -> Result<(), QueryOutputError> {
    write_rows(frame.execute_stream().await.map_err(query_error)?, format, writer).await
}

/// Writes the rows of a query that any engine runs.
///
/// # Errors
/// The query fails, the format does not support a column's type (lists in CSV), or writing fails.
pub async fn write_rows(
    mut batches: SendableRecordBatchStream,
    format: QueryFormat,
    mut writer: impl Write + Send,
) -> Result<(), QueryOutputError> {
    let schema: SchemaRef = batches.schema();
    if format == QueryFormat::Parquet {
        let mut parquet_writer = parquet_file::writer(&schema, &[], &mut writer).map_err(QueryOutputError::Parquet)?;
        while let Some(batch) = batches.try_next().await.map_err(query_error)? {
            parquet_writer.write(&batch).map_err(QueryOutputError::Parquet)?;
        }
        parquet_writer.close().map_err(QueryOutputError::Parquet)?;
        return writer.flush().map_err(QueryOutputError::Write);
    }
    let mut encoder = TextEncoder { format, schema, pending: Vec::new(), has_output: false, records: 0 };
    while let Some(batch) = batches.try_next().await.map_err(query_error)? {
        let encoded = encoder.encode(batch).map_err(QueryOutputError::Encode)?;
        writer.write_all(&encoded).map_err(QueryOutputError::Write)?;
    }
    let encoded = encoder.finish().map_err(QueryOutputError::Encode)?;
    writer.write_all(&encoded).and_then(|()| writer.flush()).map_err(QueryOutputError::Write)
}

fn query_error(error: DataFusionError) -> QueryOutputError {
    QueryOutputError::Query(error.into())
}

/// Encodes batches as text.
struct TextEncoder {
    format: QueryFormat,
    schema: SchemaRef,
    /// Rows of the next text table.
    pending: Vec<RecordBatch>,
    /// Whether any output was produced.
    has_output: bool,
    /// Rows that were shown as records. Once there are some, all further rows are records too.
    records: usize,
}

impl TextEncoder {
    fn encode(&mut self, batch: RecordBatch) -> Result<Vec<u8>, ArrowError> {
        match self.format {
            QueryFormat::Table | QueryFormat::WideTable => {
                self.pending.push(batch);
                let rows: usize = self.pending.iter().map(RecordBatch::num_rows).sum();
                if rows >= TABLE_ROWS_MAX { self.encode_pending() } else { Ok(Vec::new()) }
            }
            QueryFormat::Csv => {
                let mut encoded = Vec::new();
                csv::WriterBuilder::new().with_header(!self.has_output).build(&mut encoded).write(&batch)?;
                self.has_output = true;
                Ok(encoded)
            }
            QueryFormat::Json => {
                let builder = json::WriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, json::writer::LineDelimited>(Vec::new());
                writer.write(&batch)?;
                Ok(writer.into_inner())
            }
            QueryFormat::Parquet => unreachable!("Parquet is not a text format"),
        }
    }

    /// Returns the remaining rows, or a header if there were no rows.
    fn finish(&mut self) -> Result<Vec<u8>, ArrowError> {
        match self.format {
            QueryFormat::Table | QueryFormat::WideTable if !self.has_output || !self.pending.is_empty() => {
                self.encode_pending()
            }
            QueryFormat::Csv if !self.has_output => self.encode(RecordBatch::new_empty(self.schema.clone())),
            _ => Ok(Vec::new()),
        }
    }

    fn encode_pending(&mut self) -> Result<Vec<u8>, ArrowError> {
        let pending = std::mem::take(&mut self.pending);
        self.has_output = true;
        if self.records == 0 {
            let table = pretty_format_batches_with_schema(self.schema.clone(), &pending)?.to_string();
            let width = table.lines().next().map_or(0, |rule| rule.chars().count());
            if width <= TEXT_WIDTH || self.format == QueryFormat::WideTable {
                return Ok((table + "\n").into());
            }
        }
        let rows: usize = pending.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 && self.records == 0 {
            return Ok(records::format_no_records(&self.schema).into());
        }
        let text = records::format_records(&pending, self.records + 1)?;
        self.records += rows;
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::*;

    async fn written(sql: &str, format: QueryFormat) -> Result<Vec<u8>, QueryOutputError> {
        let context = SessionContext::new_with_config(SessionConfig::new().with_batch_size(1000));
        let mut bytes = Vec::new();
        write(context.sql(sql).await.unwrap(), format, &mut bytes).await?;
        Ok(bytes)
    }

    async fn text(sql: &str, format: QueryFormat) -> String {
        String::from_utf8(written(sql, format).await.unwrap()).unwrap()
    }

    const ROWS: &str =
        "SELECT column1 AS number, column2 AS name FROM VALUES (0.1, 'a,\"b'), (NULL, NULL), (-3e-7, 'é')";

    #[tokio::test]
    async fn rows_are_text_of_three_kinds() {
        assert_eq!(text(ROWS, QueryFormat::Csv).await, "number,name\n0.1,\"a,\"\"b\"\n,\n-3e-7,é\n");
        assert_eq!(
            text(ROWS, QueryFormat::Json).await,
            "{\"number\":0.1,\"name\":\"a,\\\"b\"}\n{\"number\":null,\"name\":null}\n{\"number\":-3.0e-7,\"name\":\"é\"}\n"
        );
        insta::assert_snapshot!("table", text(ROWS, QueryFormat::Table).await);
    }

    #[tokio::test]
    async fn parquet_gives_the_rows_back() {
        let batches = parquet_file::read(written(ROWS, QueryFormat::Parquet).await.unwrap().into()).unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string() + "\n";
        assert_eq!(shown, text(ROWS, QueryFormat::Table).await);
    }

    #[tokio::test]
    async fn no_rows_still_have_a_header() {
        let sql = "SELECT 1 AS one WHERE false";
        assert_eq!(text(sql, QueryFormat::Csv).await, "one\n");
        assert_eq!(text(sql, QueryFormat::Json).await, "");
        assert_eq!(text(sql, QueryFormat::Table).await, "+-----+\n| one |\n+-----+\n+-----+\n");
    }

    #[tokio::test]
    async fn rows_that_do_not_fit_are_records() {
        let long = "x".repeat(90);
        let sql = format!("SELECT * FROM VALUES (1, 'short', '{long}'), (2, NULL, 'b')");
        let found = text(&sql, QueryFormat::Table).await;
        let cut = "x".repeat(68);
        assert_eq!(
            found,
            format!(
                "row 1\n  column1  1\n  column2  short\n  column3  {cut}…\n\n\
                 row 2\n  column1  2\n  column2\n  column3  b\n"
            )
        );
        assert!(text(&sql, QueryFormat::WideTable).await.contains(&format!("| {long} |")));
        assert!(text(&sql, QueryFormat::Csv).await.contains(&long));
        let names: Vec<String> = (0..20).map(|index| format!("1 AS column_{index}")).collect();
        let none = text(&format!("SELECT {} WHERE false", names.join(", ")), QueryFormat::Table).await;
        assert!(none.starts_with("no rows with the columns column_0, column_1,"), "{none}");
        assert!(none.lines().all(|line| line.len() <= TEXT_WIDTH), "{none}");
    }

    #[tokio::test]
    async fn many_rows_are_written_as_they_come() {
        let sql = "SELECT * FROM generate_series(1, 20000)";
        assert_eq!(text(sql, QueryFormat::Csv).await.lines().count(), 20_001);
        // Three tables, each with three rules and a header.
        assert_eq!(text(sql, QueryFormat::Table).await.lines().count(), 20_000 + 3 * 4);
    }

    #[tokio::test]
    async fn what_fails_on_the_way_is_told_apart() {
        let fails = "SELECT 1 / (value - 5000) FROM generate_series(1, 9000)";
        assert!(matches!(written(fails, QueryFormat::Json).await.unwrap_err(), QueryOutputError::Query(_)));
        assert!(matches!(written("SELECT [1, 2]", QueryFormat::Csv).await.unwrap_err(), QueryOutputError::Encode(_)));
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let frame = SessionContext::new().sql("SELECT 1").await.unwrap();
        assert!(matches!(write(frame, QueryFormat::Csv, Closed).await.unwrap_err(), QueryOutputError::Write(_)));
    }
}
