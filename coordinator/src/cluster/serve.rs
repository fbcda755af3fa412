//! Runs a coordinator: it opens its port, waits until it leads, continues the runs of the store, and works until it
//! gets a signal or another coordinator leads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use dqa_pipelines::causes;
use dqa_pipelines::store::Store;
use dqa_proto::v1::DESCRIPTORS;
use dqa_proto::v1::coordinator_service_server::CoordinatorServiceServer;
use dqa_proto::v1::worker_service_server::WorkerServiceServer;
use dqa_service::cluster::ShuffleClient;
use dqa_service::net::{Guard, MESSAGE_BYTES_MAX, Server, Tls, Tokens, guarded, is_loopback};
use dqa_service::program::{host, with_own_hint};
use dqa_service::telemetry::metrics;
use dqa_site::{Access, SignIn, Site};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use super::api::Api;
use super::control_plane::{ControlPlane, ControlPlaneSettings};
use super::election::Election;
use super::leader_gate::LeaderGate;
use super::orphan_collection::collect_forever;
use super::poll_gateway::PollGateway;
use super::run_lifecycle;
use super::scheduler::Policy;
use super::session::SessionService;
use super::site_source::SiteSource;
use super::ticker::tick_forever;
use crate::run::Roots;

/// Time for open calls to finish when the coordinator ends.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);
/// Time between attempts to read the runs of the store at the start.
const RECOVERY_RETRY_EVERY: Duration = Duration::from_secs(2);
/// Time between later checks for runs that another coordinator started.
const RUNS_CHECK_EVERY: Duration = Duration::from_secs(60);

/// Configures a coordinator.
pub struct Settings {
    /// The store of runs, scores and reports.
    pub store: Store,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The coordinator's name among those of its store, the same after a restart. The default is the host name with the
    /// port.
    pub id: Option<String>,
    /// Certificates.
    pub tls: Tls,
    /// The tokens of users and workers.
    pub tokens: Tokens,
    /// Allows listening beyond loopback without TLS or tokens.
    pub insecure: bool,
    /// URLs below which data sets may be. If empty: any remote store, and this machine's files if it listens on
    /// loopback only.
    pub roots: Vec<String>,
    /// Fixed part of a shard's deadline, added to the time of its windows on the slowest device of its class.
    pub deadline_base: Duration,
    /// Called with the address once the coordinator listens.
    pub on_listening: Box<dyn FnOnce(SocketAddr) + Send>,
}

/// Why a coordinator ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It got SIGTERM or SIGINT.
    Signal,
    /// Another coordinator leads. This one must be started again to stand by.
    Superseded,
}

/// What the leader's control plane is opened with, except the term.
struct LeaderSettings {
    store: Store,
    roots: Roots,
    policy: Policy,
    shuffle_client: ShuffleClient,
}

/// Tells users, workers and probes whether this coordinator leads.
struct Leadership {
    gate: Arc<LeaderGate>,
    ready: Arc<AtomicBool>,
    health: HealthReporter,
}

/// Runs a coordinator until it gets a signal, or another coordinator leads.
///
/// # Errors
/// When it cannot listen, or the store does not answer at the start.
pub async fn serve(settings: Settings) -> anyhow::Result<ShutdownReason> {
    let Settings { store, listen, id, tls, tokens, insecure, roots, deadline_base, on_listening } = settings;
    let has_tokens = tokens.users.is_some() && tokens.workers.is_some();
    let metrics_guard = Guard::new(tokens.users.iter().chain(&tokens.workers));
    let server = Server::bind(listen, tls.clone(), has_tokens, insecure, metrics_guard).await.map_err(with_own_hint)?;
    let (address, ready) = (server.address(), server.ready());
    let roots = Roots::new(&roots, is_loopback(address.ip())).context("invalid address in --roots")?;
    let id = id.unwrap_or_else(|| format!("{}-{}", host(), address.port()));
    let mut election = Election::new(store.clone(), id.clone());
    election.probe_store().await.context("cannot find out how the store decides between coordinators")?;
    let gate = Arc::new(LeaderGate::new(id.clone()));
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_not_serving::<CoordinatorServiceServer<Api>>().await;
    let routes = routes(&gate, &tokens, &tls)?.add_service(health_service);
    let server = server.with_pages(pages(&store, &gate, &roots, (&tokens, &tls, address)));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(routes, async {
        let _ = stopped.await;
    }));
    metrics::LEADS.set(0);
    info!(id, %address, store = %store.url(), "coordinator starts");
    on_listening(address);

    let policy = Policy { deadline_base, ..Policy::default() };
    let shuffle_client = ShuffleClient::new(tls.clone(), tokens.workers.as_ref());
    let leader_settings = LeaderSettings { store, roots, policy, shuffle_client };
    let leadership = Leadership { gate, ready, health };
    let ended = tokio::select! {
        ended = lead_until_superseded(leader_settings, &mut election, &leadership) => ended,
        signal = wait_for_signal() => signal,
    };
    leadership.ready.store(false, Relaxed);
    metrics::LEADS.set(0);
    election.resign().await;
    let _ = stop.send(());
    // Workers' streams do not end by themselves. The workers connect to the next coordinator.
    if let Ok(Ok(served)) = tokio::time::timeout(SHUTDOWN_MAX, serving).await {
        served.map_err(with_own_hint)?;
    }
    info!("coordinator ends");
    ended
}

/// Returns the pages of the store and of this coordinator. With a users' token a browser must sign in with it.
fn pages(
    store: &Store,
    gate: &Arc<LeaderGate>,
    roots: &Roots,
    (tokens, tls, address): (&Tokens, &Tls, SocketAddr),
) -> axum::Router {
    let roots = roots.clone();
    let allows = Arc::new(move |uri: &str| roots.check(uri).is_ok());
    let site = Site::new(store.clone(), allows, Some(Arc::new(SiteSource(gate.clone()))));
    let sign_in = tokens.users.clone().map(|token| {
        let key = token.session_key();
        let is_token = move |text: &str| token.matches(Some(&format!("Bearer {text}")));
        SignIn::new(is_token, key, tls.server_config().is_some())
    });
    dqa_site::router(Arc::new(site), Access { sign_in, local_names_only: is_loopback(address.ip()) })
}

async fn wait_for_signal() -> anyhow::Result<ShutdownReason> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let signal = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!(signal, "workers continue what they run and report it to the next coordinator");
    Ok(ShutdownReason::Signal)
}

/// Waits for the leadership, and leads until another coordinator does.
async fn lead_until_superseded(
    settings: LeaderSettings,
    election: &mut Election,
    leadership: &Leadership,
) -> anyhow::Result<ShutdownReason> {
    let Leadership { gate, ready, health } = leadership;
    let term = election.wait_for_leadership(|leader| gate.close(leader)).await;
    let LeaderSettings { store, roots, policy, shuffle_client } = settings;
    let coordinator_id = gate.coordinator_id().to_owned();
    let settings = ControlPlaneSettings { coordinator_id, store, roots, policy, term, shuffle_client };
    let plane = ControlPlane::open(settings).await?;
    gate.open(plane.clone());
    ready.store(true, Relaxed);
    metrics::LEADS.set(1);
    health.set_serving::<CoordinatorServiceServer<Api>>().await;
    let leader = tokio::select! {
        leader = election.hold_leadership() => leader,
        () = tick_forever(&plane) => "nobody".to_owned(),
        () = continue_stored_runs(&plane) => "nobody".to_owned(),
        () = collect_forever(&plane.store) => "nobody".to_owned(),
    };
    gate.close(&leader);
    health.set_not_serving::<CoordinatorServiceServer<Api>>().await;
    warn!(leader, "another coordinator leads now");
    Ok(ShutdownReason::Superseded)
}

/// Continues the active runs of the store, until the future is dropped: a coordinator that led before may have started
/// a run just before its end.
async fn continue_stored_runs(plane: &Arc<ControlPlane>) {
    let mut is_recovering = true;
    loop {
        match run_lifecycle::start_stored_runs(plane).await {
            Ok(()) if is_recovering => {
                is_recovering = false;
                plane.finish_recovery();
            }
            Ok(()) => {}
            Err(error) => warn!(error = %causes(&error), "cannot read the runs of the store"),
        }
        tokio::time::sleep(if is_recovering { RECOVERY_RETRY_EVERY } else { RUNS_CHECK_EVERY }).await;
    }
}

fn routes(gate: &Arc<LeaderGate>, tokens: &Tokens, tls: &Tls) -> anyhow::Result<Routes> {
    let guard = |token| Guard::new(token).with_tls(tls);
    let (users, workers) = (guard(&tokens.users), guard(&tokens.workers));
    let api = CoordinatorServiceServer::new(Api(gate.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let sessions = WorkerServiceServer::new(SessionService(gate.clone())).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let polls = SchedulerGrpcServer::new(PollGateway(gate.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1()
        .context("the protocol's descriptors are invalid")?;
    Ok(Routes::new(guarded(api, users.clone()))
        .add_service(guarded(sessions, workers.clone()))
        .add_service(guarded(polls, workers))
        .add_service(guarded(reflection, users)))
}
