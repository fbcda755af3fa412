//! Writes the rows of a query to standard output or to a file.

use std::io::{BufWriter, stdout};

use datafusion::execution::SendableRecordBatchStream;
use dqa_query::output::{self, QueryOutputError};
use dqa_service::program::OutputError;

use super::ResolvedQuery;
use crate::cli::output::PartialFile;

/// Writes rows as they arrive.
pub(super) async fn write_rows(query: &ResolvedQuery<'_>, rows: SendableRecordBatchStream) -> anyhow::Result<()> {
    let format = query.format;
    match &query.args.output {
        None => match output::write_rows(rows, format, BufWriter::new(stdout())).await {
            Err(QueryOutputError::Write(error)) => Err(OutputError::from(error).into()),
            other => Ok(other?),
        },
        Some(path) => {
            let (partial, file) = PartialFile::create(path)?;
            let written = output::write_rows(rows, format, BufWriter::new(file)).await;
            partial.finish(written.map_err(Into::into))
        }
    }
}
