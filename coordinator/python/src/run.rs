//! Runs of a store: their tables and their records.

use std::path::Path;

use dqa_pipelines::names::RunName;
use dqa_pipelines::run::{RunRecord, StoredRuns};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::metrics::{METRICS, SCHEMA};
use dqa_pipelines::tables::{parquet_file, report_key};
use dqa_query::{Selection, open_session, query_mixing};
use pyo3::prelude::*;

use crate::errors::{exception, raised_with_hint};
use crate::table::Table;
use crate::threads::block_on;

/// A run of a store. Each table is read when it is asked for.
#[pyclass(module = "dqa", frozen)]
pub(crate) struct Run {
    store: Store,
    record: RunRecord,
}

/// Opens a run. `store` is a folder, or a URL that begins with s3://, gs:// or az://.
#[pyfunction]
pub(crate) fn open_run(py: Python<'_>, store: &str, run: &str) -> PyResult<Run> {
    block_on(py, move || async move {
        let store = open(store).await?;
        let name: RunName =
            run.parse().map_err(|error| exception(format!("no run is named `{run}`: {error}"), None))?;
        let found = RunRecord::find(&store, &name).await.map_err(|error| raised_with_hint(&error))?;
        match found {
            Some(record) => Ok(Run { store, record }),
            None => Err(unknown(&store, &name).await),
        }
    })
}

/// Returns the names of the runs of a store, sorted.
#[pyfunction]
pub(crate) fn run_names(py: Python<'_>, store: &str) -> PyResult<Vec<String>> {
    block_on(py, move || async move { names(&open(store).await?).await })
}

async fn open(address: &str) -> PyResult<Store> {
    let store = Store::open(address, Path::new("")).map_err(|error| raised_with_hint(&error))?;
    store.check().await.map_err(|error| raised_with_hint(&error))?;
    Ok(store)
}

async fn names(store: &Store) -> PyResult<Vec<String>> {
    let runs = StoredRuns::read(store).await.map_err(|error| raised_with_hint(&error))?;
    let mut names: Vec<String> = runs.records.iter().map(|record| record.name.to_string()).collect();
    names.sort_unstable();
    Ok(names)
}

async fn unknown(store: &Store, name: &RunName) -> PyErr {
    let names = names(store).await.unwrap_or_default();
    let hint = if names.is_empty() { None } else { Some(format!("its runs are {}", names.join(", "))) };
    exception(format!("the store {} has no run `{name}`", store.url()), hint)
}

impl Run {
    fn table(&self, py: Python<'_>, name: &str) -> PyResult<Table> {
        let sql = format!("SELECT * FROM {name}");
        block_on(py, move || async move {
            let selection = Selection::run(self.record.name.clone());
            let session = open_session(&self.store, &selection).await.map_err(|error| raised_with_hint(&error))?;
            let frame = query_mixing(&session, &sql).await.map_err(|error| raised_with_hint(&error))?;
            let schema = frame.schema().inner().clone();
            let batches = frame.collect().await.map_err(|error| exception(error.to_string(), None))?;
            Ok(Table::new(batches, schema))
        })
    }
}

#[pymethods]
impl Run {
    /// The run's name.
    #[getter]
    fn name(&self) -> String {
        self.record.name.to_string()
    }

    /// The store's address.
    #[getter]
    fn store(&self) -> String {
        self.store.url().to_string()
    }

    /// The run's record as text in JSON; `dqa.Run.record` parses it.
    #[getter]
    fn record_json(&self) -> String {
        serde_json::to_string(&self.record).expect("records have text for keys")
    }

    /// A row for each picture and metric.
    #[getter]
    fn scores(&self, py: Python<'_>) -> PyResult<Table> {
        self.table(py, "scores")
    }

    /// The ranked algorithms.
    #[getter]
    fn leaderboard(&self, py: Python<'_>) -> PyResult<Table> {
        self.table(py, "leaderboard")
    }

    /// The agreement with labels.
    #[getter]
    fn correlations(&self, py: Python<'_>) -> PyResult<Table> {
        self.table(py, "correlations")
    }

    /// The pairs of algorithms.
    #[getter]
    fn comparisons(&self, py: Python<'_>) -> PyResult<Table> {
        self.table(py, "comparisons")
    }

    /// The metrics beside each other. None if the run has one.
    #[getter]
    fn metrics(&self, py: Python<'_>) -> PyResult<Option<Table>> {
        block_on(py, move || async move {
            let file = match self.store.get(&report_key(METRICS, &self.record.name)).await {
                Err(error) if error.is_not_found() => return Ok(None),
                file => file.map_err(|error| raised_with_hint(&error))?,
            };
            let batches = parquet_file::read(file).map_err(|error| exception(error.to_string(), None))?;
            let schema = batches.first().map_or_else(|| SCHEMA.clone(), |batch| batch.schema());
            Ok(Some(Table::new(batches, schema)))
        })
    }

    fn __repr__(&self) -> String {
        format!("<dqa.Run {} of {}: {}>", self.record.name, self.store.url(), self.record.state)
    }
}
