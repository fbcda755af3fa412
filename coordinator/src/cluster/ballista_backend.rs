//! Ballista's scheduler in this process. Each attempt at a shard is a job of one task, for the worker that our
//! scheduler chose; each query is a job of many tasks, for all workers. [`super::task_binder`] decides which worker
//! gets which task.
//!
//! Shards do not rely on Ballista's retries, placement and cancellation: an attempt that is given up is cancelled here,
//! its worker is notified through [`super::session`], and the next attempt is another job. Query tasks are retried by
//! Ballista.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::job_status::Status as JobState;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{ExecutorStoppedParams, JobStatus, PollWorkParams, PollWorkResult};
use ballista_core::{JobId, JobStatusSubscriber};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy, WorkAvailableReason};
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use dqa_engine::shard::operator;
use dqa_pipelines::causes;
use dqa_proto::refused;
use dqa_service::cluster::{Codec, ShuffleClient};
use dqa_service::net::status_text;
use tonic::{Code, Request, Response, Status};
use tracing::warn;

use super::shard_transport::ShardTransport;
use super::task_binder::TaskBinder;
use super::worker_directory::WorkerDirectory;

type BallistaScheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Finished jobs are kept for this long: their plans hold the text of the shards.
const JOBS_KEPT_SECONDS: u64 = 2;

/// Ballista forgets a silent worker after this time. Our scheduler loses it sooner.
const EXECUTORS_KEPT_SECONDS: u64 = 120;

/// Memory of all queries together whose rows this process computes: those for names of tables and columns.
const QUERY_MEMORY_BYTES: usize = 256 << 20;

/// The job of a finished attempt ends with the next poll of its worker, normally within this time.
const NEXT_POLL_MAX: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct BallistaBackend {
    scheduler: BallistaScheduler,
    session: Arc<SessionContext>,
    binder: Arc<TaskBinder>,
    workers: Arc<WorkerDirectory>,
    shuffle_client: ShuffleClient,
    query_memory: Arc<dyn MemoryPool>,
}

impl BallistaBackend {
    /// Starts Ballista's scheduler.
    ///
    /// # Errors
    /// When Ballista does not start.
    pub(super) async fn start(
        workers: Arc<WorkerDirectory>,
        shuffle_client: ShuffleClient,
    ) -> anyhow::Result<BallistaBackend> {
        let binder = Arc::new(TaskBinder::new(workers.clone()));
        let session_config = session_config(&shuffle_client);
        let config = scheduler_config(&binder, session_config.clone());
        let cluster = BallistaCluster::new_from_config(&config).await?;
        let scheduler = create_scheduler(cluster, Arc::new(config)).await?;
        let session = Arc::new(SessionContext::new_with_config(session_config));
        let query_memory = Arc::new(GreedyMemoryPool::new(QUERY_MEMORY_BYTES));
        Ok(BallistaBackend { scheduler, session, binder, workers, shuffle_client, query_memory })
    }

    async fn cancel_job(&self, job: JobId) {
        if let Err(error) = self.scheduler.cancel_job(job.clone()).await {
            warn!(%job, error = %causes(&error), "cannot cancel a Ballista job");
        }
    }

    /// Submits a query's plan for all workers. Ballista sends the job's status changes to `subscriber`.
    ///
    /// # Errors
    /// When Ballista does not accept the job.
    pub(super) async fn submit_query(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: SessionConfig,
        subscriber: JobStatusSubscriber,
    ) -> anyhow::Result<JobId> {
        let session = Arc::new(SessionContext::new_with_config(config));
        let job = self.scheduler.submit_physical_plan("query", session, plan, Some(subscriber)).await?;
        self.binder.open_query(job.clone());
        Ok(job)
    }

    /// Closes a query: no more of its tasks are bound. Its files are removed if it has ended; otherwise it is
    /// cancelled.
    pub(super) async fn close_query(&self, job: JobId, has_ended: bool) {
        self.binder.close_query(&job);
        if has_ended {
            self.scheduler.state.executor_manager.clean_up_job_data(job);
        } else {
            self.cancel_job(job).await;
        }
    }

    /// Answers the poll of a registered worker.
    ///
    /// # Errors
    /// `FailedPrecondition` for an unknown worker; errors of Ballista.
    pub(super) async fn poll(&self, mut request: Request<PollWorkParams>) -> Result<Response<PollWorkResult>, Status> {
        let id = request.get_ref().metadata.as_ref().map(|metadata| metadata.id.as_str()).unwrap_or_default();
        if !self.workers.is_registered(id) {
            let message = "a worker must register before it polls";
            return Err(refused(Code::FailedPrecondition, "unknown_worker", message));
        }
        let statuses = std::mem::take(&mut request.get_mut().task_status);
        for status in statuses {
            // Tasks of a job that was cancelled end later. Ballista, which has forgotten the job, logs each as an error.
            if self.is_unfinished(&status.job_id.clone().into()).await {
                request.get_mut().task_status.push(status);
            }
        }
        self.scheduler.poll_work(request).await
    }

    async fn is_unfinished(&self, job: &JobId) -> bool {
        let status = self.scheduler.state.task_manager.get_job_status(job).await;
        matches!(status, Ok(Some(JobStatus { status: Some(JobState::Queued(_) | JobState::Running(_)), .. })))
    }

    /// Returns the number of open queries.
    pub(super) fn open_queries(&self) -> usize {
        self.binder.open_queries()
    }

    /// Returns the number of query tasks that all workers together can run at once.
    pub(super) fn query_capacity(&self) -> usize {
        self.workers.capacities().iter().map(|(_, capacity)| capacity.query_tasks).sum()
    }

    /// Returns the configuration of a session for queries. Ballista takes the ports of all workers, or of none, as
    /// encrypted.
    pub(super) fn query_config(&self) -> SessionConfig {
        let is_tls = self.workers.capacities().iter().any(|(_, capacity)| capacity.serves_tls);
        session_config(&self.shuffle_client).with_ballista_use_tls(is_tls)
    }

    /// Returns the memory of queries whose rows this process computes.
    pub(super) fn query_memory(&self) -> Arc<dyn MemoryPool> {
        self.query_memory.clone()
    }

    /// Returns the client that reads query results from workers.
    pub(super) fn shuffle_client(&self) -> &ShuffleClient {
        &self.shuffle_client
    }
}

#[async_trait]
impl ShardTransport for BallistaBackend {
    async fn submit_shard(&self, attempt: u64, worker: String, task: String) -> anyhow::Result<()> {
        let plan = operator::plan(task)?;
        let job = self.scheduler.submit_physical_plan("shard", self.session.clone(), plan, None).await?;
        if !self.binder.place_attempt(attempt, worker, job.clone()) {
            self.cancel_job(job).await;
        }
        Ok(())
    }

    async fn cancel_attempt(&self, attempt: u64) {
        if let Some(job) = self.binder.cancel_attempt(attempt) {
            self.cancel_job(job).await;
        }
    }

    /// The job ends by itself with the next poll of its worker, and is cancelled if that does not come.
    async fn finish_attempt(&self, attempt: u64) {
        let Some(job) = self.binder.remove_attempt(attempt) else {
            return;
        };
        tokio::time::sleep(NEXT_POLL_MAX).await;
        if self.is_unfinished(&job).await {
            self.cancel_job(job).await;
        }
    }

    /// The worker's query tasks then run elsewhere. Its shards are our scheduler's to retry.
    async fn remove_executor(&self, worker: &str) {
        let stopped = ExecutorStoppedParams { executor_id: worker.to_owned(), reason: "the worker is lost".to_owned() };
        if let Err(error) = self.scheduler.executor_stopped(Request::new(stopped)).await {
            warn!(worker, error = status_text(&error), "cannot remove a lost worker from Ballista");
        }
    }
}

fn session_config(shuffle_client: &ShuffleClient) -> SessionConfig {
    let config = SessionConfig::new_with_ballista()
        .with_round_robin_repartition(false)
        .set_str("ballista.scheduler.max_partitions_per_task", "1");
    shuffle_client.configure(config)
}

fn scheduler_config(binder: &Arc<TaskBinder>, session_config: SessionConfig) -> SchedulerConfig {
    let (policy, notified) = (binder.clone(), binder.clone());
    SchedulerConfig {
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        task_distribution: TaskDistributionPolicy::Custom(policy),
        finished_job_state_clean_up_interval_seconds: JOBS_KEPT_SECONDS,
        // Zero turns it off: Ballista would ask every worker to remove the files of every job. Workers do that by
        // themselves.
        finished_job_data_clean_up_interval_seconds: 0,
        executor_timeout_seconds: EXECUTORS_KEPT_SECONDS,
        no_executors_grace_period_seconds: u64::from(u32::MAX),
        override_physical_codec: Some(Arc::new(Codec::default())),
        override_config_producer: Some(Arc::new(move || session_config.clone())),
        // To cancel a task Ballista would call a port of the worker that is not open.
        override_create_grpc_client_endpoint: Some(Arc::new(|_| Err("workers are not called".into()))),
        on_work_available: Some(Arc::new(move |reason| match reason {
            WorkAvailableReason::JobSubmitted { job_id } => notified.job_planned(job_id),
            WorkAvailableReason::NewStagesRunnable { job_id } => notified.stages_runnable(&job_id),
        })),
        ..SchedulerConfig::default()
    }
}
