//! Queries that workers answer. The root step of a plan sends the rest of the plan to the workers, waits, and reads the
//! rows from where the workers wrote them.
//!
//! A few batches of an answer are in memory, never all of it. A query is cancelled when its rows are dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::extension::SessionConfigExt;
use ballista_core::optimizer::ballista_default_optimizer_rules;
use ballista_core::serde::protobuf::{JobStatus, PartitionLocation, job_status};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, not_impl_err};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, ReplaceChildrenOptions,
};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::{SessionConfig, SessionContext};
use dqa_pipelines::causes;
use dqa_pipelines::store::Store;
use dqa_query::{self as sql, Selection, SqlError};
use dqa_service::cluster::JOB_FILES_RETENTION;
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;

use super::ballista_backend::BallistaBackend;
use super::stage_ordering;

/// The most open queries of all users. Each holds a plan for every stage here, and files on workers.
const QUERIES_MAX: usize = 16;

/// Time for workers to execute a query. Its rows are then read during the other half of the time that its files are
/// kept.
const QUERY_TIMEOUT: Duration = Duration::from_secs(JOB_FILES_RETENTION.as_secs() / 2);

/// A query fails after this long without a worker for queries. A worker that restarts is back by then.
const NO_WORKERS_MAX: Duration = Duration::from_secs(20);
const WORKERS_CHECK_EVERY: Duration = Duration::from_secs(1);

/// Unread status changes of one job.
const STATUSES_MAX: usize = 1024;

/// The most partitions of a plan. With more, tasks would have next to nothing to do.
const PARTITIONS_MAX: usize = 256;

/// Why a query failed that workers were to answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    #[error("no worker takes tasks of queries")]
    NoWorkers,
    #[error("{QUERIES_MAX} queries are under way, which is the limit")]
    TooManyQueries,
    #[error("the query had no answer after {} minutes", QUERY_TIMEOUT.as_secs() / 60)]
    TimedOut,
    /// A task failed, or too many workers were lost.
    #[error("the query failed: {0}")]
    Failed(String),
    /// A worker was lost with rows of the answer.
    #[error("a part of the answer cannot be read from its worker: {0}")]
    RowsLost(String),
}

impl QueryError {
    /// Returns the query error at the root of a DataFusion error.
    pub(super) fn find_in(error: &DataFusionError) -> Option<&QueryError> {
        match error.find_root() {
            DataFusionError::External(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

/// Creates a session with a store's tables, whose queries workers answer.
///
/// # Errors
/// See [`sql::open_session`].
pub(super) async fn distributed_session(
    backend: &BallistaBackend,
    store: &Store,
    selection: &Selection,
) -> Result<SessionContext, SqlError> {
    let partitions = backend.query_capacity().clamp(1, PARTITIONS_MAX);
    let runtime = sql::new_runtime(backend.query_memory()).map_err(|error| SqlError::Query(error.into()))?;
    let state = SessionStateBuilder::new()
        .with_config(backend.query_config().with_target_partitions(partitions))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .with_query_planner(Arc::new(DistributedPlanner { backend: backend.clone() }))
        .build();
    let context = SessionContext::new_with_state(state);
    sql::register_tables(&context, store, selection).await?;
    Ok(context)
}

struct DistributedPlanner {
    backend: BallistaBackend,
}

impl fmt::Debug for DistributedPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DistributedPlanner")
    }
}

#[async_trait]
impl QueryPlanner for DistributedPlanner {
    async fn create_physical_plan(&self, logical: &LogicalPlan, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        if matches!(logical, LogicalPlan::Analyze(_)) {
            return not_impl_err!("EXPLAIN ANALYZE by a cluster");
        }
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(logical, state).await?;
        if is_metadata_query(logical)? {
            return Ok(plan);
        }
        let plan = stage_ordering::enforce_stage_orderings(plan, state.config_options())?;
        Ok(Arc::new(DistributedExec::new(self.backend.clone(), plan)))
    }
}

/// Returns whether a query asks for the tables or for a plan, which this process can answer.
fn is_metadata_query(plan: &LogicalPlan) -> Result<bool> {
    if matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::DescribeTable(_)) {
        return Ok(true);
    }
    let (mut schemas, mut tables) = (0, 0);
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) if scan.table_name.schema() == Some("information_schema") => schemas += 1,
            LogicalPlan::TableScan(_) => tables += 1,
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(schemas > 0 && tables == 0)
}

/// The root step of a plan, whose rows workers compute. Its input is not executed in this process.
#[derive(Clone)]
struct DistributedExec {
    backend: BallistaBackend,
    plan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl DistributedExec {
    fn new(backend: BallistaBackend, plan: Arc<dyn ExecutionPlan>) -> DistributedExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        DistributedExec { backend, plan, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for DistributedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistributedExec").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl DisplayAs for DistributedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DistributedExec")
    }
}

impl ExecutionPlan for DistributedExec {
    fn name(&self) -> &'static str {
        "DistributedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (backend, plan) = (self.backend.clone(), self.plan.clone());
        let config = context.session_config().clone();
        let answer = async move {
            let external = |error: QueryError| DataFusionError::External(error.into());
            let is_tls = config.ballista_use_tls();
            let (query, locations) = run_query(&backend, plan, config).await.map_err(external)?;
            Ok::<_, DataFusionError>(read_rows(query, locations, is_tls))
        };
        let rows = futures::stream::once(answer).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.plan.schema(), rows)))
    }
}

/// The job of a query, which is closed when this is dropped.
struct QueryJob {
    backend: BallistaBackend,
    job: JobId,
    has_ended: bool,
    runtime: Handle,
}

impl Drop for QueryJob {
    fn drop(&mut self) {
        let (backend, job, has_ended) = (self.backend.clone(), self.job.clone(), self.has_ended);
        self.runtime.spawn(async move { backend.close_query(job, has_ended).await });
    }
}

/// Has workers execute a plan, and returns the locations of its rows.
async fn run_query(
    backend: &BallistaBackend,
    plan: Arc<dyn ExecutionPlan>,
    config: SessionConfig,
) -> Result<(QueryJob, Vec<PartitionLocation>), QueryError> {
    if backend.query_capacity() == 0 {
        return Err(QueryError::NoWorkers);
    }
    if backend.open_queries() >= QUERIES_MAX {
        return Err(QueryError::TooManyQueries);
    }
    let (subscriber, mut statuses) = mpsc::channel(STATUSES_MAX);
    let started = Instant::now();
    let job = backend.submit_query(plan, config, subscriber).await;
    let job = job.map_err(|error| QueryError::Failed(causes(error.as_ref()).to_string()))?;
    let mut query = QueryJob { backend: backend.clone(), job, has_ended: false, runtime: Handle::current() };
    let ended = tokio::select! {
        ended = wait_for_end(&mut statuses) => ended,
        () = tokio::time::sleep(QUERY_TIMEOUT) => Err(QueryError::TimedOut),
        () = wait_until_no_workers(backend) => Err(QueryError::NoWorkers),
    };
    query.has_ended = matches!(ended, Ok(_) | Err(QueryError::Failed(_)));
    info!(job = %query.job, seconds = started.elapsed().as_secs_f64(), answered = ended.is_ok(), "query");
    Ok((query, ended?))
}

/// Waits until a job has ended.
async fn wait_for_end(statuses: &mut mpsc::Receiver<JobStatus>) -> Result<Vec<PartitionLocation>, QueryError> {
    while let Some(status) = statuses.recv().await {
        match status.status {
            Some(job_status::Status::Successful(job)) => return Ok(job.partition_location),
            Some(job_status::Status::Failed(job)) => return Err(QueryError::Failed(job.error)),
            Some(job_status::Status::Queued(_) | job_status::Status::Running(_)) | None => {}
        }
    }
    Err(QueryError::Failed("Ballista dropped its job".to_owned()))
}

/// Waits until no worker has accepted queries for `NO_WORKERS_MAX`.
async fn wait_until_no_workers(backend: &BallistaBackend) {
    let mut since = None;
    loop {
        tokio::time::sleep(WORKERS_CHECK_EVERY).await;
        if backend.query_capacity() > 0 {
            since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() >= NO_WORKERS_MAX {
            return;
        }
    }
}

/// Reads the rows of an answer, one location after the other.
fn read_rows(
    query: QueryJob,
    locations: Vec<PartitionLocation>,
    is_tls: bool,
) -> impl futures::Stream<Item = Result<datafusion::arrow::array::RecordBatch>> + Send {
    let streams = futures::stream::iter(locations).then(move |location| {
        // The closure holds the query, and with it the files, until the last row is read.
        let shuffle_client = query.backend.shuffle_client().clone();
        async move { shuffle_client.read(location, is_tls).await.map_err(rows_lost) }
    });
    streams.try_flatten()
}

fn rows_lost(error: ballista_core::error::BallistaError) -> DataFusionError {
    DataFusionError::External(QueryError::RowsLost(causes(&error).to_string()).into())
}
