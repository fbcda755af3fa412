//! A coordinator's life: it opens its port, waits until it leads, takes up the runs of the store, and works until it is
//! told to end or another leads.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use dqa_pipelines::causes;
use dqa_pipelines::store::Store;
use dqa_proto::refused;
use dqa_proto::v1::DESCRIPTORS;
use dqa_proto::v1::coordinator_service_server::CoordinatorServiceServer;
use dqa_proto::v1::worker_service_server::WorkerServiceServer;
use dqa_worker::cluster::ShuffleClient;
use dqa_worker::net::{Guard, MESSAGE_BYTES_MAX, NetError, Server, Tls, Tokens, guarded, is_loopback};
use dqa_worker::program::{host, with_hint};
use dqa_worker::telemetry::metrics;
use tokio::signal::unix::{SignalKind, signal};
use tonic::service::Routes;
use tonic::{Code, Status};
use tracing::{info, warn};

use super::api::Api;
use super::ballista_backend::PollService;
use super::control_plane::ControlPlane;
use super::election::Election;
use super::lifecycle;
use super::scheduler::Policy;
use super::session::Attending;
use crate::run::Roots;

/// Calls under way have this long when the coordinator ends.
const END_MAX: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_secs(2);
const TAKE_UP_EVERY: Duration = Duration::from_secs(60);

/// How a coordinator is set up.
pub struct Settings {
    /// Where results are kept.
    pub store: Store,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its name among those of its store: the same after it was started again. None: this machine's, with the port.
    pub id: Option<String>,
    /// Certificates.
    pub tls: Tls,
    /// Users' and workers'.
    pub tokens: Tokens,
    /// Whether it may be open to a network without TLS or tokens.
    pub insecure: bool,
    /// What data sets' addresses begin with; none: beyond loopback, any that is not this machine's.
    pub roots: Vec<String>,
    /// A shard has so long beside what its windows take on the slowest device of its class.
    pub deadline: Duration,
    /// Told where it listens, once it does.
    pub listening: Box<dyn FnOnce(SocketAddr) + Send>,
}

/// What the services see: the control plane of a coordinator that leads, or who does.
pub(super) struct LeaderGate {
    id: String,
    plane: RwLock<Result<Arc<ControlPlane>, String>>,
}

impl LeaderGate {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// # Errors
    /// `Unavailable`, where another leads.
    pub(super) fn plane(&self) -> Result<Arc<ControlPlane>, Status> {
        let plane = self.plane.read().unwrap_or_else(PoisonError::into_inner);
        plane.clone().map_err(|leader| {
            let why = format!("coordinator {} stands by; {leader} leads", self.id);
            refused(Code::Unavailable, "stands_by", why)
        })
    }

    fn set(&self, plane: Result<Arc<ControlPlane>, String>) {
        *self.plane.write().unwrap_or_else(PoisonError::into_inner) = plane;
    }

    pub(super) fn polls(&self) -> Result<PollService, Status> {
        Ok(self.plane()?.backend().service())
    }
}

/// How a coordinator ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// Another has taken the lead: it is to be started again, to stand by.
    Followed,
}

/// Runs a coordinator until it is told to end, or another leads.
///
/// # Errors
/// Where it cannot listen.
pub async fn serve(settings: Settings) -> anyhow::Result<Ended> {
    let Settings { store, listen, id, tls, tokens, insecure, roots, deadline, listening } = settings;
    let advised = |error: NetError| match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    };
    let has_tokens = tokens.users.is_some() && tokens.workers.is_some();
    let metrics_guard = Guard::of(tokens.users.iter().chain(&tokens.workers));
    let server = Server::bind(listen, tls.clone(), has_tokens, insecure, metrics_guard).await.map_err(advised)?;
    let (address, ready) = (server.address(), server.ready());
    let roots = Roots::below(&roots, is_loopback(address.ip())).context("--roots takes addresses")?;
    let id = id.unwrap_or_else(|| format!("{}-{}", host(), address.port()));
    let mut election = Election::new(store.clone(), id.clone());
    election.probe().await.context("cannot find out how the store decides who leads")?;
    let gate = Arc::new(LeaderGate { id: id.clone(), plane: RwLock::new(Err("none".to_owned())) });
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_not_serving::<CoordinatorServiceServer<Api>>().await;
    let services = services(&gate, &tokens, &tls)?.add_service(health_service);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(services, async {
        let _ = stopped.await;
    }));
    metrics::LEADS.set(0);
    info!(id, %address, store = %store.url(), "coordinator starts");
    listening(address);

    let policy = Policy { deadline_min: deadline, ..Policy::default() };
    let flight = ShuffleClient::new(tls.clone(), tokens.workers.as_ref());
    let ended = tokio::select! {
        ended = work(&store, &gate, (roots, policy, flight), &mut election, &ready, &health) => ended,
        signal = told_to_end() => signal,
    };
    ready.store(false, Relaxed);
    metrics::LEADS.set(0);
    election.end().await;
    let _ = stop.send(());
    // Streams to workers do not end by themselves: they find the next coordinator.
    if let Ok(Ok(served)) = tokio::time::timeout(END_MAX, serving).await {
        served.map_err(advised)?;
    }
    info!("coordinator ends");
    ended
}

async fn told_to_end() -> anyhow::Result<Ended> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: workers go on with what they have; the next coordinator hears of it"),
        _ = interrupt.recv() => info!("SIGINT: workers go on with what they have; the next coordinator hears of it"),
    }
    Ok(Ended::Told)
}

/// Waits for the lead, and works until it is lost.
async fn work(
    store: &Store,
    gate: &LeaderGate,
    (roots, policy, flight): (Roots, Policy, ShuffleClient),
    election: &mut Election,
    ready: &std::sync::atomic::AtomicBool,
    health: &tonic_health::server::HealthReporter,
) -> anyhow::Result<Ended> {
    let term = election.wait(|leader| gate.set(Err(leader.to_owned()))).await;
    let plane = ControlPlane::open(gate.id().to_owned(), store.clone(), roots, (policy, term), flight).await?;
    gate.set(Ok(plane.clone()));
    ready.store(true, Relaxed);
    metrics::LEADS.set(1);
    health.set_serving::<CoordinatorServiceServer<Api>>().await;
    let other = tokio::select! {
        other = election.keep() => other,
        () = plane.tick() => "nobody".to_owned(),
        () = take_up(&plane) => "nobody".to_owned(),
    };
    gate.set(Err(other.clone()));
    health.set_not_serving::<CoordinatorServiceServer<Api>>().await;
    warn!(leader = other, "another coordinator leads now");
    Ok(Ended::Followed)
}

/// Goes on with the store's runs that have not ended; again and again, since a coordinator that led before may have taken
/// one up at its end.
async fn take_up(plane: &Arc<ControlPlane>) {
    let mut is_first = true;
    loop {
        match lifecycle::take_up(plane).await {
            Ok(()) if is_first => {
                is_first = false;
                plane.recovered();
            }
            Ok(()) => {}
            Err(error) => warn!(error = %causes(&error), "the store's runs cannot be read"),
        }
        tokio::time::sleep(if is_first { AGAIN } else { TAKE_UP_EVERY }).await;
    }
}

fn services(gate: &Arc<LeaderGate>, tokens: &Tokens, tls: &Tls) -> anyhow::Result<Routes> {
    let guard = |token| Guard::of(token).behind(tls);
    let (users, workers) = (guard(&tokens.users), guard(&tokens.workers));
    let api = CoordinatorServiceServer::new(Api(gate.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let attending = WorkerServiceServer::new(Attending(gate.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let polls = SchedulerGrpcServer::new(super::ballista_backend::PollGateway(gate.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
        .context("the protocol's description is none")?;
    Ok(Routes::new(guarded(api, users.clone()))
        .add_service(guarded(attending, workers.clone()))
        .add_service(guarded(polls, workers))
        .add_service(guarded(reflection, users)))
}
