//! A worker's life: it opens its port, attends a coordinator, takes orders, and drains when it is told to end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_executor::flight_service::BallistaFlightService;
use dqa_proto::PROTOCOL_VERSION;
use dqa_proto::v1::Hello;
use dqa_service::cluster::tasks;
use dqa_service::program::{host, with_hint};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tonic::Status;
use tonic::service::Routes;
use tracing::{error, info, warn};

use super::node::{Node, ShardExecutor};
use super::poll::Executing;
use super::session::Session;
use super::sweep::sweep;
use dqa_service::net::{
    Caller, Guard, MESSAGE_BYTES_MAX, NetError, Server, Tls, Token, channel, guarded, host_of, said,
};

/// A shard has this long to stop after it was told to, when the worker ends.
const HAND_BACK_MAX: Duration = Duration::from_secs(20);
/// An outcome has this long to reach the coordinator.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a worker is set up.
pub struct Settings {
    /// Coordinators, of which one leads.
    pub coordinators: Vec<String>,
    /// Where the worker listens.
    pub listen: SocketAddr,
    /// How other workers find it, as it stands in a URL.
    pub advertise: Option<String>,
    /// Shards at once on each device.
    pub slots: usize,
    /// Tasks of queries at once.
    pub query_tasks: usize,
    /// The workers' token.
    pub token: Option<Token>,
    /// Certificates.
    pub tls: Tls,
    /// Whether it may be open to a network without token or TLS.
    pub insecure: bool,
    /// Where queries shuffle.
    pub work_dir: PathBuf,
    /// Shards under way have this long to end when the worker is told to.
    pub drain_within: Duration,
    /// The exit code that asks its supervisor to start it again.
    pub restart_code: i32,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to, and owes nothing.
    Drained,
    /// Its device can do no more; another process can.
    Broken,
}

/// Why a worker cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its port, or the way to the coordinator.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The coordinator does not want it.
    #[error("the coordinator refused this worker: {}", said(.0))]
    Refused(Status),
}

/// Runs a worker until it is told to end.
///
/// # Errors
/// Where it cannot listen, or the coordinator does not want it.
pub async fn run(settings: Settings, scorers: Arc<dyn ShardExecutor>) -> anyhow::Result<Ended> {
    let Settings { tls, token, insecure, .. } = &settings;
    let guard = Guard::of(token);
    let server = Server::bind(settings.listen, tls.clone(), token.is_some(), *insecure, guard);
    let server = server.await.map_err(advised)?;
    let address = server.address();
    let channels = settings.coordinators.iter().map(|url| {
        let to = channel(url, tls, token.as_ref(), *insecure)?;
        Ok((url.clone(), to))
    });
    let channels: Vec<_> = channels.collect::<Result<_, NetError>>().map_err(advised)?;
    std::fs::create_dir_all(&settings.work_dir)
        .with_context(|| format!("cannot make the folder {}", settings.work_dir.display()))?;
    let folder = tempfile::Builder::new().prefix("dqa-worker-").tempdir_in(&settings.work_dir);
    let folder = folder.with_context(|| format!("cannot use the folder {}", settings.work_dir.display()))?;
    let work_dir = folder.path().display().to_string();

    let node = Node::new(scorers.clone(), Handle::current());
    node.watch(settings.restart_code);
    let (devices, poll, drain) = (scorers.devices(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slots = settings.slots * devices.len();
    let id = format!("{}-{}-{:08x}", host(), std::process::id(), rand::random::<u32>());
    let attendance = Session {
        node: node.clone(),
        hello: Hello {
            protocol_version: PROTOCOL_VERSION,
            id: id.clone(),
            host: host(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            device: scorers.class().into(),
            devices,
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            query_tasks: u32::try_from(settings.query_tasks).unwrap_or(u32::MAX),
            serves_tls: tls.serves(),
        },
        poll: poll.clone(),
        ready: server.ready(),
        drain: drain.clone(),
    };
    let executing = Executing {
        id: id.clone(),
        host: settings.advertise.clone().unwrap_or_else(|| advertised(address)),
        port: address.port(),
        tasks: tasks(slots, settings.query_tasks),
        work_dir: work_dir.clone(),
        tls: tls.clone(),
        token: token.clone(),
    };
    let flight = FlightServiceServer::new(BallistaFlightService::new(work_dir))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let (_, health) = tonic_health::server::health_reporter();
    let services = Routes::new(guarded(flight, Guard::flight(token.as_ref()).behind(tls))).add_service(health);
    info!(id, %address, slots, devices = ?attendance.hello.devices, "worker starts");

    let to = channels.iter().map(|(_, channel)| channel.clone()).collect();
    tokio::select! {
        served = server.serve(services, std::future::pending()) => {
            served.map_err(advised)?;
            anyhow::bail!("the port was closed")
        }
        refusal = attendance.attend(channels, Caller::new(token.as_ref())) => {
            error!(code = ?refusal.code(), why = said(&refusal), "refused");
            let hint = refusal.metadata().get(dqa_proto::HINT).and_then(|hint| hint.to_str().ok()).map(str::to_owned);
            let error = anyhow::Error::from(RunError::Refused(refusal));
            Err(match hint {
                Some(hint) => with_hint(error, hint),
                None => error,
            })
        }
        ended = executing.run(to, node.clone(), poll) => Err(ended),
        () = sweep(folder.path().to_owned()) => unreachable!("it sweeps for ever"),
        ended = until_ended(&node, &drain, settings.drain_within) => ended,
    }
}

/// Errors with what to do.
pub(crate) fn advised(error: NetError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}

/// Under which name others find a port that is bound here.
fn advertised(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { host() } else { host_of(address.ip()) }
}

/// Until a signal, the coordinator or a broken device ends this worker, and it has told what became of its shards.
async fn until_ended(node: &Arc<Node>, drain: &Notify, within: Duration) -> anyhow::Result<Ended> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let why = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = drain.notified() => "the coordinator",
        () = until(|| node.is_broken()) => "a broken device",
    };
    info!(why, "draining");
    node.drain();
    let is_broken = node.is_broken();
    // What runs beside a broken device's shard may be on another device: it may end too. Slurm sends SIGTERM twice.
    let in_time = tokio::select! {
        () = until(|| !node.is_scoring()) => true,
        () = tokio::time::sleep(within) => false,
        _ = interrupt.recv() => false,
    };
    if !in_time {
        warn!("shards are handed back");
        node.hand_back();
        let _ = tokio::time::timeout(HAND_BACK_MAX, until(|| !node.is_scoring())).await;
    }
    let has_told = || node.is_idle() && node.has_told_of_drain();
    let _ = tokio::time::timeout(ACKNOWLEDGE_MAX, until(has_told)).await;
    info!("worker ends");
    Ok(if is_broken { Ended::Broken } else { Ended::Drained })
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
