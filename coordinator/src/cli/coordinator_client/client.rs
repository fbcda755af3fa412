//! Connects to a coordinator, makes simple calls, and converts its statuses to errors.

use std::error::Error;
use std::path::Path;

use anyhow::{Context, anyhow};
use dqa_proto::v1;
use dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient;
use dqa_service::net::{
    AuthInterceptor, MESSAGE_BYTES_MAX, NamedChannel, TlsArgs, Token, Unreachable, channel, status_text,
};
use dqa_service::program::{with_hint, with_own_hint};
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Status};

/// A client of a coordinator's service for users.
pub(in crate::cli) type Client = CoordinatorServiceClient<InterceptedService<NamedChannel, AuthInterceptor>>;

/// Returns a client of the coordinator at `url`. The connection is made with the first call.
pub(in crate::cli) fn connect(
    url: &str,
    token_file: Option<&Path>,
    tls: &TlsArgs,
    insecure: bool,
) -> anyhow::Result<Client> {
    let token = token_file.map(Token::read).transpose()?;
    let channel = channel(url, &tls.read()?, token.as_ref(), insecure).map_err(with_own_hint)?;
    let channel = NamedChannel::new(url, channel);
    let client = CoordinatorServiceClient::with_interceptor(channel, AuthInterceptor::new(token.as_ref()));
    Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
}

/// Converts the status of a failed call to an error with a hint.
pub(in crate::cli) fn status_error(status: &Status) -> anyhow::Error {
    if let Some(unreachable) = status.source().and_then(|source| source.downcast_ref::<Unreachable>()) {
        let error = anyhow!("cannot reach {}: {}", unreachable.url, unreachable.reason());
        return with_hint(
            error,
            "is `dqa-coord serve` running there? --coordinator or DQA_COORDINATOR gives its address",
        );
    }
    let error = anyhow!("{}", status_text(status));
    let hint = status.metadata().get(dqa_proto::HINT).and_then(|hint| hint.to_str().ok());
    let is_unreachable = status.code() == Code::Unavailable && dqa_proto::code(status).is_none();
    let (error, default_hint) = if is_unreachable {
        (error.context("the coordinator cannot be reached"), Some("check its address, and whether it runs"))
    } else if status.code() == Code::Unauthenticated {
        (error.context("the coordinator does not know this user"), Some("give the users' token with --token-file"))
    } else {
        (error, None)
    };
    match hint.or(default_hint) {
        Some(hint) => with_hint(error, hint),
        None => error,
    }
}

/// Returns the run of an answer, which must have one.
pub(in crate::cli) fn require_run(run: Option<v1::Run>) -> anyhow::Result<v1::Run> {
    run.context("the coordinator's answer lacks the run")
}

/// Fetches a run by its name, the beginning of its name, or an empty text for the run that was used last.
pub(super) async fn get_run(client: &mut Client, name: String) -> anyhow::Result<v1::Run> {
    let answer = client.get_run(v1::GetRunRequest { name }).await.map_err(|status| status_error(&status))?;
    require_run(answer.into_inner().run)
}

/// Lists all runs, oldest first.
pub(in crate::cli) async fn list_runs(client: &mut Client) -> anyhow::Result<Vec<v1::Run>> {
    let answer = client.list_runs(v1::ListRunsRequest {}).await.map_err(|status| status_error(&status))?;
    Ok(answer.into_inner().runs)
}

/// Fetches a report as text.
pub(in crate::cli) async fn get_report(client: &mut Client, request: v1::GetReportRequest) -> anyhow::Result<String> {
    let answer = client.get_report(request).await.map_err(|status| status_error(&status))?;
    Ok(answer.into_inner().text)
}
