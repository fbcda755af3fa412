//! A coordinator without its port: it waits until it leads, continues the runs of the store, and works until another
//! coordinator leads. `serve` gives it a port and ends it; the simulation of a cluster gives it a simulated network.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use dqa_pipelines::causes;
use dqa_pipelines::store::Store;
use dqa_proto::v1::coordinator_service_server::CoordinatorService;
use dqa_proto::v1::worker_service_server::WorkerService;
use tracing::{info, warn};

use super::api::Api;
use super::control_plane::{ControlPlane, ControlPlaneSettings};
use super::election::Election;
use super::leader_gate::LeaderGate;
use super::orphan_collection::collect_forever;
use super::poll_gateway::PollGateway;
use super::run_lifecycle;
use super::run_spawner::RunSpawner;
use super::scheduler::Policy;
use super::session::SessionService;
use super::shard_transport::Transport;
use super::ticker::tick_forever;
use crate::run::Roots;

/// Time between attempts to read the runs of the store at the start.
const RECOVERY_RETRY_EVERY: Duration = Duration::from_secs(2);
/// Time between later checks for runs that another coordinator started.
const RUNS_CHECK_EVERY: Duration = Duration::from_secs(60);

/// Configures a coordinator.
pub struct CoordinatorSettings {
    /// The store of runs, scores and reports.
    pub store: Store,
    /// The coordinator's name among those of its store, the same after a restart.
    pub id: String,
    /// The folders and URLs below which data sets must lie.
    pub roots: Roots,
    /// Fixed part of a shard's deadline, added to the time of its windows on the slowest device of its class.
    pub deadline_base: Duration,
    /// The transport that carries shards to workers.
    pub transport: Transport,
    /// The function that starts the lifecycles of runs.
    pub run_spawner: RunSpawner,
}

/// A coordinator of a store.
pub struct Coordinator {
    pub(super) gate: Arc<LeaderGate>,
    election: Election,
    store: Store,
    roots: Roots,
    policy: Policy,
    transport: Transport,
    run_spawner: RunSpawner,
}

impl Coordinator {
    /// Creates a coordinator that does not lead yet.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn new(settings: CoordinatorSettings) -> anyhow::Result<Coordinator> {
        let CoordinatorSettings { store, id, roots, deadline_base, transport, run_spawner } = settings;
        let mut election = Election::new(store.clone(), id.clone());
        election.probe_store().await.context("cannot find out how the store decides between coordinators")?;
        let policy = Policy { deadline_base, ..Policy::default() };
        let gate = Arc::new(LeaderGate::new(id));
        Ok(Coordinator { gate, election, store, roots, policy, transport, run_spawner })
    }

    /// Returns the service for users. It refuses calls while the coordinator does not lead, as the others do.
    pub fn users(&self) -> impl CoordinatorService + use<> {
        Api(self.gate.clone())
    }

    /// Returns the service for workers.
    pub fn workers(&self) -> impl WorkerService + use<> {
        SessionService(self.gate.clone())
    }

    /// Returns Ballista's service for workers.
    pub fn polls(&self) -> impl SchedulerGrpc + use<> {
        PollGateway(self.gate.clone())
    }

    /// Waits until the coordinator leads, calls `on_leads`, and leads until another coordinator does. Returns its name.
    ///
    /// # Errors
    /// When Ballista does not start.
    pub async fn lead(&mut self, on_leads: impl AsyncFnOnce()) -> anyhow::Result<String> {
        let term = self.election.wait_for_leadership(|leader| self.gate.close(leader)).await;
        let plane = ControlPlane::open(ControlPlaneSettings {
            coordinator_id: self.gate.coordinator_id().to_owned(),
            store: self.store.clone(),
            roots: self.roots.clone(),
            policy: self.policy.clone(),
            term,
            transport: self.transport.clone(),
            run_spawner: self.run_spawner.clone(),
        });
        let plane = plane.await?;
        self.gate.open(plane.clone());
        on_leads().await;
        let leader = tokio::select! {
            leader = self.election.hold_leadership() => leader,
            () = tick_forever(&plane) => "nobody".to_owned(),
            () = continue_stored_runs(&plane) => "nobody".to_owned(),
            () = collect_forever(&plane.store) => "nobody".to_owned(),
        };
        self.gate.close(&leader);
        info!(leader, "another coordinator leads now");
        Ok(leader)
    }

    /// Gives up the leadership, if this coordinator leads, so that another can take over at once.
    pub async fn resign(&mut self) {
        self.election.resign().await;
    }
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
