//! The state of a leading coordinator. Nothing is lost when the process is killed: the store and the workers
//! have all of it.
//!
//! Each part has a lock of its own: the scheduler, the workers' streams, the active runs. [`super::effects`] changes
//! the scheduler and carries out what follows.

use std::sync::Arc;

use dqa_pipelines::run::RecordWriter;
use dqa_pipelines::run_progress::ProgressCounter;
use dqa_pipelines::store::Store;
use dqa_proto::refused;
use tonic::{Code, Status};

use super::ballista_backend::BallistaBackend;
use super::model_files::VerifiedFiles;
use super::run_registry::RunRegistry;
use super::run_spawner::RunSpawner;
use super::scheduler::{Policy, RunId, Scheduler, Tally};
use super::shard_transport::{ShardTransport, Transport};
use super::shared_scheduler::SharedScheduler;
use super::worker_directory::WorkerDirectory;
use super::worker_streams::WorkerStreams;
use crate::run::Roots;

pub(super) struct ControlPlane {
    pub(super) coordinator_id: String,
    pub(super) store: Store,
    /// The term of this leader.
    pub(super) term: u64,
    /// Counts the progress of runs that are not scheduled.
    pub(super) counter: ProgressCounter,
    pub(super) roots: Roots,
    pub(super) verified_files: VerifiedFiles,
    pub(super) scheduler: Arc<SharedScheduler>,
    pub(super) streams: Arc<WorkerStreams>,
    pub(super) runs: RunRegistry,
    pub(super) transport: Arc<dyn ShardTransport>,
    pub(super) run_spawner: RunSpawner,
    /// None if shards do not go through Ballista.
    ballista: Option<BallistaBackend>,
}

/// The parameters of [`ControlPlane::open`].
pub(super) struct ControlPlaneSettings {
    pub(super) coordinator_id: String,
    pub(super) store: Store,
    pub(super) roots: Roots,
    pub(super) policy: Policy,
    /// The term of this leader, which numbers its attempts and is in the records that it writes.
    pub(super) term: u64,
    pub(super) transport: Transport,
    pub(super) run_spawner: RunSpawner,
}

impl ControlPlane {
    /// Opens the control plane, and starts Ballista's scheduler if it carries the shards.
    ///
    /// # Errors
    /// When Ballista's scheduler does not start.
    pub(super) async fn open(settings: ControlPlaneSettings) -> anyhow::Result<Arc<ControlPlane>> {
        let ControlPlaneSettings { coordinator_id, store, roots, policy, term, transport, run_spawner } = settings;
        let scheduler = Arc::new(SharedScheduler::new(Scheduler::new(policy, term)));
        let streams = Arc::new(WorkerStreams::default());
        let (transport, ballista): (Arc<dyn ShardTransport>, _) = match transport {
            Transport::Ballista(shuffle_client) => {
                let directory = WorkerDirectory::new(scheduler.clone(), streams.clone());
                let backend = BallistaBackend::start(Arc::new(directory), shuffle_client).await?;
                (Arc::new(backend.clone()), Some(backend))
            }
            Transport::Direct(transport) => (transport, None),
        };
        Ok(Arc::new(ControlPlane {
            coordinator_id,
            store,
            term,
            counter: ProgressCounter::default(),
            roots,
            verified_files: VerifiedFiles::default(),
            scheduler,
            streams,
            runs: RunRegistry::default(),
            transport,
            run_spawner,
            ballista,
        }))
    }

    /// Returns Ballista's scheduler, which answers workers' polls and queries.
    ///
    /// # Errors
    /// `Unimplemented` if shards do not go through Ballista.
    pub(super) fn ballista(&self) -> Result<&BallistaBackend, Status> {
        self.ballista.as_ref().ok_or_else(|| {
            refused(Code::Unimplemented, "no_ballista", "this coordinator hands out shards without Ballista")
        })
    }

    /// Returns this leader as the writer of records.
    pub(super) fn record_writer(&self) -> RecordWriter {
        RecordWriter::Leader { term: self.term }
    }

    pub(super) fn tally(&self, id: RunId) -> Tally {
        self.scheduler.read(|scheduler, _| scheduler.tally(id))
    }
}
