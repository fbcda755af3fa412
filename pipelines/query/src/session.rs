//! DataFusion sessions over a store: registers the tables of the selected runs and the aggregates, and plans read-only
//! queries.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::MemTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use dqa_pipelines::names::RunName;
use url::Url;

use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::run_progress::ProgressCounter;
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::comparisons::{self, COMPARISONS};
use dqa_pipelines::tables::correlations::{self, CORRELATIONS};
use dqa_pipelines::tables::cross_dataset::{self, CROSS_DATASET};
use dqa_pipelines::tables::epochs::{self, EPOCHS};
use dqa_pipelines::tables::evaluations::{self, EVALUATIONS};
use dqa_pipelines::tables::leaderboard::{self, LEADERBOARD};
use dqa_pipelines::tables::predictions::{self, PREDICTIONS};
use dqa_pipelines::tables::report_key;
use dqa_pipelines::tables::runs::{self, RUNS, RunRow};
use dqa_pipelines::tables::scores::{self, SCORES};
use dqa_pipelines::tables::studies::{self, STUDIES};
use dqa_pipelines::tables::study_splits::{self, STUDY_SPLITS};
use dqa_pipelines::train::TRIALS;

use crate::aggregates;
use crate::error::SqlError;
use crate::report_table::ReportTable;
use crate::run_conflicts::SelectedRuns;
use crate::scores_table::{self, MetricRows, ScoresTable};
use crate::store_registry::StoreRegistry;

/// The store's address within a session, whatever its real address is.
const STORE_URL: &str = "dqa://store/";

/// The runs of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every run of the store.
    All,
    /// The runs with these names.
    Runs(Vec<RunName>),
}

impl Selection {
    /// Selects one run.
    pub fn run(name: RunName) -> Selection {
        Selection::Runs(vec![name])
    }
}

/// Opens a session with the store's tables: `scores`, `runs`, `correlations`, `leaderboard`, `comparisons` and
/// `cross_dataset` of the selected runs; and, whatever the selection, `epochs` and `predictions` of all trials,
/// `evaluations`, `studies` and `study_splits`.
///
/// # Errors
/// The store fails, a run does not exist, or a complete run lacks a part.
pub async fn open_session(store: &Store, selection: &Selection) -> Result<SessionContext, SqlError> {
    let context =
        SessionContext::new_with_config(SessionConfig::from(ConfigOptions::new()).with_information_schema(true));
    let url = Url::parse(STORE_URL).expect("it is a URL");
    context.register_object_store(&url, store.object_store().clone());
    register_selection(&context, store, session_url, selection).await?;
    Ok(context)
}

/// Registers the same tables in a session of the caller, with files at the store's real addresses, so that other
/// processes can run its plans. The runtime of all these processes must find stores by address ([`new_runtime`]).
///
/// # Errors
/// The same as [`open_session`].
pub async fn register_tables(context: &SessionContext, store: &Store, selection: &Selection) -> Result<(), SqlError> {
    register_selection(context, store, store_url, selection).await
}

/// Returns a runtime that opens stores by their addresses, with this memory for the state of operators.
///
/// # Errors
/// Any error of DataFusion.
pub fn new_runtime(memory: Arc<dyn MemoryPool>) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let builder = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(StoreRegistry::default()));
    Ok(Arc::new(builder.with_memory_pool(memory).build()?))
}

async fn register_selection(
    context: &SessionContext,
    store: &Store,
    object_url: ObjectUrl,
    selection: &Selection,
) -> Result<(), SqlError> {
    let records = match selection {
        Selection::All => RunRecord::read_all(store).await?,
        Selection::Runs(names) => {
            let mut records = Vec::new();
            for name in names {
                records.push(RunRecord::find_by_prefix(store, name).await?);
            }
            records
        }
    };
    aggregates::register(context);
    let statuses = RunStatus::read_each(store, records.clone(), &ProgressCounter::default()).await?;
    let selected = SelectedRuns::new(&statuses);
    context.state_ref().write().config_mut().set_extension(Arc::new(selected));
    let files = |keys: BTreeSet<String>, schema: &SchemaRef| {
        parquet_table(keys.iter().map(|key| object_url(store, key)), schema)
    };
    let stored_keys = list_keys(store, SCORES).await?;
    register(context, SCORES, scores_table(&records, &stored_keys, |keys| files(keys, &scores::SCHEMA))?)?;
    let rows: Vec<RunRow> = statuses.iter().map(RunRow::from).collect();
    let rows = MemTable::try_new(runs::SCHEMA.clone(), vec![vec![runs::to_batch(&rows)]]);
    register(context, RUNS, rows.map(|table| Arc::new(table) as _))?;
    for (table, schema) in [
        (CORRELATIONS, &correlations::SCHEMA),
        (LEADERBOARD, &leaderboard::SCHEMA),
        (COMPARISONS, &comparisons::SCHEMA),
        (CROSS_DATASET, &cross_dataset::SCHEMA),
    ] {
        let stored_keys = list_keys(store, table).await?;
        let keys = records.iter().map(|record| report_key(table, &record.name)).filter(|key| stored_keys.contains(key));
        register(context, table, files(keys.collect(), schema).map(|table| Arc::new(ReportTable(table)) as _))?;
    }
    let stored_keys = list_keys(store, TRIALS).await?;
    for (table, schema) in [(EPOCHS, &epochs::SCHEMA), (PREDICTIONS, &predictions::SCHEMA)] {
        let file = format!("/{table}.parquet");
        let keys = stored_keys.iter().filter(|key| key.ends_with(&file)).cloned();
        register(context, table, files(keys.collect(), schema))?;
    }
    for (table, schema) in
        [(EVALUATIONS, &evaluations::SCHEMA), (STUDIES, &studies::SCHEMA), (STUDY_SPLITS, &study_splits::SCHEMA)]
    {
        register(context, table, files(list_keys(store, table).await?, schema))?;
    }
    Ok(())
}

/// Plans a query. It must be read-only, and it must not aggregate rows of conflicting runs.
///
/// # Errors
/// The query is invalid, names an unknown table or column, is not read-only, or mixes runs.
pub async fn query(context: &SessionContext, sql: &str) -> Result<DataFrame, SqlError> {
    let frame = query_mixing(context, sql).await?;
    check_runs(context, frame.logical_plan())?;
    Ok(frame)
}

/// Checks that a query does not aggregate rows of conflicting runs.
pub(crate) fn check_runs(context: &SessionContext, plan: &LogicalPlan) -> Result<(), SqlError> {
    match context.state_ref().read().config().get_extension::<SelectedRuns>() {
        Some(selected) => Ok(selected.check(plan)?),
        None => Ok(()),
    }
}

/// Returns a sentence for each run of a session that is not complete: its missing parts have no rows in the tables.
pub fn shortfalls(context: &SessionContext) -> Vec<String> {
    let selected = context.state_ref().read().config().get_extension::<SelectedRuns>();
    selected.map_or_else(Vec::new, |selected| selected.shortfalls.clone())
}

/// Returns the names of the metrics whose rows a query shows without telling them apart: its result has the column `score`, and
/// the query does not speak of metrics. Empty if there is only one.
pub fn untold_metrics(context: &SessionContext, frame: &DataFrame, sql: &str) -> BTreeSet<String> {
    let has = |column: &str| frame.schema().fields().iter().any(|field| field.name() == column);
    if !has("score") || has(scores::METRIC) || sql.to_lowercase().contains(scores::METRIC) {
        return BTreeSet::new();
    }
    let selected = context.state_ref().read().config().get_extension::<SelectedRuns>();
    let origins = selected.iter().flat_map(|selected| &selected.origins);
    let metrics: BTreeSet<String> = origins.map(|origin| origin.metric.clone()).collect();
    if metrics.len() > 1 { metrics } else { BTreeSet::new() }
}

/// Plans a query as [`query`] does, but permits aggregates over rows of several runs.
///
/// # Errors
/// The same as [`query`], except for mixed runs.
pub async fn query_mixing(context: &SessionContext, sql: &str) -> Result<DataFrame, SqlError> {
    context.sql_with_options(sql, only_reads()).await.map_err(|error| SqlError::Query(error.into()))
}

/// Permits queries, and nothing that changes anything.
pub(crate) fn only_reads() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Returns the keys of the objects in a folder.
async fn list_keys(store: &Store, folder: &str) -> Result<BTreeSet<String>, StoreError> {
    Ok(store.list_sorted(folder).await?.into_iter().map(|object| object.key).collect())
}

/// Returns the table `scores` of `records`. A run that is not complete has the rows of its parts in `stored_keys`.
fn scores_table(
    records: &[RunRecord],
    stored_keys: &BTreeSet<String>,
    files: impl Fn(BTreeSet<String>) -> Result<Arc<dyn TableProvider>, DataFusionError>,
) -> Result<Result<Arc<dyn TableProvider>, DataFusionError>, SqlError> {
    let mut by_metric = Vec::new();
    for record in records {
        let (there, missing): (Vec<_>, Vec<_>) = record.parts.iter().partition(|part| stored_keys.contains(&part.key));
        if let (RunState::Complete, Some(part)) = (record.state, missing.first()) {
            return Err(SqlError::MissingPart { run: record.name.to_string(), key: part.key.clone() });
        }
        for metric in record.metrics() {
            let keys = there.iter().filter(|part| part.is_of(&metric)).map(|part| part.key.clone()).collect();
            by_metric.push((record.name.to_string(), metric.name.to_string(), keys));
        }
    }
    if by_metric.is_empty() {
        return Ok(Ok(Arc::new(EmptyTable::new(scores_table::SCHEMA.clone()))));
    }
    let rows = |(run, metric, keys)| Ok(MetricRows { run, metric, parts: files(keys)? });
    let tables = by_metric.into_iter().map(rows).collect::<Result<_, _>>();
    Ok(tables.map(|tables| Arc::new(ScoresTable(tables)) as _))
}

/// Returns a table of Parquet files.
fn parquet_table(
    urls: impl ExactSizeIterator<Item = Url>,
    schema: &SchemaRef,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    if urls.len() == 0 {
        return Ok(Arc::new(EmptyTable::new(schema.clone())));
    }
    let urls = urls.map(|url| ListingTableUrl::try_new(url, None)).collect::<Result<_, _>>()?;
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(ListingOptions::new(Arc::new(ParquetFormat::new())))
        .with_schema(schema.clone());
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Returns the URL by which a session finds an object of the store.
type ObjectUrl = fn(&Store, &str) -> Url;

fn session_url(store: &Store, key: &str) -> Url {
    let mut url = Url::parse(STORE_URL).expect("it is a URL");
    let path = store.object_path(key);
    let parts: Vec<_> = path.parts().collect();
    url.path_segments_mut().expect("it has a path").clear().extend(parts.iter().map(AsRef::as_ref));
    url
}

fn store_url(store: &Store, key: &str) -> Url {
    Url::parse(&store.address(key)).expect("it is a URL")
}

fn register(
    context: &SessionContext,
    name: &'static str,
    table: Result<Arc<dyn TableProvider>, DataFusionError>,
) -> Result<(), SqlError> {
    let failed = |error: DataFusionError| SqlError::Table { table: name, source: error.into() };
    context.register_table(name, table.map_err(failed)?).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests;
