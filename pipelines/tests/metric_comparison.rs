//! Tests the tables that compare metrics: the same pictures are compared, metrics of other runs can be added, and what
//! needs labels is left out without them.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::BTreeMap;

use dqa_pipelines::metric::Direction;
use dqa_pipelines::report::{self, Report, ReportError, ReportOptions, ReportTable, select_metric};
use dqa_pipelines::result_page::{Emphasis, TableStyle};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::metric_differences::MetricDifferenceRow;
use dqa_pipelines::tables::metrics::MetricRow;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{ScoreRow, from_batch};
use dqa_stats::{ScoreColumns, paired_differences};
use metrics::{add_metric, compute, metric, store};
use synthetic::Shape;

#[path = "support/metrics.rs"]
mod metrics;
#[path = "support/synthetic.rs"]
mod synthetic;

const SHAPE: Shape = Shape { datasets: 1, algorithms: 6, scenes: 30, part_rows_max: 25, labelled: true };

/// Returns a value that depends on the picture's first score and, with this weight, on its name.
fn blend(row: &ScoreRow, weight: f64) -> f64 {
    let noise = blake3::hash(row.image.as_bytes()).as_bytes()[0];
    row.score.as_ref().unwrap().score + weight * f64::from(noise) / 255.0
}

/// Writes a run with CLIP-DQA, `near`, which is close to it, and `blur`, which is noisy and of which low values are good.
async fn write_run(store: &Store, shape: Shape) -> RunRecord {
    let mut record = synthetic::write(store, "r", shape).await;
    add_metric(store, &mut record, &metric("near", Direction::Higher), |row| Some(blend(row, 0.1))).await;
    add_metric(store, &mut record, &metric("blur", Direction::Lower), |row| Some(-blend(row, 3.0))).await;
    record
}

fn find<'a>(report: &'a Report, metric: &str, protocol: &str) -> &'a MetricRow {
    let rows = report.metrics.metrics.iter();
    let mut rows = rows.filter(|row| row.protocol == protocol && row.group_kind == "all" && row.metric == metric);
    rows.next().unwrap()
}

fn pair<'a>(report: &'a Report, measure: &str, names: [&str; 2]) -> &'a MetricDifferenceRow {
    let rows = report.metrics.differences.iter();
    let mut rows = rows.filter(|row| row.protocol == "pooled" && row.group_kind == "all" && row.measure == measure);
    rows.find(|row| [row.metric_a.as_str(), &row.metric_b] == names).unwrap()
}

/// Returns the labelled pictures of a metric: the score of each name, its label and its scene.
async fn pictures(store: &Store, record: &RunRecord, name: &str) -> BTreeMap<String, (f64, f64, String)> {
    let mut pictures = BTreeMap::new();
    for part in select_metric(record, Some(&name.parse().unwrap())).unwrap().parts {
        for batch in parquet_file::read(store.get(&part.key).await.unwrap()).unwrap() {
            let rows = from_batch(&batch).unwrap().into_iter();
            let labelled = rows.filter_map(|row| Some((row.image, (row.score.ok()?.score, row.mos?, row.scene))));
            pictures.extend(labelled);
        }
    }
    pictures
}

#[tokio::test]
async fn differences_are_those_of_the_pictures_that_both_metrics_have() {
    let (_dir, store) = store();
    let mut record = write_run(&store, SHAPE).await;
    let sees = |row: &ScoreRow| (!row.scene.ends_with('7')).then(|| blend(row, 1.0));
    add_metric(&store, &mut record, &metric("partial", Direction::Higher), sees).await;
    let report = compute(&store, &record).await;
    let (whole, partial) = (pictures(&store, &record, "near").await, pictures(&store, &record, "partial").await);
    let common: Vec<&String> = whole.keys().filter(|image| partial.contains_key(*image)).collect();
    let row = pair(&report, "srcc", ["near", "partial"]);
    assert_eq!((row.n, row.excluded), (common.len() as u64, (whole.len() - common.len()) as u64));
    assert!(row.excluded >= 17, "three scenes of six algorithms, some unlabelled: {}", row.excluded);
    assert_eq!(find(&report, "near", "pooled").n, whole.len() as u64, "its own measures are of all of its pictures");
    let scores = [&partial, &whole].map(|pictures| common.iter().map(|image| pictures[*image].0).collect());
    let mos: Vec<f64> = common.iter().map(|image| whole[*image].1).collect();
    let scene: Vec<u32> = common.iter().map(|image| whole[*image].2[6..].parse().unwrap()).collect();
    let expected = paired_differences(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
    let expected = expected[0].differences[0].clone();
    let interval = expected.estimate.unwrap().interval.unwrap();
    for (found, expected) in [
        (row.difference, expected.estimate.unwrap().value),
        (row.difference_low, interval.low),
        (row.difference_high, interval.high),
        (row.p, expected.p.unwrap()),
    ] {
        assert!((found.unwrap() - expected).abs() < 1e-12, "{row:?}");
    }
    // Six pairs are corrected together.
    let rows: Vec<_> = report.metrics.differences.iter().filter(|row| row.measure == "srcc").collect();
    let all: Vec<_> = rows.iter().filter(|row| row.group_kind == "all").collect();
    assert_eq!(all.len(), 6);
    let least = all.iter().min_by(|a, b| a.p.unwrap().total_cmp(&b.p.unwrap())).unwrap();
    assert_eq!(least.p_corrected.unwrap(), (least.p.unwrap() * 6.0).min(1.0));
}

#[tokio::test]
async fn the_best_is_first_and_letters_join_metrics_that_do_not_differ() {
    let (_dir, store) = store();
    let mut record = write_run(&store, Shape { scenes: 60, ..SHAPE }).await;
    add_metric(&store, &mut record, &metric("twin", Direction::Lower), |row| Some(-blend(row, 0.1))).await;
    let report = compute(&store, &record).await;
    let all: Vec<&MetricRow> = report.metrics.metrics.iter().filter(|row| row.group_kind == "all").collect();
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted_by(|a, b| a.srcc >= b.srcc) && all[0].srcc_difference.is_none());
    let row = |name| find(&report, name, "pooled");
    let (best, blur, near, twin) = (all[0], row("blur"), row("near"), row("twin"));
    assert_eq!(best.srcc_rank, Some(1));
    assert_eq!((near.srcc, &near.srcc_group), (twin.srcc, &twin.srcc_group), "the sign of a metric does not matter");
    assert!(blur.srcc_difference.unwrap() < 0.0 && blur.srcc_p_corrected.unwrap() < 0.05, "{blur:?}");
    assert_eq!(blur.srcc_group.as_deref(), Some("b"));
    assert!(blur.srcc_difference_low < blur.srcc_difference && blur.srcc_difference < blur.srcc_difference_high);
    let groups = |kind: &str| report.metrics.metrics.iter().filter(|row| row.group_kind == kind).count();
    assert_eq!((groups("algorithm"), groups("scene_group")), (24, 40));
    let matrix = |a: &str, b: &str| {
        let is_cell = |row: &&_| {
            let row: &dqa_pipelines::tables::metric_matrix::MetricMatrixRow = row;
            row.metric == a && row.other_metric == b
        };
        report.metrics.matrix.iter().find(is_cell).unwrap().srcc
    };
    assert_eq!((matrix("near", "twin"), matrix("blur", "blur")), (Some(1.0), Some(1.0)));
    assert!(matrix("blur", "near") == matrix("near", "blur") && matrix("blur", "near") < Some(0.9));
    assert_eq!(report.metrics.matrix.len(), 16);
    let disagree = |a: &str, b: &str| {
        let rows = report.metrics.disagreements.iter();
        rows.filter(|row| [a, b].contains(&row.metric.as_str()) && [a, b].contains(&row.other_metric.as_str())).count()
    };
    assert_eq!((disagree("near", "twin"), disagree("near", "blur")), (0, 10));
    for row in &report.metrics.disagreements {
        assert!(row.rank < row.other_rank && row.gap > 0.0 && row.gap <= 1.0, "{row:?}");
        assert!(row.metric != "blur" || row.score < 0.0, "values are as the metric gives them");
    }
    let ranks = |name: &str| {
        let rows = report.metrics.ranks.iter().filter(|row| row.metric == name);
        rows.map(|row| (row.algorithm.clone(), row.rank)).collect::<Vec<_>>()
    };
    assert_eq!(ranks("near"), ranks("twin"));
}

#[tokio::test]
async fn exbedde_s_protocol_has_paired_differences_of_its_own() {
    let (_dir, store) = store();
    let record = write_run(&store, Shape { datasets: 2, scenes: 60, ..SHAPE }).await;
    let report = compute(&store, &record).await;
    let rows: Vec<&MetricRow> = report.metrics.metrics.iter().filter(|row| row.protocol == "exbedde").collect();
    assert_eq!(rows.len(), 33, "three metrics in ten cities and in all");
    assert!(rows.iter().all(|row| row.dataset == "set1"));
    let best = rows.iter().find(|row| row.group_kind == "all" && row.srcc_rank == Some(1)).unwrap();
    let blur = find(&report, "blur", "exbedde");
    assert!((blur.srcc_difference.unwrap() - (blur.srcc.unwrap() - best.srcc.unwrap())).abs() < 1e-12);
    assert!(blur.srcc_p_corrected.unwrap() < 0.05 && blur.plcc_rank.is_some() && blur.rmse_logistic5.is_some());
}

#[tokio::test]
async fn metrics_of_other_runs_are_compared_on_the_same_pictures() {
    let (_dir, store) = store();
    let record = write_run(&store, SHAPE).await;
    let mut imported = synthetic::write(&store, "imported", SHAPE).await;
    let mut other = metric("blur", Direction::Lower);
    other.fingerprint = blake3::hash(b"other code").to_hex().to_string();
    add_metric(&store, &mut imported, &other, |row| Some(-blend(row, 2.0))).await;
    let alone = select_metric(&imported, Some(&other.name)).unwrap();
    let both = |other: RunRecord| {
        let (store, record) = (&store, &record);
        async move { report::compute_with_others(store, record, &[other], &ReportOptions::default()).await }
    };
    let report = both(alone.clone()).await.unwrap();
    let blurs: Vec<(&str, &str)> = (report.metrics.metrics.iter())
        .filter(|row| row.group_kind == "all" && row.metric.starts_with("blur"))
        .map(|row| (row.metric.as_str(), row.metric_run.as_str()))
        .collect();
    assert_eq!(blurs, [("blur@imported", "imported"), ("blur", "r")]);
    assert!(report.leaderboard.iter().all(|row| row.run == "r"), "the other tables are of the run alone");
    let again = both(record.clone()).await.unwrap();
    assert_eq!(again.metrics, compute(&store, &record).await.metrics, "a metric that the run has is not added again");
    let mut unrelated = alone.clone();
    unrelated.spec.datasets[0].name = "set7".parse().unwrap();
    let error = both(unrelated).await.unwrap_err().to_string();
    assert_eq!(error, "run `imported` has no data set `set0`; it has set7");
    let mut elsewhere = alone;
    elsewhere.spec.datasets[0].root = "file:///elsewhere/".to_owned();
    let error = both(elsewhere).await.unwrap_err();
    assert!(matches!(error, ReportError::IncomparableRuns { .. }), "{error}");
    assert!(error.to_string().contains("root of data set set0 ("), "{error}");
}

#[tokio::test]
async fn unlabelled_pictures_have_a_matrix_ranks_and_disagreements() {
    let (_dir, store) = store();
    let record = write_run(&store, Shape { labelled: false, ..SHAPE }).await;
    let report = compute(&store, &record).await;
    let tables = &report.metrics;
    assert!(tables.metrics.is_empty() && tables.differences.is_empty());
    assert_eq!((tables.matrix.len(), tables.ranks.len(), tables.disagreements.len()), (9, 18, 30));
    assert!(tables.ranks.iter().all(|row| row.rank.is_some() && row.mos_rank.is_none()));
    let text = report.text(ReportTable::Metrics);
    assert!(text.starts_with("Do the metrics rank the pictures alike?") && !text.contains("labels"), "{text}");
}

#[tokio::test]
async fn tables_are_stored_only_if_there_are_several_metrics() {
    let (_dir, store) = store();
    let record = write_run(&store, SHAPE).await;
    let names = ["metrics", "metric_differences", "metric_matrix", "metric_ranks", "metric_disagreements"];
    let keys = names.map(|name| format!("{name}/by_run=r/{name}.parquet"));
    compute(&store, &record).await.write(&store).await.unwrap();
    for key in &keys {
        let batches = parquet_file::read(store.get(key).await.unwrap()).unwrap();
        assert!(batches[0].num_rows() > 0, "{key}");
    }
    let views = String::from_utf8(store.get("latest.sql").await.unwrap().to_vec()).unwrap();
    assert!(views.contains("VIEW metric_matrix AS SELECT * FROM read_parquet("), "{views}");
    let alone = compute(&store, &select_metric(&record, None).unwrap()).await;
    alone.write(&store).await.unwrap();
    for key in &keys {
        assert!(store.get(key).await.unwrap_err().is_not_found(), "{key} of an earlier report is removed");
    }
    assert_eq!(alone.text(ReportTable::Metrics), "");
}

#[tokio::test]
async fn the_text_marks_the_best() {
    let (_dir, store) = store();
    let record = write_run(&store, Shape { algorithms: 4, ..SHAPE }).await;
    let mut report = compute(&store, &record).await;
    report.metrics.metrics.retain(|row| row.group_kind != "scene_group");
    report.metrics.disagreements.retain(|row| row.position < 3);
    let text = report.text(ReportTable::Metrics);
    insta::assert_snapshot!(&text);
    let bold = TableStyle { emphasis: Emphasis::Bold, ..TableStyle::default() };
    let bold = report.render(&[ReportTable::Metrics], bold);
    let plain = report.render(&[ReportTable::Metrics], TableStyle::default());
    let lines = |text: String| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<String>>();
    let visible = bold.replace("\x1b[1m", "").replace("\x1b[0m", "");
    assert_eq!(lines(visible.replace("\nbold ", "\n     ")), lines(plain.replace('*', " ")));
    let marked = |text: &str, mark: &str| text.matches(mark).count();
    assert_eq!(marked(&bold, "\x1b[1m"), marked(&plain, "*") - 1, "one is in the explanation");
}
