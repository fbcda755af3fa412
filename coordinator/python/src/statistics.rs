//! The statistics of reports, on columns and tables of Python's.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use dqa_metrics::Metric;
use dqa_pipelines::metric::{CLIP_DQA, Direction};
use dqa_pipelines::names::MetricName;
use dqa_pipelines::report::{LooseRow, ReportOptions, compute_of_rows};
use dqa_pipelines::tables::leaderboard::to_batch;
use dqa_stats::{Bootstrap, Columns, Estimate, Logistic, Resampling, estimate_agreement, fit_logistic};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3_arrow::PyTable;

use crate::errors::{exception, raised_with_hint};
use crate::table::Table;
use crate::threads::{block_on, claim};

/// Checks what all measures of two columns need.
fn check(x: &[f64], y: &[f64]) -> PyResult<()> {
    if x.len() != y.len() {
        return Err(exception(format!("x has {} values, and y has {}", x.len(), y.len()), None));
    }
    for (name, values) in [("x", x), ("y", y)] {
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            let hint = "leave out the pictures that lack a score or a label, in both columns".to_owned();
            return Err(exception(format!("{name}[{index}] is not a number"), Some(hint)));
        }
    }
    Ok(())
}

/// Spearman's rank correlation of two columns, with midranks for ties. None if it is undefined.
#[pyfunction]
pub(crate) fn srcc(py: Python<'_>, x: Vec<f64>, y: Vec<f64>) -> PyResult<Option<f64>> {
    check(&x, &y)?;
    Ok(py.detach(|| dqa_stats::srcc(&x, &y)))
}

/// Kendall's tau-b of two columns. None if it is undefined.
#[pyfunction]
pub(crate) fn krcc(py: Python<'_>, x: Vec<f64>, y: Vec<f64>) -> PyResult<Option<f64>> {
    check(&x, &y)?;
    Ok(py.detach(|| dqa_stats::krcc(&x, &y)))
}

/// The root of the mean squared difference of two columns. None if they are empty.
#[pyfunction]
pub(crate) fn rmse(x: Vec<f64>, y: Vec<f64>) -> PyResult<Option<f64>> {
    check(&x, &y)?;
    Ok(dqa_stats::rmse(&x, &y))
}

/// Pearson's correlation of y with x, or with a curve through x that is fitted to y first: `logistic4` or `logistic5`.
#[pyfunction]
#[pyo3(signature = (x, y, fit=None))]
pub(crate) fn plcc(py: Python<'_>, x: Vec<f64>, y: Vec<f64>, fit: Option<&str>) -> PyResult<Option<f64>> {
    check(&x, &y)?;
    let curve = match fit {
        None => return Ok(py.detach(|| dqa_stats::plcc(&x, &y))),
        Some("logistic4") => Logistic::Four,
        Some("logistic5") => Logistic::Five,
        Some(other) => return Err(exception(format!("unknown fit `{other}`: expected logistic4 or logistic5"), None)),
    };
    claim()?;
    Ok(py.detach(|| fit_logistic(curve, &x, &y).plcc))
}

/// The measures of agreement of scores and labels with intervals over scenes, as a dictionary of dictionaries.
#[pyfunction]
#[pyo3(signature = (score, mos, scene, method="jackknife", replicates=10_000, seed=0, level=0.95))]
#[allow(clippy::too_many_arguments)] // keywords of a Python function
pub(crate) fn agreement<'py>(
    py: Python<'py>,
    score: Vec<f64>,
    mos: Vec<f64>,
    scene: Vec<String>,
    method: &str,
    replicates: u32,
    seed: u64,
    level: f64,
) -> PyResult<Bound<'py, PyDict>> {
    check(&score, &mos)?;
    if scene.len() != score.len() {
        return Err(exception(format!("there are {} scores and {} scenes", score.len(), scene.len()), None));
    }
    let resampling = match method {
        "jackknife" => Resampling::Jackknife { level },
        "bootstrap" => Resampling::Bootstrap(Bootstrap { replicates, seed, level }),
        other => {
            return Err(exception(format!("unknown method `{other}`: expected jackknife or bootstrap"), None));
        }
    };
    claim()?;
    let ids = ids(&scene);
    let found = py.detach(|| {
        let columns = Columns { score: &score, mos: &mos, scene: &ids };
        estimate_agreement(&columns.sorted(), &resampling)
    });
    let all = PyDict::new(py);
    all.set_item("rows", found.rows)?;
    all.set_item("scenes", found.scenes)?;
    for (name, estimate) in [
        ("srcc", found.srcc),
        ("krcc", found.krcc),
        ("plcc", found.plcc),
        ("rmse", found.rmse),
        ("pairwise_accuracy", found.pairwise_accuracy),
    ] {
        all.set_item(name, estimate.map(|estimate| as_dict(py, &estimate)).transpose()?)?;
    }
    Ok(all)
}

/// Numbers names in the order in which they come.
fn ids(names: &[String]) -> Vec<u32> {
    let mut known = HashMap::new();
    names
        .iter()
        .map(|name| {
            let next = known.len() as u32;
            *known.entry(name.as_str()).or_insert(next)
        })
        .collect()
}

fn as_dict<'py>(py: Python<'py>, estimate: &Estimate) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let interval = estimate.interval.as_ref();
    dict.set_item("value", estimate.value)?;
    dict.set_item("low", interval.ok().map(|interval| interval.low))?;
    dict.set_item("high", interval.ok().map(|interval| interval.high))?;
    dict.set_item("method", interval.ok().map(|interval| interval.method.as_str()))?;
    dict.set_item("missing", interval.err().map(|missing| missing.as_str()))?;
    Ok(dict)
}

/// The leaderboard of a table's scores. `direction` is of metrics that dqa does not compute.
#[pyfunction]
#[pyo3(signature = (table, direction="higher", seed=0))]
pub(crate) fn leaderboard(py: Python<'_>, table: PyTable, direction: &str, seed: u32) -> PyResult<Table> {
    let other = match direction {
        "higher" => Direction::Higher,
        "lower" => Direction::Lower,
        other => return Err(exception(format!("unknown direction `{other}`: expected higher or lower"), None)),
    };
    let rows = rows_of(table)?;
    let direction = move |metric: &MetricName| match metric.as_str().parse::<Metric>() {
        _ if metric.as_str() == CLIP_DQA => Direction::Higher,
        Ok(metric) => metric.direction(),
        Err(_) => other,
    };
    block_on(py, move || async move {
        let options = ReportOptions { seed, ..ReportOptions::default() };
        let report = compute_of_rows(&rows, direction, &options).await.map_err(|error| raised_with_hint(&error))?;
        Ok(Table::of(to_batch(&report.leaderboard)))
    })
}

/// The columns of a table of scores.
struct ScoreTable {
    batch: RecordBatch,
}

impl ScoreTable {
    fn array(&self, name: &str, wanted: &DataType) -> PyResult<Option<ArrayRef>> {
        let Some(array) = self.batch.column_by_name(name) else { return Ok(None) };
        let cast = cast(array, wanted);
        let cast = cast.map_err(|error| exception(format!("the column `{name}` is not {wanted}: {error}"), None))?;
        Ok(Some(cast))
    }

    /// Returns a column of text. A missing value is an error.
    fn texts(&self, name: &str) -> PyResult<Option<Vec<String>>> {
        let Some(array) = self.array(name, &DataType::Utf8)? else { return Ok(None) };
        let text = |(row, text): (usize, Option<&str>)| {
            let missing = || exception(format!("row {row} has no `{name}`"), None);
            text.map(str::to_owned).ok_or_else(missing)
        };
        array.as_string::<i32>().iter().enumerate().map(text).collect::<PyResult<_>>().map(Some)
    }

    fn numbers(&self, name: &str) -> PyResult<Option<Vec<Option<f64>>>> {
        let Some(array) = self.array(name, &DataType::Float64)? else { return Ok(None) };
        let numbers = array.as_primitive::<Float64Type>();
        let number = |row: usize| numbers.is_valid(row).then(|| numbers.value(row)).filter(|value| !value.is_nan());
        Ok(Some((0..numbers.len()).map(number).collect()))
    }

    fn missing(&self, name: &str) -> PyErr {
        let has: Vec<String> = self.batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        exception(
            format!("the table has no column `{name}`"),
            Some(format!("it needs algorithm, scene and score; it has {}", has.join(", "))),
        )
    }
}

fn rows_of(table: PyTable) -> PyResult<Vec<LooseRow>> {
    let (batches, schema) = table.into_inner();
    let batch = concat_batches(&schema, &batches).map_err(|error| exception(error.to_string(), None))?;
    let rows = batch.num_rows();
    let table = ScoreTable { batch };
    let needed = |name: &str| table.texts(name)?.ok_or_else(|| table.missing(name));
    let (algorithms, scenes) = (needed("algorithm")?, needed("scene")?);
    let scores = table.numbers("score")?.ok_or_else(|| table.missing("score"))?;
    let labels = table.numbers("mos")?;
    let or =
        |name: &str, value: &str| Ok::<_, PyErr>(table.texts(name)?.unwrap_or_else(|| vec![value.to_owned(); rows]));
    let (datasets, metrics) = (or("dataset", "table")?, or("metric", "score")?);
    let images = table.texts("image")?;
    let invalid = |row: usize, error: &dyn std::fmt::Display| exception(format!("row {row}: {error}"), None);
    (0..rows)
        .map(|row| {
            Ok(LooseRow {
                dataset: datasets[row].parse().map_err(|error| invalid(row, &error))?,
                algorithm: algorithms[row].parse().map_err(|error| invalid(row, &error))?,
                metric: metrics[row].parse().map_err(|error| invalid(row, &error))?,
                scene: scenes[row].clone(),
                image: images.as_ref().map_or_else(|| format!("row {row}"), |images| images[row].clone()),
                score: scores[row],
                mos: labels.as_ref().and_then(|labels| labels[row]),
            })
        })
        .collect()
}
