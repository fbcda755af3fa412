//! Runs a worker: it opens its port, keeps a session with a coordinator, scores shards, and drains when it is asked to
//! end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_executor::flight_service::BallistaFlightService;
use dqa_proto::PROTOCOL_VERSION;
use dqa_proto::v1::Hello;
use dqa_service::cluster::task_slots;
use dqa_service::net::{
    AuthInterceptor, Guard, MESSAGE_BYTES_MAX, NetError, Server, Tls, Token, channel, format_host, guarded, status_text,
};
use dqa_service::program::{host, with_hint, with_own_hint};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracing::{info, warn};

use super::ballista_executor::BallistaExecutor;
use super::job_files::sweep;
use super::node::{Node, ShardExecutor};
use super::session::Session;

/// Time that a shard has to stop when the worker hands it back.
const HAND_BACK_MAX: Duration = Duration::from_secs(20);
/// Time that an outcome has to reach the coordinator.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(5);
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The configuration of a worker.
pub struct WorkerSettings {
    /// Addresses of the coordinators, one of which leads.
    pub coordinators: Vec<String>,
    /// The address that the worker listens on.
    pub listen: SocketAddr,
    /// The host under which other workers reach it, as written in a URL.
    pub advertise: Option<String>,
    /// Shards at once on each device.
    pub slots: usize,
    /// Query tasks at once.
    pub query_tasks: usize,
    /// The workers' token.
    pub token: Option<Token>,
    /// Certificates.
    pub tls: Tls,
    /// Whether the port may be open to a network without tokens or TLS.
    pub insecure: bool,
    /// The folder in which queries shuffle.
    pub work_dir: PathBuf,
    /// Time that running shards have to finish when the worker is asked to end.
    pub drain_within: Duration,
    /// The exit code that asks the supervisor for a restart.
    pub restart_code: i32,
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to end, and all its shards are finished or handed back.
    Drained,
    /// A device is unusable for this process; another process can use it.
    Broken,
}

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Its port or a channel to a coordinator cannot be opened.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The coordinator refused the worker.
    #[error("the coordinator refused this worker: {}", status_text(.0))]
    Refused(Status),
}

/// Runs a worker until it is asked to end.
///
/// # Errors
/// Fails if the worker cannot listen, or if the coordinator refuses it.
pub async fn run(settings: WorkerSettings, executor: Arc<dyn ShardExecutor>) -> anyhow::Result<ExitReason> {
    let WorkerSettings { tls, token, insecure, .. } = &settings;
    let server = Server::bind(settings.listen, tls.clone(), token.is_some(), *insecure, Guard::new(token));
    let server = server.await.map_err(with_own_hint)?;
    let channels = open_channels(&settings)?;
    let folder = create_folder(&settings.work_dir)?;
    let node = Node::new(executor.clone(), Handle::current());
    node.watch_deadlines(settings.restart_code);
    let (poll, drain) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let hello = hello(&settings, executor.as_ref());
    let address = server.address();
    info!(id = hello.id, %address, slots = hello.slots, devices = ?hello.devices, "worker starts");
    let ballista = BallistaExecutor {
        id: hello.id.clone(),
        host: settings.advertise.clone().unwrap_or_else(|| advertised_host(address)),
        port: address.port(),
        task_slots: task_slots(hello.slots as usize, settings.query_tasks),
        work_dir: folder.path().display().to_string(),
        tls: tls.clone(),
        token: token.clone(),
    };
    let services = services(&settings, &ballista.work_dir);
    let coordinators = channels.iter().map(|(_, channel)| channel.clone()).collect();
    let session =
        Session { node: node.clone(), hello, poll: poll.clone(), ready: server.ready(), drain: drain.clone() };
    tokio::select! {
        served = server.serve(services, std::future::pending()) => {
            served.map_err(with_own_hint)?;
            anyhow::bail!("the port was closed")
        }
        refusal = session.run(channels, AuthInterceptor::new(token.as_ref())) => Err(refused(refusal)),
        ended = ballista.run(coordinators, node.clone(), poll) => Err(ended),
        () = sweep(folder.path().to_owned()) => unreachable!("the sweep does not end"),
        ended = until_ended(&node, &drain, settings.drain_within) => ended,
    }
}

/// Opens a channel to each coordinator, with its address.
fn open_channels(settings: &WorkerSettings) -> anyhow::Result<Vec<(String, Channel)>> {
    let open =
        |url: &String| Ok((url.clone(), channel(url, &settings.tls, settings.token.as_ref(), settings.insecure)?));
    settings.coordinators.iter().map(open).collect::<Result<_, NetError>>().map_err(with_own_hint)
}

/// Creates the temporary folder for shuffled data of queries. Dropping the returned guard deletes it.
fn create_folder(work_dir: &Path) -> anyhow::Result<TempDir> {
    std::fs::create_dir_all(work_dir).with_context(|| format!("cannot create the folder {}", work_dir.display()))?;
    let folder = tempfile::Builder::new().prefix("dqa-worker-").tempdir_in(work_dir);
    folder.with_context(|| format!("cannot use the folder {}", work_dir.display()))
}

/// Returns the first message of a session.
fn hello(settings: &WorkerSettings, executor: &dyn ShardExecutor) -> Hello {
    let devices = executor.devices();
    let slots = settings.slots * devices.len();
    Hello {
        protocol_version: PROTOCOL_VERSION,
        id: format!("{}-{}-{:08x}", host(), std::process::id(), rand::random::<u32>()),
        host: host(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        device: executor.class().into(),
        devices,
        slots: u32::try_from(slots).unwrap_or(u32::MAX),
        query_tasks: u32::try_from(settings.query_tasks).unwrap_or(u32::MAX),
        serves_tls: settings.tls.has_identity(),
    }
}

/// Returns the services of the worker's port: shuffled data, and health.
fn services(settings: &WorkerSettings, work_dir: &str) -> Routes {
    let flight = FlightServiceServer::new(BallistaFlightService::new(work_dir.to_owned()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let guard = Guard::for_flight(settings.token.as_ref()).with_tls(&settings.tls);
    let (_, health) = tonic_health::server::health_reporter();
    Routes::new(guarded(flight, guard)).add_service(health)
}

/// Returns the error of a coordinator's refusal, with the hint that the coordinator sent.
fn refused(refusal: Status) -> anyhow::Error {
    let hint = refusal.metadata().get(dqa_proto::HINT).and_then(|hint| hint.to_str().ok()).map(str::to_owned);
    let token_hint =
        "give the workers' token with --token-file: the one that `dqa-coord serve` has as --worker-token-file";
    let hint = hint.or_else(|| (refusal.code() == Code::Unauthenticated).then(|| token_hint.to_owned()));
    let error = anyhow::Error::from(WorkerError::Refused(refusal));
    match hint {
        Some(hint) => with_hint(error, hint),
        None => error,
    }
}

/// Returns the host under which other machines reach a port of this one.
fn advertised_host(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { host() } else { format_host(address.ip()) }
}

/// Waits until a signal, the coordinator or a broken device ends the worker, then drains it and reports all outcomes.
async fn until_ended(node: &Arc<Node>, drain: &Notify, within: Duration) -> anyhow::Result<ExitReason> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let why = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = drain.notified() => "the coordinator",
        () = wait_until(|| node.is_broken()) => "a broken device",
    };
    info!(why, "draining");
    node.drain();
    let is_broken = node.is_broken();
    // Shards on other devices than the broken one may finish too. A second SIGTERM has no effect, as Slurm sends two; a
    // SIGINT ends the wait.
    let in_time = tokio::select! {
        () = wait_until(|| !node.is_scoring()) => true,
        () = tokio::time::sleep(within) => false,
        _ = interrupt.recv() => false,
    };
    if !in_time {
        warn!("shards are handed back");
        node.hand_back();
        let _ = tokio::time::timeout(HAND_BACK_MAX, wait_until(|| !node.is_scoring())).await;
    }
    let is_acknowledged = || node.is_idle() && node.is_drain_reported();
    let _ = tokio::time::timeout(ACKNOWLEDGE_MAX, wait_until(is_acknowledged)).await;
    info!("worker ends");
    Ok(if is_broken { ExitReason::Broken } else { ExitReason::Drained })
}

async fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(POLL_EVERY).await;
    }
}
