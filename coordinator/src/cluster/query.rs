//! Queries that workers answer: a session whose plans go to Ballista. Whoever asks sees a session like any other; a plan's
//! one step here hands the rest to the workers, waits, and reads the rows where they were written.
//!
//! It holds a few batches, never an answer. Dropped, a query is called off.

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
use dqa_service::cluster::JOB_FILES_KEPT;
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::info;

use super::ballista_backend::BallistaBackend;
use super::stages;

/// Queries at once, of all users: each holds a plan for every stage here, and files on workers.
const QUERIES_MAX: usize = 16;

/// A query has so long to be worked out. Its rows are then read while its files are kept.
const QUERY_MAX: Duration = Duration::from_secs(JOB_FILES_KEPT.as_secs() / 2);

/// Without a worker that takes queries a query is given up after this: one that was started again is back by then.
const NOBODY_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What Ballista tells of one job, on its way: one message a change.
const TOLD_MAX: usize = 1024;

/// Partitions of a plan: more would be tasks of next to nothing.
const PARTITIONS_MAX: usize = 256;

/// Why workers have no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueryError {
    /// Nobody is there to work it out.
    #[error("no worker takes tasks of queries")]
    NoWorkers,
    /// Enough are under way.
    #[error("{QUERIES_MAX} queries are under way, and that is as many as there may be")]
    Busy,
    /// It takes too long.
    #[error("the query had no answer after {} minutes", QUERY_MAX.as_secs() / 60)]
    Late,
    /// A task failed, or too many workers were lost under it.
    #[error("the query failed: {0}")]
    Failed(String),
    /// A worker went away with rows of the answer.
    #[error("a part of the answer cannot be read from its worker: {0}")]
    Gone(String),
}

impl QueryError {
    /// The one in an error of DataFusion's, if it is one.
    pub(super) fn of(error: &DataFusionError) -> Option<&QueryError> {
        match error.find_root() {
            DataFusionError::External(cause) => cause.downcast_ref(),
            _ => None,
        }
    }
}

/// A session with a store's tables, whose queries are answered by workers.
///
/// # Errors
/// As [`sql::session`].
pub(super) async fn session(
    backend: &BallistaBackend,
    store: &Store,
    selection: &Selection,
) -> Result<SessionContext, SqlError> {
    let partitions = backend.query_tasks().clamp(1, PARTITIONS_MAX);
    let runtime = sql::runtime().map_err(|error| SqlError::Query(error.into()))?;
    let state = SessionStateBuilder::new()
        .with_config(backend.config().with_target_partitions(partitions))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .with_query_planner(Arc::new(Planner { backend: backend.clone() }))
        .build();
    let context = SessionContext::new_with_state(state);
    sql::fill_session(&context, store, selection).await?;
    Ok(context)
}

/// Plans for workers.
struct Planner {
    backend: BallistaBackend,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Planner")
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, logical: &LogicalPlan, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        if matches!(logical, LogicalPlan::Analyze(_)) {
            return not_impl_err!("EXPLAIN ANALYZE by a cluster");
        }
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(logical, state).await?;
        if is_about_tables(logical)? {
            return Ok(plan);
        }
        let plan = stages::restated(plan, state.config_options())?;
        Ok(Arc::new(OnWorkers::new(self.backend.clone(), plan)))
    }
}

/// Whether it asks what there is, or how it would be worked out: that is known here.
fn is_about_tables(plan: &LogicalPlan) -> Result<bool> {
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

/// The step whose rows are made by workers. What is below it is not this process's to run.
#[derive(Clone)]
struct OnWorkers {
    backend: BallistaBackend,
    plan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl OnWorkers {
    fn new(backend: BallistaBackend, plan: Arc<dyn ExecutionPlan>) -> OnWorkers {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        OnWorkers { backend, plan, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for OnWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnWorkers").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl DisplayAs for OnWorkers {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWorkers")
    }
}

impl ExecutionPlan for OnWorkers {
    fn name(&self) -> &'static str {
        "OnWorkers"
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
            let failed = |error: QueryError| DataFusionError::External(error.into());
            let is_tls = config.ballista_use_tls();
            let (query, locations) = work_out(&backend, plan, config).await.map_err(failed)?;
            Ok::<_, DataFusionError>(rows(query, locations, is_tls))
        };
        let rows = futures::stream::once(answer).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.plan.schema(), rows)))
    }
}

/// A query's job. Dropped, nobody waits for it any more.
struct Query {
    backend: BallistaBackend,
    job: JobId,
    has_ended: bool,
    runtime: Handle,
}

impl Drop for Query {
    fn drop(&mut self) {
        let (backend, job, has_ended) = (self.backend.clone(), self.job.clone(), self.has_ended);
        self.runtime.spawn(async move { backend.forget_query(job, has_ended).await });
    }
}

/// Has workers run a plan to its end; where its rows are then.
async fn work_out(
    backend: &BallistaBackend,
    plan: Arc<dyn ExecutionPlan>,
    config: SessionConfig,
) -> Result<(Query, Vec<PartitionLocation>), QueryError> {
    if backend.query_tasks() == 0 {
        return Err(QueryError::NoWorkers);
    }
    if backend.queries() >= QUERIES_MAX {
        return Err(QueryError::Busy);
    }
    let (told, mut tells) = mpsc::channel(TOLD_MAX);
    let begun = Instant::now();
    let job = backend.carry_query(plan, config, told).await;
    let job = job.map_err(|error| QueryError::Failed(causes(error.as_ref()).to_string()))?;
    let mut query = Query { backend: backend.clone(), job, has_ended: false, runtime: Handle::current() };
    let ended = tokio::select! {
        ended = end(&mut tells) => ended,
        () = tokio::time::sleep(QUERY_MAX) => Err(QueryError::Late),
        () = nobody(backend) => Err(QueryError::NoWorkers),
    };
    query.has_ended = matches!(ended, Ok(_) | Err(QueryError::Failed(_)));
    info!(job = %query.job, seconds = begun.elapsed().as_secs_f64(), answered = ended.is_ok(), "query");
    Ok((query, ended?))
}

/// What Ballista says became of a job.
async fn end(tells: &mut mpsc::Receiver<JobStatus>) -> Result<Vec<PartitionLocation>, QueryError> {
    while let Some(status) = tells.recv().await {
        match status.status {
            Some(job_status::Status::Successful(job)) => return Ok(job.partition_location),
            Some(job_status::Status::Failed(job)) => return Err(QueryError::Failed(job.error)),
            Some(job_status::Status::Queued(_) | job_status::Status::Running(_)) | None => {}
        }
    }
    Err(QueryError::Failed("Ballista has dropped it".to_owned()))
}

/// Until there has been no worker for queries for a while.
async fn nobody(backend: &BallistaBackend) {
    let mut since = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if backend.query_tasks() > 0 {
            since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() >= NOBODY_MAX {
            return;
        }
    }
}

/// The rows, location by location.
fn rows(
    query: Query,
    locations: Vec<PartitionLocation>,
    is_tls: bool,
) -> impl futures::Stream<Item = Result<datafusion::arrow::array::RecordBatch>> + Send {
    let streams = futures::stream::iter(locations).then(move |location| {
        // The query is held, and with it its files, until its last row is read.
        let flight = query.backend.flight().clone();
        async move { flight.read(location, is_tls).await.map_err(gone) }
    });
    streams.try_flatten()
}

fn gone(error: ballista_core::error::BallistaError) -> DataFusionError {
    DataFusionError::External(QueryError::Gone(causes(&error).to_string()).into())
}
