//! Computes the reports of a run, metric by metric and data set by data set.

use super::correlations::{self, Agreement};
use super::dataset_scores::{self, DatasetScores};
use super::error::ReportError;
use super::leaderboard::{self, Leaderboard};
use super::metric_choice::only_metric;
use super::options::ReportOptions;
use super::require_complete::require_complete;
use super::row_context::RowContext;
use super::{Report, cross_dataset, held_out, metric_comparison};
use crate::metric::MetricSpec;
use crate::names::AlgorithmName;
use crate::run::{DatasetSpec, RunRecord};
use crate::store::Store;
use crate::tables::comparisons::ComparisonRow;
use crate::tables::correlations::CorrelationRow;
use crate::tables::leaderboard::LeaderboardRow;

/// Reads the run's scores and computes all of its reports.
///
/// # Errors
/// The run is not complete; a part is missing, damaged or of another run; the store fails.
pub async fn compute(store: &Store, record: &RunRecord, options: &ReportOptions) -> Result<Report, ReportError> {
    compute_with_others(store, record, &[], options).await
}

/// Computes the same as [`compute`], and compares the run's metrics with those of `others` on the run's data sets. Scores
/// that were imported are such runs.
///
/// # Errors
/// The same as [`compute`], for each run; a data set has another source in another run; a picture has another label or
/// scene there.
pub async fn compute_with_others(
    store: &Store,
    record: &RunRecord,
    others: &[RunRecord],
    options: &ReportOptions,
) -> Result<Report, ReportError> {
    let mut report = compute_with(store, record, options, true).await?;
    let mut other_reports = Vec::new();
    for other in others {
        let own = record.spec.dataset_names();
        let common = of_datasets(other, &own);
        if common.spec.datasets.is_empty() {
            let has = other.spec.dataset_names().into_iter().map(str::to_owned).collect();
            return Err(ReportError::UnknownDataset { run: other.name.to_string(), dataset: own.join("`, `"), has });
        }
        other_reports.push(compute_with(store, &common, options, true).await?);
    }
    report.compared_with = others.iter().map(|other| other.name.clone()).collect();
    report.metrics = metric_comparison::compute(store, &report, &other_reports).await?;
    Ok(report)
}

/// Returns the record without the data sets that are not named.
fn of_datasets(record: &RunRecord, names: &[&str]) -> RunRecord {
    let mut record = record.clone();
    record.spec.datasets.retain(|dataset| names.contains(&dataset.name.as_str()));
    record.parts.retain(|part| names.contains(&part.dataset.as_str()));
    record.counts.pictures = record.parts.iter().map(|part| part.rows).sum();
    record
}

/// Computes the same as [`compute`] without the correlations, which take most of the time.
///
/// # Errors
/// The same as [`compute`].
pub async fn compute_leaderboards(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
) -> Result<Report, ReportError> {
    compute_with(store, record, options, false).await
}

async fn compute_with(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
    with_correlations: bool,
) -> Result<Report, ReportError> {
    require_complete(store, std::slice::from_ref(record)).await?;
    options.check()?;
    let by_metric: Vec<RunRecord> = record.metrics().iter().map(|metric| record.for_metric(metric)).collect();
    let found = by_metric.iter().flat_map(|record| &record.parts).map(|part| part.rows).sum();
    if found != record.counts.pictures {
        let what = format!("run `{}`", record.name);
        return Err(ReportError::Rows { what, planned: record.counts.pictures, found });
    }
    let mut report = Report::empty(record, options);
    for record in &by_metric {
        report.append(compute_metric(store, record, options, with_correlations).await?);
    }
    Ok(report)
}

/// Computes the report of a record of one metric.
async fn compute_metric(
    store: &Store,
    record: &RunRecord,
    options: &ReportOptions,
    with_correlations: bool,
) -> Result<Report, ReportError> {
    let metric = only_metric(record);
    let mut algorithms: Vec<AlgorithmName> = record.parts.iter().map(|part| part.algorithm.clone()).collect();
    algorithms.sort();
    algorithms.dedup();
    let (mut correlations, mut overall, mut leaderboards) = (Vec::new(), Vec::new(), Vec::new());
    // A metric has no rows of a data set that lacks the pictures that it compares with.
    let has_rows = |dataset: &&DatasetSpec| record.parts.iter().any(|part| part.dataset == dataset.name);
    for dataset in record.spec.datasets.iter().filter(has_rows) {
        let rows = dataset_scores::load(store, record, &metric, &dataset.name).await?;
        let (record, metric, dataset) = (record.clone(), metric.clone(), dataset.clone());
        let (algorithms, options) = (algorithms.clone(), *options);
        let work = move || {
            let context = RowContext::new(&record, &metric, &dataset.name);
            let leaderboard = leaderboard::compute(&rows, &context, (&algorithms, dataset.hazy.as_ref()), &options);
            let agreement = with_correlations.then(|| agreement(&rows, &context, &dataset, &options));
            (leaderboard, agreement.unwrap_or_default())
        };
        let (leaderboard, agreement) = tokio::task::spawn_blocking(work).await.expect("statistics do not panic");
        leaderboards.push(leaderboard);
        correlations.extend(agreement.table);
        overall.extend(agreement.overall);
    }
    correlations.extend(correlations::means_over_datasets(&overall));
    Ok(assemble((record, &metric), options, &algorithms, (correlations, leaderboards)))
}

fn agreement(
    rows: &DatasetScores,
    context: &RowContext<'_>,
    dataset: &DatasetSpec,
    options: &ReportOptions,
) -> Agreement {
    let mut agreement = correlations::compute(rows, context, dataset.protocol.as_deref(), options);
    let seen = dataset.seen_in_training.as_ref();
    held_out::insert_rows(&mut agreement.table, rows, (context, seen), options);
    agreement
}

fn assemble(
    (record, metric): (&RunRecord, &MetricSpec),
    options: &ReportOptions,
    algorithms: &[AlgorithmName],
    (correlations, leaderboards): (Vec<CorrelationRow>, Vec<Leaderboard>),
) -> Report {
    let tables: Vec<&[LeaderboardRow]> = leaderboards.iter().map(|leaderboard| leaderboard.table.as_slice()).collect();
    let cross_dataset = cross_dataset::compute(&tables);
    let mut leaderboard = tables.concat();
    let mut comparisons: Vec<ComparisonRow> =
        leaderboards.iter().flat_map(|leaderboard| leaderboard.comparisons.clone()).collect();
    if let Some(dataset) = record.spec.datasets.first() {
        let (table, pairs) = leaderboard::compute_across_datasets(
            &leaderboards,
            &RowContext::new(record, metric, &dataset.name),
            algorithms,
            options,
        );
        leaderboard.extend(table);
        comparisons.extend(pairs);
    }
    Report { correlations, leaderboard, comparisons, cross_dataset, ..Report::empty(record, options) }
}
