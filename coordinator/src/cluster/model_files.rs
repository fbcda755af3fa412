//! Uploads of model files from users into the store. The name of an object is the digest of its content; an upload with
//! another content is refused and leaves nothing in the store. An object that was damaged in the store is asked for again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::model_spec::{ModelFile, ModelSpec};
use dqa_pipelines::store::{Store, StoreError};
use dqa_proto::v1::{PutModelFileRequest, put_model_file_request};
use dqa_service::wire::model_file_from_wire;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::warn;

use super::grpc_status::{from_store_error, invalid, invalid_argument};

/// The largest file of a model. CLIP ViT-L/14 has 1.7 GB.
const FILE_BYTES_MAX: u64 = 8 << 30;
/// The most files of a model.
const FILES_MAX: usize = 256;
/// How long an object counts as whole after it was read: a user who submits several runs does not wait each time.
const VERIFIED_FOR: Duration = Duration::from_secs(3600);

/// The objects that were read lately and have the digests in their names: the version of each, by key.
#[derive(Default)]
pub(super) struct VerifiedFiles(Mutex<HashMap<String, (String, Instant)>>);

impl VerifiedFiles {
    fn contains(&self, key: &str, version: &str) -> bool {
        let files = self.0.lock();
        files.get(key).is_some_and(|(found, since)| found == version && since.elapsed() < VERIFIED_FOR)
    }

    fn insert(&self, key: String, version: String) {
        let mut files = self.0.lock();
        files.retain(|_, (_, since)| since.elapsed() < VERIFIED_FOR);
        files.insert(key, (version, Instant::now()));
    }
}

/// Checks that a worker could fetch a model.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn check_spec(spec: &ModelSpec) -> Result<(), Status> {
    let bad_model = |message: String| invalid_argument("bad_model", message);
    for file in spec.files() {
        file.check().map_err(|error| invalid("bad_model", &error))?;
    }
    if spec.files().count() > FILES_MAX {
        return Err(bad_model(format!("a model has at most {FILES_MAX} files")));
    }
    let is_digest = spec.fingerprint.len() == 64 && spec.fingerprint.chars().all(|c| c.is_ascii_hexdigit());
    if !is_digest {
        return Err(bad_model("invalid fingerprint: expected 64 hexadecimal digits".to_owned()));
    }
    let is_built_in = |name: &str| name.starts_with("dqa:");
    if spec.weights.is_empty() && !is_built_in(&spec.name) {
        return Err(bad_model(format!("the files of model {} are missing", spec.name)));
    }
    match (&spec.prompts_name, &spec.prompts) {
        (Some(name), None) if !is_built_in(name) => Err(bad_model(format!("the file of prompts {name} is missing"))),
        _ => Ok(()),
    }
}

/// Returns the files that the store lacks, or has with another content than their digests say.
///
/// # Errors
/// When the store fails.
pub(super) async fn find_missing(
    store: &Store,
    verified: &VerifiedFiles,
    files: Vec<ModelFile>,
) -> Result<Vec<ModelFile>, StoreError> {
    let mut missing = Vec::new();
    for file in files {
        match is_whole(store, verified, &file).await {
            Ok(true) => {}
            Ok(false) => missing.push(file),
            Err(error) if error.is_not_found() => missing.push(file),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// Returns whether the content of a file's object is the file's. Reads the object if it was not read lately.
async fn is_whole(store: &Store, verified: &VerifiedFiles, file: &ModelFile) -> Result<bool, StoreError> {
    let key = file.key();
    let object = store.head(&key).await?;
    if object.bytes != file.bytes {
        return Ok(false);
    }
    if verified.contains(&key, &object.version) {
        return Ok(true);
    }
    if store.digest(&key).await?.to_hex().as_str() != file.digest {
        warn!(key, "a model's file in the store is damaged; it is replaced when a user sends it again");
        return Ok(false);
    }
    verified.insert(key, object.version);
    Ok(true)
}

/// Writes a file as it arrives. The object appears only when the file is complete and its content has the digest in its
/// name.
///
/// # Errors
/// When the upload is invalid, or the store fails.
pub(super) async fn receive(store: &Store, mut pieces: Streaming<PutModelFileRequest>) -> Result<(), Status> {
    let first = pieces.message().await?.and_then(|message| message.content);
    let Some(put_model_file_request::Content::File(file)) = first else {
        return Err(invalid_argument("bad_model_file", "expected the description of the file as the first message"));
    };
    let file = model_file_from_wire(file);
    file.check().map_err(|error| invalid("bad_model_file", &error))?;
    if file.bytes > FILE_BYTES_MAX {
        let message = format!("a model's file has at most {FILE_BYTES_MAX} bytes");
        return Err(invalid_argument("bad_model_file", message));
    }
    let key = file.key();
    let (sender, receiver) = mpsc::channel(2);
    let relay = async move {
        let relayed = relay_bytes(pieces, &file, &sender).await;
        if let Err(error) = &relayed {
            // Without the error the store would take the end of the stream for the end of the file.
            let message = causes(error).to_string();
            let _ = sender.send(Err(invalid_data(&message))).await;
        }
        relayed
    };
    let (relayed, written) = tokio::join!(relay, store.put_stream(&key, ReceiverStream::new(receiver)));
    relayed.map_err(|error| invalid("bad_model_file", &error))?;
    written.map_err(from_store_error)
}

/// Hands the bytes of a file on. The last piece is kept back until the digest is verified.
async fn relay_bytes(
    mut pieces: Streaming<PutModelFileRequest>,
    file: &ModelFile,
    sender: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<()> {
    let store_closed = |_| invalid_data("the store accepts no more bytes");
    let mut hasher = blake3::Hasher::new();
    let mut bytes_left = file.bytes;
    let mut kept = Bytes::new();
    while let Some(message) = pieces.message().await.map_err(std::io::Error::other)? {
        let Some(put_model_file_request::Content::Data(data)) = message.content else {
            return Err(invalid_data("expected bytes after the description of the file"));
        };
        let length = data.len() as u64;
        bytes_left = bytes_left.checked_sub(length).ok_or_else(|| invalid_data("the file is longer than declared"))?;
        hasher.update(&data);
        let before = std::mem::replace(&mut kept, data.into());
        if !before.is_empty() {
            sender.send(Ok(before)).await.map_err(store_closed)?;
        }
    }
    if bytes_left > 0 || hasher.finalize().to_hex().as_str() != file.digest {
        return Err(invalid_data("the file's content does not match its digest"));
    }
    sender.send(Ok(kept)).await.map_err(store_closed)
}

fn invalid_data(message: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn a_damaged_file_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let verified = VerifiedFiles::default();
        let digest = blake3::hash(b"weights").to_hex().to_string();
        let file = ModelFile { name: "model.safetensors".to_owned(), bytes: 7, digest };
        let missing = || find_missing(&store, &verified, vec![file.clone()]);
        assert_eq!(missing().await.unwrap(), std::slice::from_ref(&file));
        store.put(&file.key(), "w3ights".into()).await.unwrap();
        assert_eq!(missing().await.unwrap(), std::slice::from_ref(&file), "it has the length, and not the content");
        store.put(&file.key(), "weights".into()).await.unwrap();
        assert!(missing().await.unwrap().is_empty());
        assert!(missing().await.unwrap().is_empty(), "it was read lately");
        store.put(&file.key(), "weighty, and damaged after it was read".into()).await.unwrap();
        assert_eq!(missing().await.unwrap(), std::slice::from_ref(&file));
    }
}
