//! Plans a run: lists the data sets, reads the headers of new pictures, cuts shards, and finds the parts that the store
//! already has. The same for a command and for a coordinator.

use std::time::{Duration, Instant};

use dqa_engine::decode::Limits;
use dqa_engine::headers;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{self, DataSet, ReferenceKind};
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::store::Store;

use super::error::{PrepareError, RunError};
use super::measure::{MeasuredDataSet, measure, update_index};
use super::plan::{PlanSettings, RunPlan, has_reference};
use super::request::{PlanObserver, PlanRequest};
use super::selection::{SelectedDataSet, select};

/// Time between two reports of the number of headers that are left.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Plans a run, with what the store already has of it.
///
/// # Errors
/// If a data set cannot be listed or is not complete; if the store fails.
pub async fn prepare(
    store: &Store,
    request: &PlanRequest,
    observer: &mut dyn PlanObserver,
) -> Result<RunPlan, PrepareError> {
    let policy = request.roots.load_policy();
    let mut loaded = Vec::new();
    for definition in &request.definitions {
        let dataset = dataset::load_within(definition, &policy).await;
        loaded.push(dataset.map_err(|source| PrepareError::Load { dataset: definition.name.to_string(), source })?);
    }
    let mut measured = Vec::new();
    for selected in select(loaded, request, observer)? {
        measured.push(prepare_dataset(store, selected, request, observer).await?);
    }
    let settings = PlanSettings {
        metrics: request.metrics.clone(),
        limits: request.limits,
        parameters: request.metric_parameters.clone(),
        shard_windows_max: request.shard_windows,
    };
    let mut plan = RunPlan::new(measured, settings);
    plan.find_parts(store).await.map_err(RunError::from)?;
    if request.retry_failed {
        plan.retry_failed();
    }
    Ok(plan)
}

/// Checks a data set's matrix, and counts the windows of its pictures.
async fn prepare_dataset(
    store: &Store,
    SelectedDataSet { mut dataset, hazy }: SelectedDataSet,
    request: &PlanRequest,
    observer: &mut dyn PlanObserver,
) -> Result<MeasuredDataSet, PrepareError> {
    let name = dataset.name.to_string();
    let mut last_report = Instant::now();
    let index = update_index(store, &dataset, request.limits.bytes_max, |left| {
        if last_report.elapsed() > REPORT_INTERVAL {
            observer.headers_left(&name, left);
            last_report = Instant::now();
        }
    });
    let index = index.await?;
    // Only the model needs room for a window.
    let has_model = request.metrics.iter().any(MetricSpec::is_clip_dqa);
    let limits = Limits::new(request.limits, if has_model { request.views.side_min() } else { 1 });
    let check = dataset::check(&dataset, &|picture| headers::check(index.get(picture), picture, &limits));
    let only_missing = check.only_missing().filter(|_| request.allow_missing);
    if !check.is_clean() && only_missing.is_none() {
        observer.faults(&check);
    } else {
        if let Some(missing) = only_missing {
            let of = counted(check.counts.expected, "picture");
            observer.remark(&name, &format!("{missing} of {of} are missing; `dqa-coord dataset check` lists them"));
        }
        check.remarks().iter().for_each(|line| observer.remark(&name, line));
    }
    let has_missing_files = check.faults.iter().any(|fault| fault.kind.is_missing_data());
    if !request.allow_missing && (check.counts.missing + check.counts.duplicate > 0 || has_missing_files) {
        return Err(PrepareError::Incomplete { dataset: name });
    }
    if let Some(rows) = hazy {
        dataset.add_hazy_rows(rows);
    }
    check_references(&dataset, request, observer)?;
    Ok(measure(dataset, &index, &request.views, request.limits))
}

/// Checks that a data set has the pictures that the metrics compare with.
fn check_references(
    dataset: &DataSet,
    request: &PlanRequest,
    observer: &mut dyn PlanObserver,
) -> Result<(), PrepareError> {
    for kind in [ReferenceKind::Clear, ReferenceKind::Hazy] {
        let needing = request.metrics.iter().filter(|metric| metric.reference() == Some(kind));
        let metrics: Vec<&str> = needing.map(|metric| metric.name.as_str()).collect();
        if metrics.is_empty() || has_reference(dataset, kind) {
            continue;
        }
        let metrics = metrics.join(", ");
        if !request.leaves_out_metrics {
            return Err(PrepareError::NoReference { dataset: dataset.name.to_string(), kind, metrics });
        }
        observer.remark(
            dataset.name.as_str(),
            &format!("it names no {} pictures, so these metrics are left out: {metrics}", kind.name()),
        );
    }
    Ok(())
}
