//! Uploads a model's files to a coordinator, which keeps them in its store for the workers.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqa_pipelines::model_spec::ModelFile;
use dqa_proto::v1::{self, put_model_file_request};
use dqa_service::program::note;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::{Client, status_error};
use dqa_service::wire::model_file_to_wire;

/// Bytes of a file in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Messages that are read from the file before they are sent.
const CHUNKS_AHEAD: usize = 4;

/// Uploads the files that the coordinator's store lacks. Returns the coordinator's protocol version.
pub(in crate::cli) async fn upload_model(client: &mut Client, files: &[(ModelFile, PathBuf)]) -> anyhow::Result<u32> {
    let request =
        v1::FindModelFilesRequest { files: files.iter().map(|(file, _)| model_file_to_wire(file.clone())).collect() };
    let answer = client.find_model_files(request).await.map_err(|status| status_error(&status))?.into_inner();
    let v1::FindModelFilesResponse { missing, protocol_version } = answer;
    for (file, path) in files.iter().filter(|(file, _)| missing.iter().any(|missing| missing.digest == file.digest)) {
        note(format_args!("sending {} ({:.1} MB)", file.name, file.bytes as f64 / 1e6));
        upload(client, file, path).await?;
    }
    Ok(protocol_version)
}

async fn upload(client: &mut Client, file: &ModelFile, path: &Path) -> anyhow::Result<()> {
    let cannot_read = || format!("cannot read {}", path.display());
    let mut source = tokio::fs::File::open(path).await.with_context(cannot_read)?;
    let (sender, messages) = mpsc::channel(CHUNKS_AHEAD);
    let header = put_model_file_request::Content::File(model_file_to_wire(file.clone()));
    let read = async move {
        let message = |content| v1::PutModelFileRequest { content: Some(content) };
        let _ = sender.send(message(header)).await;
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = source.read(&mut chunk).await.with_context(cannot_read)?;
            chunk.truncate(read);
            // When the coordinator takes no more, its answer says why.
            if read == 0 || sender.send(message(put_model_file_request::Content::Data(chunk))).await.is_err() {
                return anyhow::Ok(());
            }
        }
    };
    let (read, put) = tokio::join!(read, client.put_model_file(ReceiverStream::new(messages)));
    put.map_err(|status| status_error(&status))?;
    read
}
