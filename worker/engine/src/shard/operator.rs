//! Shard scoring as a step of a DataFusion plan. Its input is one row, a shard or a shard task as text; its output is
//! one row, the shard's outcome. Every scheduler can slice a source in memory with this step above it, unlike a source
//! of our own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef, UInt64Type};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use dqa_pipelines::plan::Shard;
use futures::TryStreamExt;
use tokio::runtime::Handle;

use super::{ShardOutcome, ShardScorer, StopFlag};

/// The session extension that scores the step's rows.
#[derive(Clone)]
pub struct RowScorerExtension(Arc<dyn RowScorer>);

/// Scores a row of the step's input.
#[async_trait]
pub trait RowScorer: Send + Sync {
    /// Scores the shard that the row contains.
    ///
    /// # Errors
    /// Fails if the shard cannot be scored; a picture's failure is not an error.
    async fn score(&self, row: &str) -> Result<ShardOutcome, BoxError>;
}

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl RowScorerExtension {
    /// Creates the extension of a scorer.
    pub fn new(scorer: Arc<dyn RowScorer>) -> RowScorerExtension {
        RowScorerExtension(scorer)
    }
}

/// Rows are shards as text, scored one after the other.
#[async_trait]
impl RowScorer for ShardScorer {
    async fn score(&self, row: &str) -> Result<ShardOutcome, BoxError> {
        let shard = Shard::from_text(row)?;
        let (scorer, runtime) = (self.clone(), Handle::current());
        // The device has a thread of its own for as long as the shard takes.
        Ok(tokio::task::spawn_blocking(move || ShardScorer::score(&scorer, &shard, &runtime, &StopFlag::default()))
            .await??)
    }
}

/// Scores the rows of its input with the session's [`RowScorerExtension`].
#[derive(Clone, Debug)]
pub struct ScoreExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

/// Returns the plan of one row: a shard or a shard task as text.
///
/// # Errors
/// Fails only by DataFusion's own errors; no shard causes one.
pub fn plan(row: String) -> Result<Arc<dyn ExecutionPlan>> {
    let column: ArrayRef = Arc::new(StringArray::from(vec![row]));
    let row = RecordBatch::try_new(spec_schema(), vec![column])?;
    let source = MemorySourceConfig::try_new_exec(&[vec![row]], spec_schema(), None)?;
    Ok(Arc::new(ScoreExec::new(source)))
}

/// Reads the outcomes of shards from a plan's result.
///
/// # Errors
/// Fails if the batches are not a result of [`ScoreExec`].
pub fn outcomes(batches: &[RecordBatch]) -> Result<Vec<ShardOutcome>> {
    let mut outcomes = Vec::new();
    for batch in batches {
        if batch.schema().fields() != outcome_schema().fields() {
            return Err(DataFusionError::Internal("the result of a scoring plan has an unexpected schema".to_owned()));
        }
        let count = |column: usize, row| batch.column(column).as_primitive::<UInt64Type>().value(row);
        outcomes.extend((0..batch.num_rows()).map(|row| ShardOutcome {
            key: batch.column(0).as_string::<i32>().value(row).to_owned(),
            rows: count(1, row),
            failed: count(2, row),
            reused: count(3, row),
            windows: count(4, row),
            wall: Duration::from_secs_f64(batch.column(5).as_primitive::<Float64Type>().value(row)),
        }));
    }
    Ok(outcomes)
}

fn spec_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("shard", DataType::Utf8, false)]))
}

fn outcome_schema() -> SchemaRef {
    let count = |name: &str| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![
        Field::new("part", DataType::Utf8, false),
        count("rows"),
        count("failed"),
        count("reused"),
        count("windows"),
        Field::new("seconds", DataType::Float64, false),
    ]))
}

fn to_batch(outcome: &ShardOutcome) -> Result<RecordBatch> {
    let count = |value: u64| -> ArrayRef { Arc::new(UInt64Array::from(vec![value])) };
    let columns = vec![
        Arc::new(StringArray::from(vec![outcome.key.as_str()])) as ArrayRef,
        count(outcome.rows),
        count(outcome.failed),
        count(outcome.reused),
        count(outcome.windows),
        Arc::new(Float64Array::from(vec![outcome.wall.as_secs_f64()])),
    ];
    Ok(RecordBatch::try_new(outcome_schema(), columns)?)
}

impl ScoreExec {
    /// Creates the step above a plan whose rows are shards as text.
    pub fn new(input: Arc<dyn ExecutionPlan>) -> ScoreExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(outcome_schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        ScoreExec { input, properties: Arc::new(properties) }
    }

    fn with_input(mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(ScoreExec::new(input))),
            _ => Err(DataFusionError::Internal("ScoreExec takes one input".to_owned())),
        }
    }
}

impl DisplayAs for ScoreExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScoreExec")
    }
}

impl ExecutionPlan for ScoreExec {
    fn name(&self) -> &'static str {
        "ScoreExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// A shard must not be split over partitions.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        ScoreExec::with_input(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        ScoreExec::with_input(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let scorer = context
            .session_config()
            .get_extension::<RowScorerExtension>()
            .ok_or_else(|| DataFusionError::Configuration("the session has no RowScorerExtension".to_owned()))?;
        let shards = self.input.execute(partition, context)?;
        let batches = shards.and_then(move |batch| score(scorer.clone(), batch));
        Ok(Box::pin(RecordBatchStreamAdapter::new(outcome_schema(), batches)))
    }
}

async fn score(scorer: Arc<RowScorerExtension>, batch: RecordBatch) -> Result<RecordBatch> {
    let mut outcomes = Vec::new();
    for row in batch.column(0).as_string::<i32>().iter().flatten() {
        outcomes.push(to_batch(&scorer.0.score(row).await.map_err(DataFusionError::External)?)?);
    }
    Ok(datafusion::arrow::compute::concat_batches(&outcome_schema(), &outcomes)?)
}
