//! A coordinator's answer to a query: an Arrow IPC stream in pieces, as rows. It holds a piece and a batch.

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

use super::remote::refusal;

/// Why a coordinator's answer broke off, once it has.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<Mutex<Option<Status>>>);

impl Failure {
    fn put(&self, status: Status) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// It, once.
    pub(super) fn take(&self) -> Option<anyhow::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().map(|status| refusal(&status))
    }
}

/// The rows, read as they come.
///
/// # Errors
/// Where the coordinator's answer breaks off before its columns are known.
pub(super) async fn rows(
    pieces: Streaming<v1::QueryResponse>,
    failure: Failure,
) -> anyhow::Result<SendableRecordBatchStream> {
    let mut answer = Answer { pieces, piece: Buffer::from(&[]), decoder: StreamDecoder::new() };
    // The columns come first.
    let mut first = None;
    let schema = loop {
        if let Some(schema) = answer.decoder.schema() {
            break schema;
        }
        first = match answer.step().await {
            Ok(Step::Rows(batch)) => Some(batch),
            Ok(Step::More) => None,
            Ok(Step::End) => bail!("the coordinator's answer has no columns"),
            Err(Broken::Status(status)) => return Err(refusal(&status)),
            Err(Broken::Bytes(error)) => return Err(anyhow::Error::from(error).context("the answer cannot be read")),
        };
    };
    let rest = futures::stream::try_unfold(answer, move |mut answer| {
        let failure = failure.clone();
        async move {
            loop {
                match answer.step().await {
                    Ok(Step::Rows(batch)) => return Ok(Some((batch, answer))),
                    Ok(Step::More) => {}
                    Ok(Step::End) => return Ok(None),
                    Err(Broken::Bytes(error)) => return Err(error.into()),
                    Err(Broken::Status(status)) => {
                        failure.put(status.clone());
                        return Err(DataFusionError::External(status.into()));
                    }
                }
            }
        }
    });
    let rows = futures::stream::iter(first.map(Ok)).chain(rest);
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Rows on their way from a coordinator, as an Arrow IPC stream.
struct Answer {
    pieces: Streaming<v1::QueryResponse>,
    /// What is left of the last one.
    piece: Buffer,
    decoder: StreamDecoder,
}

enum Step {
    Rows(RecordBatch),
    More,
    End,
}

enum Broken {
    Status(Status),
    Bytes(ArrowError),
}

impl Answer {
    async fn step(&mut self) -> Result<Step, Broken> {
        if self.piece.is_empty() {
            match self.pieces.message().await.map_err(Broken::Status)? {
                Some(piece) => self.piece = Buffer::from(piece.data),
                None => return self.decoder.finish().map(|()| Step::End).map_err(Broken::Bytes),
            }
        }
        let decoded = self.decoder.decode(&mut self.piece).map_err(Broken::Bytes)?;
        Ok(decoded.map_or(Step::More, Step::Rows))
    }
}
