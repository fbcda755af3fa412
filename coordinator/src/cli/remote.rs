//! A coordinator, from the user's side: how it is reached, and its errors as this program's.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::builder::BoolishValueParser;
use dqa_pipelines::model::{ModelFile, ModelSpec};
use dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient;
use dqa_proto::v1::{self, put_model_file_request};
use dqa_service::net::{Caller, MESSAGE_BYTES_MAX, TlsArgs, Token, channel, said};
use dqa_service::program::{note, with_hint};
use tokio::io::AsyncReadExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// Of one message of a file.
const PIECE_BYTES: usize = 1 << 20;

/// A coordinator's services.
pub(super) type Client = CoordinatorServiceClient<InterceptedService<Channel, Caller>>;

/// Where a coordinator is, and who asks.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct RemoteArgs {
    /// A coordinator: http://HOST:PORT or https://HOST:PORT. Without one this program does what is asked itself.
    #[arg(long, env = "DQA_COORDINATOR", value_name = "URL")]
    pub(super) coordinator: Option<String>,

    /// A file with the users' token.
    #[arg(long, env = "DQA_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    tls: TlsArgs,

    /// Send the token unencrypted, on a network that is trusted.
    #[arg(long, env = "DQA_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
}

impl RemoteArgs {
    /// The coordinator, if one is named.
    pub(super) fn client(&self) -> anyhow::Result<Option<Client>> {
        let Some(url) = &self.coordinator else {
            return Ok(None);
        };
        let token = self.token_file.as_deref().map(Token::read).transpose()?;
        let to =
            channel(url, &self.tls.read()?, token.as_ref(), self.insecure).map_err(|error| match error.hint() {
                Some(hint) => with_hint(error.into(), hint),
                None => error.into(),
            })?;
        let client = CoordinatorServiceClient::with_interceptor(to, Caller::new(token.as_ref()));
        Ok(Some(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)))
    }

    /// The coordinator that must be named.
    pub(super) fn required(&self) -> anyhow::Result<Client> {
        let client = self.client()?;
        client
            .ok_or_else(|| with_hint(anyhow!("no coordinator is named"), "give --coordinator URL, or DQA_COORDINATOR"))
    }
}

/// A refusal as an error of this program.
pub(super) fn refusal(status: &Status) -> anyhow::Error {
    let error = anyhow!("{}", said(status));
    let hint = status.metadata().get(dqa_proto::HINT).and_then(|hint| hint.to_str().ok());
    let unreachable = status.code() == tonic::Code::Unavailable && dqa_proto::code(status).is_none();
    let (error, usual) = if unreachable {
        (error.context("the coordinator cannot be reached"), Some("look at its address, and whether it runs"))
    } else if status.code() == tonic::Code::Unauthenticated {
        (error.context("the coordinator does not know this user"), Some("give the users' token with --token-file"))
    } else {
        (error, None)
    };
    match hint.or(usual) {
        Some(hint) => with_hint(error, hint),
        None => error,
    }
}

/// A run that an answer must have.
pub(super) fn given(run: Option<v1::Run>) -> anyhow::Result<v1::Run> {
    run.context("the coordinator's answer has no run in it")
}

/// A class of devices, as a device's flag means it.
pub(super) fn class(device: &str) -> anyhow::Result<v1::DeviceClass> {
    match device.split(':').next() {
        Some("cpu") => Ok(v1::DeviceClass::Cpu),
        Some("cuda") => Ok(v1::DeviceClass::Cuda),
        _ => Err(with_hint(anyhow!("`{device}` is no class of devices"), "--device takes cpu or cuda")),
    }
}

/// The model as it goes over the wire.
pub(super) fn model(spec: &ModelSpec) -> v1::Model {
    v1::Model {
        name: spec.name.clone(),
        prompts_name: spec.prompts_name.clone().unwrap_or_default(),
        weights: spec.weights.iter().map(file).collect(),
        prompts: spec.prompts.as_ref().map(file),
        views: spec.views.clone(),
        dtype: spec.dtype.clone(),
        fingerprint: spec.fingerprint.clone(),
    }
}

fn file(file: &ModelFile) -> v1::ModelFile {
    v1::ModelFile { name: file.name.clone(), digest: file.digest.clone(), bytes: file.bytes }
}

/// Sends those files of a model that the store lacks; which version of the protocol the coordinator speaks.
pub(super) async fn send_model(client: &mut Client, files: &[(ModelFile, PathBuf)]) -> anyhow::Result<u32> {
    let all = v1::FindModelFilesRequest { files: files.iter().map(|(of, _)| file(of)).collect() };
    let answer = client.find_model_files(all).await.map_err(|status| refusal(&status))?.into_inner();
    let v1::FindModelFilesResponse { missing, protocol_version } = answer;
    for (of, path) in files.iter().filter(|(of, _)| missing.iter().any(|missing| missing.digest == of.digest)) {
        note(format_args!("sending {} ({:.1} MB)", of.name, of.bytes as f64 / 1e6));
        let open = tokio::fs::File::open(path).await;
        let mut from = open.with_context(|| format!("cannot read {}", path.display()))?;
        let (out, pieces) = tokio::sync::mpsc::channel(4);
        let first = put_model_file_request::Content::File(file(of));
        let path = path.clone();
        let read = async move {
            let message = |content| v1::PutModelFileRequest { content: Some(content) };
            let _ = out.send(message(first)).await;
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = from.read(&mut piece).await.with_context(|| format!("cannot read {}", path.display()))?;
                piece.truncate(read);
                // The coordinator says why it takes no more.
                if read == 0 || out.send(message(put_model_file_request::Content::Data(piece))).await.is_err() {
                    return Ok::<(), anyhow::Error>(());
                }
            }
        };
        let (read, put) = tokio::join!(read, client.put_model_file(ReceiverStream::new(pieces)));
        put.map_err(|status| refusal(&status))?;
        read?;
    }
    Ok(protocol_version)
}
