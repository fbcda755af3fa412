//! Tests reports of runs with several metrics: each metric is reported as if it were alone, directions are handled, and
//! two metrics never meet in one number.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use dqa_pipelines::metric::{Direction, MetricSpec};
use dqa_pipelines::report::compare::{CompareOptions, CompareTable, compare};
use dqa_pipelines::report::{self, Report, ReportError, ReportOptions, ReportTable, combine_runs, select_metric};
use dqa_pipelines::result_page::TableStyle;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::comparisons::ComparisonRow;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use dqa_pipelines::tables::scores::ScoreRow;
use metrics::{add_metric, compute, metric, store};
use synthetic::Shape;

#[path = "support/metrics.rs"]
mod metrics;
#[path = "support/synthetic.rs"]
mod synthetic;

const SHAPE: Shape = Shape { datasets: 2, algorithms: 6, scenes: 40, part_rows_max: 25, labelled: true };

/// Returns a value that depends on the picture's first score and, by another rule, on its name.
fn quality(row: &ScoreRow) -> f64 {
    let noise = blake3::hash(row.image.as_bytes()).as_bytes()[0];
    3.0 * row.score.as_ref().unwrap().score + f64::from(noise) / 200.0
}

/// Writes a run with CLIP-DQA, `blur`, of which low values are good, and `sharpness`, the negative of it.
async fn write_run(store: &Store, shape: Shape) -> RunRecord {
    let mut record = synthetic::write(store, "r", shape).await;
    add_metric(store, &mut record, &metric("blur", Direction::Lower), |row| Some(-quality(row))).await;
    add_metric(store, &mut record, &metric("sharpness", Direction::Higher), |row| Some(quality(row))).await;
    record
}

fn of_metric(report: &Report, name: &str) -> Report {
    let mut report = report.clone();
    report.retain_metric(&name.parse().unwrap()).unwrap();
    report
}

/// Gives the rows the metric, so that they can be compared with those of this metric.
fn rename_metric(report: &mut Report, metric: &MetricSpec) {
    let (name, fingerprint) = (Some(metric.name.to_string()), metric.fingerprint.clone());
    let direction = Some(metric.direction.to_string());
    for row in &mut report.correlations {
        let changed = (name.clone(), direction.clone(), fingerprint.clone());
        (row.metric, row.direction, row.fingerprint) = changed;
    }
    for row in &mut report.leaderboard {
        let changed = (name.clone(), direction.clone(), fingerprint.clone());
        (row.metric, row.direction, row.fingerprint) = changed;
    }
    for row in &mut report.comparisons {
        let changed = (name.clone(), direction.clone(), fingerprint.clone());
        (row.metric, row.direction, row.fingerprint) = changed;
    }
    for row in &mut report.cross_dataset {
        (row.metric, row.fingerprint) = (name.clone(), fingerprint.clone());
    }
}

fn negated(value: Option<f64>) -> Option<f64> {
    value.map(|value| 0.0 - value)
}

fn turn_back(row: LeaderboardRow) -> LeaderboardRow {
    LeaderboardRow {
        mean_score: negated(row.mean_score),
        mean_score_low: negated(row.mean_score_high),
        mean_score_high: negated(row.mean_score_low),
        adjusted_score: negated(row.adjusted_score),
        adjusted_score_low: negated(row.adjusted_score_high),
        adjusted_score_high: negated(row.adjusted_score_low),
        gain: negated(row.gain),
        gain_low: negated(row.gain_high),
        gain_high: negated(row.gain_low),
        ..row
    }
}

fn turn_pair_back(row: ComparisonRow) -> ComparisonRow {
    ComparisonRow {
        difference: 0.0 - row.difference,
        difference_low: negated(row.difference_high),
        difference_high: negated(row.difference_low),
        ..row
    }
}

#[tokio::test]
async fn a_metric_of_low_values_is_reported_as_its_negative_turned_back() {
    let (_dir, store) = store();
    let mut record = write_run(&store, SHAPE).await;
    record.spec.datasets[0].hazy = Some("algo02".parse().unwrap());
    let report = compute(&store, &record).await;
    let (blur, mut sharpness) = (of_metric(&report, "blur"), of_metric(&report, "sharpness"));
    rename_metric(&mut sharpness, &metric("blur", Direction::Lower));
    assert!(blur.correlations[0].srcc > Some(0.3), "agreement is positive: {:?}", blur.correlations[0].srcc);
    assert_eq!(blur.correlations, sharpness.correlations);
    let expected: Vec<LeaderboardRow> = sharpness.leaderboard.into_iter().map(turn_back).collect();
    assert_eq!(blur.leaderboard, expected);
    let expected: Vec<ComparisonRow> = sharpness.comparisons.into_iter().map(turn_pair_back).collect();
    assert_eq!(blur.comparisons, expected);
    assert_eq!(blur.cross_dataset, sharpness.cross_dataset);
    // Low values are good, and the best algorithm is the first.
    let first = &blur.leaderboard[0];
    assert!(first.rank == Some(1) && first.adjusted_score < blur.leaderboard[1].adjusted_score);
    assert!(first.adjusted_score_low < first.adjusted_score && first.adjusted_score < first.adjusted_score_high);
    assert!(first.adjusted_score < Some(0.0) && first.gain < Some(0.0), "values are as the metric gives them");
}

#[tokio::test]
async fn each_metric_is_reported_as_if_it_were_alone() {
    let (_dir, store) = store();
    let alone = synthetic::write(&store, "r", SHAPE).await;
    let before = compute(&store, &alone).await;
    let record = write_run(&store, SHAPE).await;
    let report = compute(&store, &record).await;
    let clip_dqa = of_metric(&report, "clip-dqa");
    assert_eq!(clip_dqa.correlations, before.correlations);
    assert_eq!(clip_dqa.leaderboard, before.leaderboard);
    assert_eq!(clip_dqa.comparisons, before.comparisons);
    assert_eq!(clip_dqa.cross_dataset, before.cross_dataset);
    let texts = |report: &Report| {
        let tables =
            [ReportTable::Correlations, ReportTable::Leaderboard, ReportTable::Comparisons, ReportTable::CrossDataset];
        report.render(&tables, TableStyle::default())
    };
    assert_eq!(texts(&clip_dqa), texts(&before));
    let blur = record.for_metric(&metric("blur", Direction::Lower));
    let blur = compute(&store, &blur).await;
    assert_eq!(blur.leaderboard, of_metric(&report, "blur").leaderboard);
    assert_eq!(report.leaderboard.len(), 3 * before.leaderboard.len());
    let means = report.correlations.iter().filter(|row| row.protocol == "mean_of_datasets");
    let metrics: Vec<&str> = means.map(|row| row.metric.as_deref().unwrap()).collect();
    assert_eq!(metrics, ["clip-dqa", "blur", "sharpness"]);
}

#[tokio::test]
async fn a_metric_may_lack_a_data_set() {
    let (_dir, store) = store();
    let mut record = write_run(&store, SHAPE).await;
    let blur = metric("blur", Direction::Lower);
    record.parts.retain(|part| !part.is_of(&blur) || part.dataset.as_str() == "set1");
    record.counts.pictures = record.parts.iter().map(|part| part.rows).sum();
    let report = of_metric(&compute(&store, &record).await, "blur");
    let datasets: Vec<_> = report.leaderboard.iter().map(|row| row.dataset.as_deref()).collect();
    assert_eq!(datasets, [Some("set1"); 6], "there is no mean over one data set");
    assert!(report.correlations.iter().all(|row| row.dataset.as_deref() == Some("set1")));
}

#[tokio::test]
async fn texts_name_each_metric_and_its_direction() {
    let (_dir, store) = store();
    let mut record = synthetic::write(&store, "r", Shape { datasets: 1, algorithms: 3, ..SHAPE }).await;
    let sees = |row: &ScoreRow| (row.scene != "scene_000003").then(|| -quality(row));
    add_metric(&store, &mut record, &metric("blur", Direction::Lower), sees).await;
    let mut report = compute(&store, &record).await;
    report.correlations.retain(report::is_in_summary);
    let tables = [ReportTable::Correlations, ReportTable::Leaderboard];
    insta::assert_snapshot!(report.render(&tables, TableStyle::default()));
    let error = report.retain_metric(&"niqe".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "run `r` has no metric `niqe`; it has clip-dqa, blur");
}

#[tokio::test]
async fn parts_of_another_metric_are_refused() {
    let (_dir, store) = store();
    let record = write_run(&store, SHAPE).await;
    let mut swapped = record.clone();
    let blur =
        record.parts.iter().find(|part| part.metric.as_ref().is_some_and(|name| name.as_str() == "blur")).unwrap();
    let index = record.parts.iter().position(|part| part.key.contains("sharpness-0")).unwrap();
    swapped.parts[index].key.clone_from(&blur.key);
    let error = report::compute(&store, &swapped, &ReportOptions::default()).await.unwrap_err();
    assert!(matches!(error, ReportError::MismatchedParts { .. }), "{error}");
    assert!(error.to_string().contains("metric blur instead of sharpness"), "{error}");
    let mut foreign = record.clone();
    foreign.parts[0].metric = Some("unknown".parse().unwrap());
    let error = report::compute(&store, &foreign, &ReportOptions::default()).await.unwrap_err();
    assert!(matches!(error, ReportError::Rows { .. }), "a part of no metric is not left out silently: {error}");
}

#[tokio::test]
async fn runs_of_other_metrics_are_not_combined() {
    let (_dir, store) = store();
    let record = write_run(&store, SHAPE).await;
    let differences = |other: RunRecord| match combine_runs(&record, &[other]) {
        Err(ReportError::IncomparableRuns { differences, .. }) => differences.join("; "),
        other => panic!("{other:?}"),
    };
    let fewer = differences(select_metric(&record, None).unwrap());
    assert_eq!(fewer, "metrics (blur, clip-dqa, sharpness and clip-dqa)");
    let mut other = record.clone();
    other.spec.metrics[1].fingerprint = "0".repeat(64);
    let changed = differences(other);
    assert!(changed.starts_with("fingerprint of metric blur (") && changed.ends_with("000)"), "{changed}");
    assert!(combine_runs(&record, std::slice::from_ref(&record)).is_ok());
}

#[tokio::test]
async fn compared_columns_are_of_one_metric_each() {
    let (_dir, store) = store();
    let record = write_run(&store, SHAPE).await;
    let other = RunRecord { name: "other".parse().unwrap(), ..record.clone() };
    let options = CompareOptions { dataset: None, only_to_first: false, level: CompareOptions::LEVEL };
    let same = compare(&store, &[record.clone(), other.clone()], &options).await.unwrap();
    assert!(same.agreement.iter().all(|row| row.difference.is_none_or(|difference| difference == 0.0)));
    let choose = |record: &RunRecord, name: &str| select_metric(record, Some(&name.parse().unwrap())).unwrap();
    let records = [choose(&record, "blur"), choose(&other, "sharpness")];
    let opposite = compare(&store, &records, &options).await.unwrap();
    assert!(opposite.agreement.iter().all(|row| row.value_a == row.value_b && row.value_a >= Some(0.0)));
    assert!(opposite.rank_agreement.iter().all(|row| row.srcc == Some(1.0)));
    let text = opposite.text(&[CompareTable::Agreement]);
    assert!(text.contains("A  r      metric blur (lower is better), fingerprint "), "{text}");
    let mut neither = record.clone();
    neither.spec.metrics.remove(0);
    let error = compare(&store, &[neither, other], &options).await.unwrap_err().to_string();
    assert_eq!(error, "run `r` has several metrics, and one of them must be named: blur, sharpness");
}
