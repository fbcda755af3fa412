//! Ballista as a carrier: each attempt is a job of one task, for the worker that the board chose. It decides nothing.
//!
//! Ballista's own retries, placement and cancellation are not relied on: a job that is forgotten is cancelled here, its
//! worker is told through [`super::attend`], and the shard's next attempt is another job.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::job_status::Status as JobState;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{self, AvailableVcores, JobStatus, PollWorkParams, PollWorkResult};
use ballista_core::serde::scheduler::TaskKey;
use ballista_scheduler::cluster::{BallistaCluster, BoundTask, DistributionPolicy};
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy, WorkAvailableReason};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use ballista_scheduler::state::execution_graph::{TaskDescription, create_task_info};
use ballista_scheduler::state::task_manager::JobInfoCache;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use dqa_proto::refused;
use dqa_worker::cluster::Codec;
use dqa_worker::shard::operator;
use tonic::{Code, Request, Response, Status};
use tracing::warn;

use super::serve::Front;

type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Finished jobs are kept this long: their plans hold the shards' text.
const JOBS_KEPT_SECONDS: u64 = 2;

/// Ballista's own idea of when a worker is gone. The board's is sooner; this only lets it forget.
const EXECUTORS_KEPT_SECONDS: u64 = 120;

/// Who is told that Ballista has a task for a worker, and who it knows.
pub(super) trait Workers: Send + Sync + 'static {
    /// Ballista has a task for this worker.
    fn wake(&self, worker: &str);

    /// Whether this worker has said hello.
    fn knows(&self, worker: &str) -> bool;
}

/// Ballista's scheduler, in this process.
#[derive(Clone)]
pub(super) struct Carrier {
    scheduler: Scheduler,
    session: Arc<SessionContext>,
    places: Arc<Places>,
}

/// Where jobs go.
struct Places {
    jobs: Mutex<Jobs>,
    workers: Arc<dyn Workers>,
}

#[derive(Default)]
struct Jobs {
    /// The job of each attempt that was not forgotten, with its worker.
    of_attempt: HashMap<u64, (JobId, String)>,
    /// Those that are still to be fetched, by worker.
    of_worker: HashMap<String, Vec<JobId>>,
    /// Ready before it was known whose they are.
    ready: HashSet<JobId>,
    worker_of: HashMap<JobId, String>,
    /// Attempts that were given up before they had a job.
    forgotten: HashSet<u64>,
}

/// A job whose outcome is known is over at its worker's next poll, if there is one.
const POLL_MAX: Duration = Duration::from_secs(10);

impl Carrier {
    /// Starts Ballista's scheduler, which is served by [`Carrier::service`].
    ///
    /// # Errors
    /// Ballista's own.
    pub(super) async fn start(workers: Arc<dyn Workers>) -> anyhow::Result<Carrier> {
        let places = Arc::new(Places { jobs: Mutex::default(), workers });
        let (policy, ready) = (places.clone(), places.clone());
        let config = SchedulerConfig {
            scheduling_policy: TaskSchedulingPolicy::PullStaged,
            task_distribution: TaskDistributionPolicy::Custom(policy),
            finished_job_state_clean_up_interval_seconds: JOBS_KEPT_SECONDS,
            // Not at all: it would ask every worker to remove every job's files. Workers do that by themselves.
            finished_job_data_clean_up_interval_seconds: 0,
            executor_timeout_seconds: EXECUTORS_KEPT_SECONDS,
            no_executors_grace_period_seconds: u64::from(u32::MAX),
            override_physical_codec: Some(Arc::new(Codec::default())),
            override_config_producer: Some(Arc::new(config)),
            // To cancel a task it would call the worker's own port, which is not open.
            override_create_grpc_client_endpoint: Some(Arc::new(|_| Err("workers are not called".into()))),
            on_work_available: Some(Arc::new(move |reason| {
                if let WorkAvailableReason::JobSubmitted { job_id } = reason {
                    ready.ready(job_id);
                }
            })),
            ..SchedulerConfig::default()
        };
        let cluster = BallistaCluster::new_from_config(&config).await?;
        let scheduler = create_scheduler(cluster, Arc::new(config)).await?;
        let state = SessionStateBuilder::new().with_config(self::config()).with_default_features().build();
        Ok(Carrier { scheduler, session: Arc::new(SessionContext::new_with_state(state)), places })
    }

    /// Hands an order to Ballista, for this worker.
    ///
    /// # Errors
    /// Ballista's own.
    pub(super) async fn carry(&self, attempt: u64, worker: String, order: String) -> anyhow::Result<()> {
        let plan = operator::plan(order)?;
        let job = self.scheduler.submit_physical_plan("shard", self.session.clone(), plan, None).await?;
        if !self.places.place(attempt, worker, job.clone()) {
            self.cancel(job).await;
        }
        Ok(())
    }

    /// Nobody waits for this attempt any more.
    pub(super) async fn forget(&self, attempt: u64) {
        if let Some(job) = self.places.forget(attempt) {
            self.cancel(job).await;
        }
    }

    /// This attempt's outcome is known. Its job ends by itself, unless its worker does not poll again.
    pub(super) async fn ended(&self, attempt: u64) {
        let Some(job) = self.places.take(attempt) else {
            return;
        };
        tokio::time::sleep(POLL_MAX).await;
        let status = self.scheduler.state.task_manager.get_job_status(&job).await;
        if let Ok(Some(JobStatus { status: Some(JobState::Queued(_) | JobState::Running(_)), .. })) = status {
            self.cancel(job).await;
        }
    }

    async fn cancel(&self, job: JobId) {
        if let Err(error) = self.scheduler.cancel_job(job.clone()).await {
            warn!(%job, %error, "a job cannot be cancelled");
        }
    }

    /// What workers may ask of it: they poll, and nothing else.
    pub(super) fn service(&self) -> PollService {
        PollService { scheduler: self.scheduler.clone(), workers: self.places.workers.clone() }
    }
}

fn config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_round_robin_repartition(false)
        .set_str("ballista.scheduler.max_partitions_per_task", "1")
}

impl Places {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False: nobody waits for it any more.
    fn place(&self, attempt: u64, worker: String, job: JobId) -> bool {
        let mut jobs = self.jobs();
        if jobs.forgotten.remove(&attempt) {
            jobs.ready.remove(&job);
            return false;
        }
        jobs.of_attempt.insert(attempt, (job.clone(), worker.clone()));
        jobs.of_worker.entry(worker.clone()).or_default().push(job.clone());
        let is_ready = jobs.ready.remove(&job);
        jobs.worker_of.insert(job, worker.clone());
        drop(jobs);
        if is_ready {
            self.workers.wake(&worker);
        }
        true
    }

    fn ready(&self, job: JobId) {
        let mut jobs = self.jobs();
        let Some(worker) = jobs.worker_of.get(&job).cloned() else {
            jobs.ready.insert(job);
            return;
        };
        drop(jobs);
        self.workers.wake(&worker);
    }

    /// An attempt's job; one that has none yet will get none.
    fn forget(&self, attempt: u64) -> Option<JobId> {
        let job = self.take(attempt);
        if job.is_none() {
            self.jobs().forgotten.insert(attempt);
        }
        job
    }

    fn take(&self, attempt: u64) -> Option<JobId> {
        let mut jobs = self.jobs();
        let (job, worker) = jobs.of_attempt.remove(&attempt)?;
        jobs.worker_of.remove(&job);
        jobs.ready.remove(&job);
        if let Some(of_worker) = jobs.of_worker.get_mut(&worker) {
            of_worker.retain(|other| *other != job);
            if of_worker.is_empty() {
                jobs.of_worker.remove(&worker);
            }
        }
        Some(job)
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

#[async_trait]
impl DistributionPolicy for Places {
    /// A worker gets the jobs that are placed with it, one a poll: an answer has a most size, and it polls again at once.
    async fn bind_tasks(
        &self,
        budgets: Vec<&mut AvailableVcores>,
        running: Arc<HashMap<JobId, JobInfoCache>>,
    ) -> datafusion::error::Result<Vec<BoundTask>> {
        let mut bound = Vec::new();
        for budget in budgets {
            let placed = self.jobs().of_worker.get(&budget.executor_id).cloned().unwrap_or_default();
            for job in placed {
                let Some(info) = running.get(&job).filter(|_| budget.vcores > 0) else {
                    continue;
                };
                bound.extend(bind(&job, info, budget).await.map(|task| (budget.executor_id.clone(), task)));
                if let Some(of_worker) = self.jobs().of_worker.get_mut(&budget.executor_id) {
                    of_worker.retain(|other| *other != job);
                }
                break;
            }
        }
        Ok(bound)
    }

    fn name(&self) -> &'static str {
        "dqa"
    }
}

/// The next task of a job, for the worker whose budget this is.
async fn bind(job: &JobId, info: &JobInfoCache, budget: &mut AvailableVcores) -> Option<TaskDescription> {
    let mut graph = info.execution_graph.write().await;
    let session_id = graph.session_id().to_owned();
    let stage = graph.fetch_running_stage(&[])?;
    let partitions = stage.pending.next_slice(1);
    let first = *partitions.first()?;
    let task_id = stage.task_infos.len();
    let mut info = create_task_info(budget.executor_id.clone(), task_id);
    info.global_input_partition_ids.clone_from(&partitions);
    info.vcores_consumed = 1;
    stage.task_infos.push(info);
    budget.vcores -= 1;
    Some(TaskDescription {
        session_id,
        key: TaskKey { job_id: job.clone(), stage_id: stage.stage_id, task_id },
        stage_attempt_num: stage.stage_attempt_num,
        task_attempt: stage.task_failure_numbers[first],
        global_input_partition_ids: partitions,
        vcores_consumed: 1,
        plan: stage.plan.clone(),
        session_config: stage.session_config.clone(),
    })
}

/// Ballista's service as workers see it, wherever the lead is.
pub(super) struct Polls(pub(super) Arc<Front>);

/// The same of a coordinator that leads.
pub(super) struct PollService {
    scheduler: Scheduler,
    workers: Arc<dyn Workers>,
}

/// Everything else that Ballista's clients could ask is for this process alone.
macro_rules! refuse {
    ($($method:ident: $request:ident -> $response:ident),+ $(,)?) => {
        #[async_trait]
        impl SchedulerGrpc for Polls {
            type ExecuteQueryPushStream = futures::stream::Empty<Result<protobuf::GetJobStatusResult, Status>>;

            async fn poll_work(&self, request: Request<PollWorkParams>) -> Result<Response<PollWorkResult>, Status> {
                self.0.polls()?.poll(request).await
            }

            async fn execute_query_push(
                &self,
                _: Request<protobuf::ExecuteQueryParams>,
            ) -> Result<Response<Self::ExecuteQueryPushStream>, Status> {
                Err(not_offered())
            }

            $(
                async fn $method(
                    &self,
                    _: Request<protobuf::$request>,
                ) -> Result<Response<protobuf::$response>, Status> {
                    Err(not_offered())
                }
            )+
        }
    };
}

refuse! {
    register_executor: RegisterExecutorParams -> RegisterExecutorResult,
    heart_beat_from_executor: HeartBeatParams -> HeartBeatResult,
    update_task_status: UpdateTaskStatusParams -> UpdateTaskStatusResult,
    create_update_session: CreateUpdateSessionParams -> CreateUpdateSessionResult,
    remove_session: RemoveSessionParams -> RemoveSessionResult,
    execute_query: ExecuteQueryParams -> ExecuteQueryResult,
    get_job_status: GetJobStatusParams -> GetJobStatusResult,
    get_job_metrics: GetJobMetricsParams -> GetJobMetricsResult,
    executor_stopped: ExecutorStoppedParams -> ExecutorStoppedResult,
    cancel_job: CancelJobParams -> CancelJobResult,
    clean_job_data: CleanJobDataParams -> CleanJobDataResult,
}

fn not_offered() -> Status {
    refused(Code::Unimplemented, "not_offered", "a coordinator does not offer this to others")
}

impl PollService {
    async fn poll(&self, request: Request<PollWorkParams>) -> Result<Response<PollWorkResult>, Status> {
        let id = request.get_ref().metadata.as_ref().map(|metadata| metadata.id.as_str()).unwrap_or_default();
        if !self.workers.knows(id) {
            let why = "a worker says hello before it polls";
            return Err(refused(Code::FailedPrecondition, "unknown_worker", why));
        }
        self.scheduler.poll_work(request).await
    }
}
