//! Reads a coordinator's answer to a query, an Arrow IPC stream in chunks, as a stream of rows. Holds one chunk and one
//! batch in memory.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::StreamDecoder;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use dqa_proto::v1;
use futures::StreamExt;
use tonic::{Status, Streaming};

use super::client::status_error;

/// The status that ended a coordinator's answer early, if one did.
#[derive(Clone, Default)]
pub(in crate::cli) struct StreamFailure(Arc<Mutex<Option<Status>>>);

impl StreamFailure {
    fn set(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// Takes the failure as an error.
    pub(in crate::cli) fn take(&self) -> Option<anyhow::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(|status| status_error(&status))
    }
}

/// Returns the rows of an answer as they arrive.
///
/// # Errors
/// If the answer breaks off before its columns are known.
pub(in crate::cli) async fn read_rows(
    chunks: Streaming<v1::QueryResponse>,
    failure: StreamFailure,
) -> anyhow::Result<SendableRecordBatchStream> {
    let mut answer = Answer { chunks, chunk: Buffer::from(&[]), decoder: StreamDecoder::new() };
    // The schema comes before the rows.
    let mut first = None;
    let schema = loop {
        if let Some(schema) = answer.decoder.schema() {
            break schema;
        }
        first = match answer.next().await {
            Ok(Step::Batch(batch)) => Some(batch),
            Ok(Step::NeedsMore) => None,
            Ok(Step::End) => bail!("the coordinator's answer has no columns"),
            Err(StreamError::Status(status)) => return Err(status_error(&status)),
            Err(StreamError::Decode(error)) => return Err(anyhow::Error::from(error).context("cannot read the answer")),
        };
    };
    let rest = futures::stream::try_unfold(answer, move |mut answer| {
        let failure = failure.clone();
        async move {
            loop {
                match answer.next().await {
                    Ok(Step::Batch(batch)) => return Ok(Some((batch, answer))),
                    Ok(Step::NeedsMore) => {}
                    Ok(Step::End) => return Ok(None),
                    Err(StreamError::Decode(error)) => return Err(error.into()),
                    Err(StreamError::Status(status)) => {
                        failure.set(status.clone());
                        return Err(DataFusionError::External(status.into()));
                    }
                }
            }
        }
    });
    let rows = futures::stream::iter(first.map(Ok)).chain(rest);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// An answer that is being read.
struct Answer {
    chunks: Streaming<v1::QueryResponse>,
    /// The part of the last chunk that is not decoded yet.
    chunk: Buffer,
    decoder: StreamDecoder,
}

enum Step {
    Batch(RecordBatch),
    NeedsMore,
    End,
}

enum StreamError {
    Status(Status),
    Decode(ArrowError),
}

impl Answer {
    async fn next(&mut self) -> Result<Step, StreamError> {
        if self.chunk.is_empty() {
            match self.chunks.message().await.map_err(StreamError::Status)? {
                Some(chunk) => self.chunk = Buffer::from(chunk.data),
                None => return self.decoder.finish().map(|()| Step::End).map_err(StreamError::Decode),
            }
        }
        let decoded = self.decoder.decode(&mut self.chunk).map_err(StreamError::Decode)?;
        Ok(decoded.map_or(Step::NeedsMore, Step::Batch))
    }
}
