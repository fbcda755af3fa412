//! Ballista as the backend: each attempt is a job of one task, for the worker that the scheduler chose; each query is a job of
//! many, for all of them. It decides nothing; [`super::task_binder`] says which worker gets which task.
//!
//! For shards Ballista's own retries, placement and cancellation are not relied on: a job that is forgotten is cancelled
//! here, its worker is told through [`super::session`], and the shard's next attempt is another job. A query's tasks are
//! Ballista's to try again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::job_status::Status as JobState;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{self, ExecutorStoppedParams, JobStatus, PollWorkParams, PollWorkResult};
use ballista_core::{JobId, JobStatusSubscriber};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy, WorkAvailableReason};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use dqa_pipelines::causes;
use dqa_proto::refused;
use dqa_worker::cluster::{Codec, ShuffleClient};
use dqa_worker::net::said;
use dqa_worker::shard::operator;
use tonic::{Code, Request, Response, Status};
use tracing::warn;

use super::serve::LeaderGate;
use super::task_binder::{TaskBinder, Workers};

type BallistaScheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Finished jobs are kept this long: their plans hold the shards' text.
const JOBS_KEPT_SECONDS: u64 = 2;

/// Ballista's own idea of when a worker is gone. The scheduler's is sooner; this only lets it forget.
const EXECUTORS_KEPT_SECONDS: u64 = 120;

/// A job whose outcome is known is over at its worker's next poll, if there is one.
const POLL_MAX: Duration = Duration::from_secs(10);

/// Ballista's scheduler, in this process.
#[derive(Clone)]
pub(super) struct BallistaBackend {
    scheduler: BallistaScheduler,
    session: Arc<SessionContext>,
    binder: Arc<TaskBinder>,
    flight: ShuffleClient,
}

impl BallistaBackend {
    /// Starts Ballista's scheduler, which is served by [`BallistaBackend::service`].
    ///
    /// # Errors
    /// Ballista's own.
    pub(super) async fn start(workers: Arc<dyn Workers>, flight: ShuffleClient) -> anyhow::Result<BallistaBackend> {
        let binder = Arc::new(TaskBinder::new(workers));
        let (policy, ready) = (binder.clone(), binder.clone());
        let session_config = self::config(&flight);
        let produced = session_config.clone();
        let config = SchedulerConfig {
            scheduling_policy: TaskSchedulingPolicy::PullStaged,
            task_distribution: TaskDistributionPolicy::Custom(policy),
            finished_job_state_clean_up_interval_seconds: JOBS_KEPT_SECONDS,
            // Not at all: it would ask every worker to remove every job's files. Workers do that by themselves.
            finished_job_data_clean_up_interval_seconds: 0,
            executor_timeout_seconds: EXECUTORS_KEPT_SECONDS,
            no_executors_grace_period_seconds: u64::from(u32::MAX),
            override_physical_codec: Some(Arc::new(Codec::default())),
            override_config_producer: Some(Arc::new(move || produced.clone())),
            // To cancel a task it would call the worker's own port, which is not open.
            override_create_grpc_client_endpoint: Some(Arc::new(|_| Err("workers are not called".into()))),
            on_work_available: Some(Arc::new(move |reason| match reason {
                WorkAvailableReason::JobSubmitted { job_id } => ready.ready(job_id),
                WorkAvailableReason::NewStagesRunnable { job_id } => ready.goes_on(&job_id),
            })),
            ..SchedulerConfig::default()
        };
        let cluster = BallistaCluster::new_from_config(&config).await?;
        let scheduler = create_scheduler(cluster, Arc::new(config)).await?;
        let session = Arc::new(SessionContext::new_with_config(session_config));
        Ok(BallistaBackend { scheduler, session, binder, flight })
    }

    /// Hands an order to Ballista, for this worker.
    ///
    /// # Errors
    /// Ballista's own.
    pub(super) async fn carry(&self, attempt: u64, worker: String, order: String) -> anyhow::Result<()> {
        let plan = operator::plan(order)?;
        let job = self.scheduler.submit_physical_plan("shard", self.session.clone(), plan, None).await?;
        if !self.binder.place(attempt, worker, job.clone()) {
            self.cancel(job).await;
        }
        Ok(())
    }

    /// Nobody waits for this attempt any more.
    pub(super) async fn forget(&self, attempt: u64) {
        if let Some(job) = self.binder.forget(attempt) {
            self.cancel(job).await;
        }
    }

    /// This attempt's outcome is known. Its job ends by itself, unless its worker does not poll again.
    pub(super) async fn ended(&self, attempt: u64) {
        let Some(job) = self.binder.take(attempt) else {
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
            warn!(%job, error = %causes(&error), "a job cannot be cancelled");
        }
    }

    /// Hands a query's plan to Ballista, for whoever has time; what becomes of it is told to `told`.
    ///
    /// # Errors
    /// Ballista's own.
    pub(super) async fn carry_query(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: SessionConfig,
        told: JobStatusSubscriber,
    ) -> anyhow::Result<JobId> {
        let session = Arc::new(SessionContext::new_with_config(config));
        let job = self.scheduler.submit_physical_plan("query", session, plan, Some(told)).await?;
        self.binder.open(job.clone());
        Ok(job)
    }

    /// Nobody waits for this query any more: its tasks are not handed out, its files are removed.
    pub(super) async fn forget_query(&self, job: JobId, has_ended: bool) {
        self.binder.close(&job);
        if has_ended {
            self.scheduler.state.executor_manager.clean_up_job_data(job);
        } else {
            self.cancel(job).await;
        }
    }

    /// A worker is gone: what it has of queries is to be done by others. What it has of shards is for the scheduler to say.
    pub(super) async fn lose(&self, worker: &str) {
        let gone = ExecutorStoppedParams { executor_id: worker.to_owned(), reason: "it is gone".to_owned() };
        if let Err(error) = self.scheduler.executor_stopped(Request::new(gone)).await {
            warn!(worker, error = said(&error), "Ballista does not take note that a worker is gone");
        }
    }

    /// Of queries that are under way.
    pub(super) fn queries(&self) -> usize {
        self.binder.queries()
    }

    /// Tasks of queries that all workers together take at once.
    pub(super) fn query_tasks(&self) -> usize {
        self.binder.workers().offers().iter().map(|(_, offer)| offer.query_tasks).sum()
    }

    /// For sessions whose plans it is to carry. All workers' ports are encrypted, or none is: Ballista knows no more.
    pub(super) fn config(&self) -> SessionConfig {
        let is_tls = self.binder.workers().offers().iter().any(|(_, offer)| offer.serves_tls);
        config(&self.flight).with_ballista_use_tls(is_tls)
    }

    /// The way to what queries have written.
    pub(super) fn flight(&self) -> &ShuffleClient {
        &self.flight
    }

    /// What workers may ask of it: they poll, and nothing else.
    pub(super) fn service(&self) -> PollService {
        PollService { scheduler: self.scheduler.clone(), workers: self.binder.workers().clone() }
    }
}

fn config(flight: &ShuffleClient) -> SessionConfig {
    let config = SessionConfig::new_with_ballista()
        .with_round_robin_repartition(false)
        .set_str("ballista.scheduler.max_partitions_per_task", "1");
    flight.configure(config)
}

/// Ballista's service as workers see it, wherever the lead is.
pub(super) struct PollGateway(pub(super) Arc<LeaderGate>);

/// The same of a coordinator that leads.
pub(super) struct PollService {
    scheduler: BallistaScheduler,
    workers: Arc<dyn Workers>,
}

/// Everything else that Ballista's clients could ask is for this process alone.
macro_rules! refuse {
    ($($method:ident: $request:ident -> $response:ident),+ $(,)?) => {
        #[async_trait]
        impl SchedulerGrpc for PollGateway {
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
