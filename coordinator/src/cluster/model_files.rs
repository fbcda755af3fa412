//! Models' files on their way from users into the store. An object's name is its content's digest; what arrives with
//! another content is refused, and nothing of it stays.

use bytes::Bytes;
use dqa_pipelines::causes;
use dqa_pipelines::model::{ModelFile, ModelSpec};
use dqa_pipelines::store::{Store, StoreError};
use dqa_proto::refused;
use dqa_proto::v1::{PutModelFileRequest, put_model_file_request};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::control_plane::unanswered;
use super::wire;

/// Of one file: CLIP ViT-L/14 has 1.7 GB.
const FILE_BYTES_MAX: u64 = 8 << 30;
/// Of one model.
const FILES_MAX: usize = 256;

/// Refuses what is no model that a worker could fetch.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn check(spec: &ModelSpec) -> Result<(), Status> {
    let wrong = |why: String| refused(Code::InvalidArgument, "bad_model", why);
    for file in spec.files() {
        file.check().map_err(|error| wrong(causes(&error).to_string()))?;
    }
    if spec.files().count() > FILES_MAX {
        return Err(wrong(format!("a model has at most {FILES_MAX} files")));
    }
    let is_digest = spec.fingerprint.len() == 64 && spec.fingerprint.chars().all(|c| c.is_ascii_hexdigit());
    if !is_digest {
        return Err(wrong("the fingerprint is none".to_owned()));
    }
    let in_program = |name: &str| name.starts_with("dqa:");
    if spec.weights.is_empty() && !in_program(&spec.name) {
        return Err(wrong(format!("the model {} comes without files", spec.name)));
    }
    match (&spec.prompts_name, &spec.prompts) {
        (Some(name), None) if !in_program(name) => Err(wrong(format!("the prompts {name} come without their file"))),
        _ => Ok(()),
    }
}

/// Those that the store lacks.
///
/// # Errors
/// Where the store fails.
pub(super) async fn missing(store: &Store, files: Vec<ModelFile>) -> Result<Vec<ModelFile>, StoreError> {
    let mut missing = Vec::new();
    for file in files {
        match store.head(&file.key()).await {
            Ok(object) if object.bytes == file.bytes => {}
            Ok(_) => missing.push(file),
            Err(error) if error.is_not_found() => missing.push(file),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// Writes a file as it arrives. An object appears only when it is whole and its content is what its name says.
///
/// # Errors
/// What is no file, or another one; a store that fails.
pub(super) async fn put(store: &Store, mut pieces: Streaming<PutModelFileRequest>) -> Result<(), Status> {
    let wrong = |why: &str| refused(Code::InvalidArgument, "bad_model_file", why);
    let first = pieces.message().await?.and_then(|message| message.content);
    let Some(put_model_file_request::Content::File(file)) = first else {
        return Err(wrong("a file begins with what it is"));
    };
    let file = wire::file(file);
    file.check().map_err(|error| wrong(&causes(&error).to_string()))?;
    if file.bytes > FILE_BYTES_MAX {
        return Err(wrong("the file is too large for a model's"));
    }
    let key = file.key();
    let (sender, receiver) = mpsc::channel(2);
    let receive = async move {
        let relayed = relay(pieces, &file, &sender).await;
        if let Err(error) = &relayed {
            // Without it the object would be taken for whole.
            let why = causes(error).to_string();
            let _ = sender.send(Err(other(&why))).await;
        }
        relayed
    };
    let (received, written) = tokio::join!(receive, store.put_stream(&key, ReceiverStream::new(receiver)));
    received.map_err(|error| wrong(&causes(&error).to_string()))?;
    written.map_err(|error| unanswered(&error))
}

/// Hands a file's bytes on. The last piece is kept back until the digest is known to be right.
async fn relay(
    mut pieces: Streaming<PutModelFileRequest>,
    file: &ModelFile,
    out: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<()> {
    let mut hasher = blake3::Hasher::new();
    let mut left = file.bytes;
    let mut kept = Bytes::new();
    while let Some(message) = pieces.message().await.map_err(std::io::Error::other)? {
        let Some(put_model_file_request::Content::Data(data)) = message.content else {
            return Err(other("after what a file is come its bytes"));
        };
        left = left.checked_sub(data.len() as u64).ok_or_else(|| other("it is longer than was said"))?;
        hasher.update(&data);
        let before = std::mem::replace(&mut kept, data.into());
        if !before.is_empty() {
            out.send(Ok(before)).await.map_err(|_| other("the store takes no more"))?;
        }
    }
    if left > 0 || hasher.finalize().to_hex().as_str() != file.digest {
        return Err(other("its content is not what its digest says"));
    }
    out.send(Ok(kept)).await.map_err(|_| other("the store takes no more"))
}

fn other(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why.to_owned())
}
