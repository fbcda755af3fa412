//! Runs a coordinator with a port until it gets a signal or another coordinator leads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
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
use tracing::info;

use super::api::Api;
use super::coordinator::{Coordinator, CoordinatorSettings};
use super::leader_gate::LeaderGate;
use super::run_spawner::thread_per_run;
use super::shard_transport::Transport;
use super::site_source::SiteSource;
use crate::run::Roots;

/// Time for open calls to finish when the coordinator ends.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

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

/// Tells users, workers and probes whether this coordinator leads.
struct Leadership {
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
    let settings = CoordinatorSettings {
        store: store.clone(),
        id: id.clone(),
        roots: roots.clone(),
        deadline_base,
        transport: Transport::Ballista(ShuffleClient::new(tls.clone(), tokens.workers.as_ref())),
        run_spawner: thread_per_run(),
    };
    let mut coordinator = Coordinator::new(settings).await?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_not_serving::<CoordinatorServiceServer<Api>>().await;
    let routes = routes(&coordinator, &tokens, &tls)?.add_service(health_service);
    let server = server.with_pages(pages(&store, &coordinator.gate, &roots, (&tokens, &tls, address)));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(routes, async {
        let _ = stopped.await;
    }));
    metrics::LEADS.set(0);
    info!(id, %address, store = %store.url(), "coordinator starts");
    on_listening(address);

    let leadership = Leadership { ready, health };
    let ended = tokio::select! {
        ended = lead_until_superseded(&mut coordinator, &leadership) => ended,
        signal = wait_for_signal() => signal,
    };
    leadership.ready.store(false, Relaxed);
    metrics::LEADS.set(0);
    coordinator.resign().await;
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
    coordinator: &mut Coordinator,
    Leadership { ready, health }: &Leadership,
) -> anyhow::Result<ShutdownReason> {
    let leads = async || {
        ready.store(true, Relaxed);
        metrics::LEADS.set(1);
        health.set_serving::<CoordinatorServiceServer<Api>>().await;
    };
    coordinator.lead(leads).await?;
    health.set_not_serving::<CoordinatorServiceServer<Api>>().await;
    Ok(ShutdownReason::Superseded)
}

fn routes(coordinator: &Coordinator, tokens: &Tokens, tls: &Tls) -> anyhow::Result<Routes> {
    let guard = |token| Guard::new(token).with_tls(tls);
    let (users, workers) = (guard(&tokens.users), guard(&tokens.workers));
    let api = CoordinatorServiceServer::new(coordinator.users())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let sessions = WorkerServiceServer::new(coordinator.workers()).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let polls = SchedulerGrpcServer::new(coordinator.polls())
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
