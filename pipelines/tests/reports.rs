//! Tests reports over stores of synthetic runs: every row is counted, mismatched parts and runs are refused, other
//! tools can read the tables.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::Path;
use std::process::Command;

use dqa_pipelines::report::{self, Report, ReportError, ReportIntervals, ReportOptions, ReportTable, combine_runs};
use dqa_pipelines::result_page::{TEXT_WIDTH, TableForm, TableStyle};
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::parquet_file;
use dqa_pipelines::tables::scores::{ScoreRow, from_batch};
use dqa_stats::SignificanceTest;
use synthetic::{Shape, encode};
use tempfile::TempDir;

#[path = "support/synthetic.rs"]
mod synthetic;

const SMALL: Shape = Shape { datasets: 2, algorithms: 6, scenes: 120, part_rows_max: 50, labelled: true };
const OPTIONS: ReportOptions = ReportOptions {
    intervals: ReportIntervals::Jackknife,
    replicates: 60,
    seed: 7,
    test: SignificanceTest::MaxDifference,
    margin: None,
};

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
    (dir, store)
}

async fn compute(store: &Store, record: &RunRecord) -> Report {
    report::compute(store, record, &OPTIONS).await.unwrap()
}

async fn compute_error(store: &Store, record: &RunRecord) -> ReportError {
    report::compute(store, record, &OPTIONS).await.unwrap_err()
}

async fn part_rows(store: &Store, key: &str) -> Vec<ScoreRow> {
    let batches = parquet_file::read(store.get(key).await.unwrap()).unwrap();
    batches.iter().flat_map(|batch| from_batch(batch).unwrap()).collect()
}

/// Parses the number at the end of a name, such as 7 of `algo07`.
fn trailing_number(text: &str) -> usize {
    text.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

/// Applies a change to the rows of every part of a run.
async fn rewrite_parts(store: &Store, record: &RunRecord, change: impl Fn(&mut Vec<ScoreRow>)) {
    for part in &record.parts {
        let number = trailing_number(part.key.rsplit('-').next().unwrap().strip_suffix(".parquet").unwrap());
        let mut rows = part_rows(store, &part.key).await;
        change(&mut rows);
        let (reference, bytes, _) =
            encode(trailing_number(part.dataset.as_str()), trailing_number(part.algorithm.as_str()), number, &rows);
        assert_eq!(reference.key, part.key);
        store.put(&part.key, bytes).await.unwrap();
    }
}

/// Returns the rows of one kind of group of the pooled protocol.
fn groups<'a>(report: &'a Report, kind: &'a str) -> impl Iterator<Item = &'a CorrelationRow> {
    report.correlations.iter().filter(move |row| row.protocol == "pooled" && row.group_kind == kind)
}

#[tokio::test]
async fn scene_names_may_repeat_in_other_groups() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    // Both spellings sort in the same order within a city, because sums follow the order of scenes.
    rewrite_parts(&store, &record, |rows| {
        rows.iter_mut().for_each(|row| row.scene = format!("scene_{:04}", trailing_number(&row.scene)));
    })
    .await;
    let distinct = compute(&store, &record).await;
    rewrite_parts(&store, &record, |rows| {
        // There are ten cities, and the first scene of each is now `scene_000`.
        rows.iter_mut().for_each(|row| row.scene = format!("scene_{:03}", trailing_number(&row.scene) / 10));
    })
    .await;
    let shared = compute(&store, &record).await;
    assert_eq!(shared.correlations, distinct.correlations);
    assert_eq!(shared.leaderboard, distinct.leaderboard);
    assert!(shared.correlations.iter().any(|row| row.protocol == "exbedde"));
}

#[tokio::test]
async fn every_row_is_counted_once_in_each_kind_of_group() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let report = compute(&store, &record).await;
    assert!(record.counts.failed > 0);
    for kind in ["all", "algorithm", "scene_group"] {
        let sum = |count: fn(&CorrelationRow) -> u64| groups(&report, kind).map(count).sum::<u64>();
        assert_eq!(sum(|row| row.pictures), record.counts.pictures, "{kind}");
        assert_eq!(sum(|row| row.failed), record.counts.failed, "{kind}");
        assert_eq!(sum(|row| row.n + row.failed + row.unlabelled), record.counts.pictures, "{kind}");
        assert!(sum(|row| row.unlabelled) > 0);
    }
    assert_eq!(groups(&report, "algorithm").count(), 12);
    assert_eq!(groups(&report, "scene_group").count(), 20);
    let dataset_rows = report.leaderboard.iter().filter(|row| row.dataset.is_some());
    assert_eq!(dataset_rows.map(|row| row.pictures).sum::<u64>(), record.counts.pictures);
    assert_eq!(report.leaderboard.len(), 18, "six algorithms for each of two data sets and for both together");
}

#[tokio::test]
async fn a_report_does_not_depend_on_part_sizes() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let report = compute(&store, &record).await;
    let (_other_dir, other_store) = self::store();
    let other = synthetic::write(&other_store, "r", Shape { part_rows_max: 7, ..SMALL }).await;
    let other = compute(&other_store, &other).await;
    assert_eq!(report.correlations, other.correlations);
    assert_eq!(report.leaderboard, other.leaderboard);
    assert_eq!(report.cross_dataset, other.cross_dataset);
}

/// Applies changes that a cluster, another shard size or another listing may cause: which rows are in a part, and their
/// order.
#[tokio::test]
async fn a_report_does_not_depend_on_the_order_of_rows() {
    for intervals in [ReportIntervals::Jackknife, ReportIntervals::Bootstrap] {
        let options = ReportOptions { intervals, ..OPTIONS };
        let (_dir, store) = store();
        let record = synthetic::write(&store, "r", SMALL).await;
        let report = report::compute(&store, &record, &options).await.unwrap();
        rewrite_parts(&store, &record, |rows| {
            rows.rotate_left(7);
            rows.reverse();
        })
        .await;
        let mut reordered = record.clone();
        reordered.parts.reverse();
        let reordered = report::compute(&store, &reordered, &options).await.unwrap();
        assert_eq!(report.correlations, reordered.correlations);
        assert_eq!(report.leaderboard, reordered.leaderboard);
        assert_eq!(report.cross_dataset, reordered.cross_dataset);
    }
}

#[tokio::test]
async fn rank_groups_separate_better_algorithms_and_join_equal_ones() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", Shape { scenes: 300, ..SMALL }).await;
    let report = compute(&store, &record).await;
    for board in report.leaderboard.chunk_by(|a, b| a.dataset == b.dataset) {
        let group = |name: &str| board.iter().find(|row| row.algorithm == name).unwrap().rank_group.clone().unwrap();
        // algo00 to algo02 have equal quality, algo03 to algo05 a better one.
        assert_eq!(group("algo04"), "a");
        assert_eq!(group("algo01"), "b");
        assert_eq!((board[0].rank_best, board[0].rank_worst), (Some(1), Some(3)));
        assert_eq!((board[5].rank_best, board[5].rank_worst), (Some(4), Some(6)));
        assert!(board[2].p_next.unwrap() < 0.05 && board[0].p_next.unwrap() > 0.05);
        assert!(board.iter().all(|row| row.mean_score_low < row.mean_score && row.mean_score < row.mean_score_high));
    }
}

#[tokio::test]
async fn data_sets_have_equal_weight_in_overall_means() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let report = compute(&store, &record).await;
    for row in report.leaderboard.iter().filter(|row| row.dataset.is_none()) {
        let dataset_rows =
            report.leaderboard.iter().filter(|other| other.algorithm == row.algorithm && other.dataset.is_some());
        let means: Vec<f64> = dataset_rows.map(|row| row.mean_score.unwrap()).collect();
        assert!((row.mean_score.unwrap() - (means[0] + means[1]) / 2.0).abs() < 1e-12);
    }
    let mean = |protocol| report.correlations.iter().find(|row| row.protocol == protocol).unwrap();
    let dataset_rows: Vec<&CorrelationRow> = groups(&report, "all").collect();
    let (a, b) = (dataset_rows[0], dataset_rows[1]);
    let expected = (a.srcc.unwrap() + b.srcc.unwrap()) / 2.0;
    assert!((mean("mean_of_datasets").srcc.unwrap() - expected).abs() < 1e-12);
    let expected = (a.srcc.unwrap() * a.n as f64 + b.srcc.unwrap() * b.n as f64) / (a.n + b.n) as f64;
    assert!((mean("mean_by_pictures").srcc.unwrap() - expected).abs() < 1e-12);
    assert_eq!(mean("mean_by_pictures").n, a.n + b.n);
}

/// The name, value, lower bound, upper bound and `..._interval` of a measure.
type MeasureCells<'a> = (&'a str, Option<f64>, Option<f64>, Option<f64>, Option<&'a str>);

/// Returns the cells of each measure that has an interval.
#[rustfmt::skip]
fn measure_cells(row: &CorrelationRow) -> [MeasureCells<'_>; 10] {
    [
        ("srcc", row.srcc, row.srcc_low, row.srcc_high, row.srcc_interval.as_deref()),
        ("krcc", row.krcc, row.krcc_low, row.krcc_high, row.krcc_interval.as_deref()),
        ("plcc", row.plcc, row.plcc_low, row.plcc_high, row.plcc_interval.as_deref()),
        ("rmse", row.rmse, row.rmse_low, row.rmse_high, row.rmse_interval.as_deref()),
        ("plcc4", row.plcc_logistic4, row.plcc_logistic4_low, row.plcc_logistic4_high, row.plcc_logistic4_interval.as_deref()),
        ("rmse4", row.rmse_logistic4, row.rmse_logistic4_low, row.rmse_logistic4_high, row.rmse_logistic4_interval.as_deref()),
        ("plcc5", row.plcc_logistic5, row.plcc_logistic5_low, row.plcc_logistic5_high, row.plcc_logistic5_interval.as_deref()),
        ("rmse5", row.rmse_logistic5, row.rmse_logistic5_low, row.rmse_logistic5_high, row.rmse_logistic5_interval.as_deref()),
        ("pairs", row.pairwise_accuracy, row.pairwise_accuracy_low, row.pairwise_accuracy_high, row.pairwise_accuracy_interval.as_deref()),
        ("algorithms", row.algorithm_srcc, row.algorithm_srcc_low, row.algorithm_srcc_high, row.algorithm_srcc_interval.as_deref()),
    ]
}

#[tokio::test]
async fn every_measure_has_an_interval_or_the_reason_for_none() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", Shape { algorithms: 7, ..SMALL }).await;
    let report = compute(&store, &record).await;
    for row in report.correlations.iter().filter(|row| row.protocol != "vqeg") {
        for (name, value, low, high, interval) in measure_cells(row) {
            let context = format!("{name} {value:?} {low:?} {high:?} {interval:?} of {row:?}");
            assert_eq!(value.is_some(), interval.is_some(), "{context}");
            assert_eq!(low.is_some(), high.is_some(), "{context}");
            if let (Some(value), Some(low), Some(high)) = (value, low, high) {
                assert!(low <= value && value <= high, "{context}");
            }
        }
        assert!((row.srcc_low, row.srcc_high) != (None, None) || row.n == 0, "{row:?}");
        assert_eq!((row.replicates, row.seed, row.srcc_monte_carlo_error), (None, None, None));
    }
    let interval_of = |protocol: &str| {
        let row = report.correlations.iter().find(|row| row.protocol == protocol && row.group_kind == "all").unwrap();
        measure_cells(row).map(|(.., interval)| interval.map(str::to_owned))
    };
    let text = |intervals: [Option<String>; 10]| intervals.map(Option::unwrap_or_default).join(" ");
    assert_eq!(
        text(interval_of("pooled")),
        "jackknife_t jackknife_t jackknife_t jackknife_t group_jackknife_t group_jackknife_t group_jackknife_t \
         group_jackknife_t wilson half_samples"
    );
    assert_eq!(
        text(interval_of("mean_of_datasets")),
        "combined_t combined_t combined_t  combined_t  combined_t  wilson combined_t"
    );
    assert_eq!(text(interval_of("exbedde")), "student_t student_t     student_t student_t  ");
    // Published figures come from fits without bounds on the parameters.
    let vqeg: Vec<_> = report.correlations.iter().filter(|row| row.protocol == "vqeg").collect();
    assert!(vqeg.len() == 2 && vqeg.iter().all(|row| row.plcc_logistic4.is_some() && row.plcc_logistic5.is_some()));

    let bootstrap =
        ReportOptions { intervals: ReportIntervals::Bootstrap, replicates: 200, seed: 7, ..ReportOptions::default() };
    let drawn = report::compute(&store, &record, &bootstrap).await.unwrap();
    let row = groups(&drawn, "all").next().unwrap();
    assert_eq!((row.srcc_interval.as_deref(), row.replicates, row.seed), (Some("bootstrap"), Some(200), Some(7)));
    assert!(row.srcc_monte_carlo_error.unwrap() > 0.0);
    assert!(drawn.footnotes()[0].contains("200 draws, seed 7; the ends of SRCC have a Monte-Carlo error of up to 0.0"));
}

#[tokio::test]
async fn fewer_than_five_scenes_have_no_interval_and_the_reason_is_given() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", Shape { datasets: 1, scenes: 4, ..SMALL }).await;
    for intervals in [ReportIntervals::Jackknife, ReportIntervals::Bootstrap] {
        let report = report::compute(&store, &record, &ReportOptions { intervals, ..OPTIONS }).await.unwrap();
        let row = groups(&report, "all").next().unwrap();
        assert!(row.srcc.is_some() && row.srcc_low.is_none());
        assert_eq!(row.srcc_interval.as_deref(), Some("too_few_scenes"));
        assert_eq!(row.logistic5_status.as_deref(), Some("too_few_rows"), "24 pictures");
        assert!(report.text(ReportTable::Correlations).contains("too few scenes"));
    }
}

#[tokio::test]
async fn exbedde_counts_measured_and_excluded_pictures() {
    for algorithms in [5, 6, 9] {
        let (_dir, store) = store();
        let record = synthetic::write(&store, "r", Shape { algorithms, ..SMALL }).await;
        let report = compute(&store, &record).await;
        let rows: Vec<&CorrelationRow> = report.correlations.iter().filter(|row| row.protocol == "exbedde").collect();
        assert_eq!(rows.len(), 11, "ten cities and their mean");
        for row in &rows {
            let left_out = row.left_out.unwrap();
            assert_eq!(row.pictures, row.failed + row.unlabelled + left_out + row.n, "{row:?}");
            assert!(row.n >= 6 * row.scenes, "{row:?}");
            assert_eq!(row.srcc.is_some(), row.n > 0);
        }
        let (cities, all) = (&rows[..10], rows[10]);
        assert_eq!(cities.iter().map(|row| row.n).sum::<u64>(), all.n);
        assert_eq!(cities.iter().map(|row| row.scenes_too_small.unwrap()).sum::<u64>(), all.scenes_too_small.unwrap());
        if algorithms == 5 {
            // A fit of five parameters to five pictures is meaningless.
            assert_eq!((all.n, all.scenes, all.scenes_too_small, all.srcc), (0, 0, Some(120), None));
            let text = report.text(ReportTable::Correlations);
            assert!(text.contains("left out by exbedde: 120 scenes with fewer than 6 pictures"), "{text}");
        }
        let text = report.text(ReportTable::Correlations);
        assert!(text.contains("city0 by exbedde") && text.contains("set1 by exbedde"), "{text}");
    }
}

#[tokio::test]
async fn records_with_requests_of_older_versions_are_read() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let mut json = serde_json::to_value(&record).unwrap();
    json["request"] = serde_json::json!({
        "model": {
            "name": "m", "prompts_name": null, "weights": [], "prompts": null, "views": "v", "dtype": "f32", "fingerprint": "f"
        },
        "algorithms": [],
        "device": "cpu", "priority": 0, "allow_missing": false, "retry_failed": false, "replicates": 1000, "seed": 0
    });
    let record: RunRecord = serde_json::from_value(json).unwrap();
    assert_eq!(ReportOptions::from_run(&record).intervals, ReportIntervals::Jackknife);
}

#[tokio::test]
async fn unlabelled_runs_have_a_leaderboard_but_no_correlations() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", Shape { labelled: false, ..SMALL }).await;
    let report = compute(&store, &record).await;
    assert_eq!(report.correlations, []);
    assert_eq!(report.leaderboard.len(), 18);
    assert!(report.leaderboard.iter().all(|row| row.rank.is_some() && row.mean_mos.is_none()));
    assert!(report.cross_dataset.iter().all(|row| row.measure == "score"));
    assert!(report.text(ReportTable::Correlations).contains("none"));
    report.write(&store).await.unwrap();
}

#[tokio::test]
async fn an_algorithm_without_scores_has_no_rank_and_does_not_shift_others() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", Shape { datasets: 1, part_rows_max: 1000, ..SMALL }).await;
    let before = compute(&store, &record).await;
    let mut rows = part_rows(&store, &record.parts[5].key).await;
    for row in &mut rows {
        row.score =
            Err(dqa_pipelines::tables::scores::ScoringFailure { code: "io".to_owned(), message: "gone".to_owned() });
    }
    let (part, bytes, _) = encode(0, 5, 0, &rows);
    assert_eq!(part, record.parts[5]);
    store.put(&part.key, bytes).await.unwrap();
    let report = compute(&store, &record).await;
    let last = report.leaderboard.last().unwrap();
    assert_eq!((last.algorithm.as_str(), last.rank, last.failed, last.scenes), ("algo05", None, 120, 0));
    assert_eq!(report.leaderboard[0].rank_worst.max(report.leaderboard[4].rank_worst), Some(5));
    let means = |report: &Report| {
        let others = report.leaderboard.iter().filter(|row| row.algorithm != "algo05");
        others.map(|row| (row.algorithm.clone(), row.mean_score)).collect::<Vec<_>>()
    };
    assert_eq!(means(&report), means(&before));
}

#[tokio::test]
async fn parts_and_runs_that_do_not_match_the_record_are_refused() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let key = record.parts[4].key.clone();
    let whole = store.get(&key).await.unwrap();

    store.put(&key, whole.slice(..whole.len() / 2)).await.unwrap();
    assert!(matches!(compute_error(&store, &record).await, ReportError::Part { key: found, .. } if found == key));

    let rows = part_rows(&store, &record.parts[3].key).await;
    let (part, bytes, _) = encode(0, 1, 50, &rows[1..]);
    assert_eq!(part.key, key);
    store.put(&key, bytes).await.unwrap();
    let error = compute_error(&store, &record).await;
    assert!(matches!(error, ReportError::Rows { planned: 50, found: 49, .. }), "{error}");

    // The part holds rows of another algorithm under this algorithm's name.
    let (_, bytes, _) = encode(0, 2, 50, &rows);
    store.put(&key, bytes).await.unwrap();
    let error = compute_error(&store, &record).await.to_string();
    assert!(error.contains(&key) && error.contains("algorithm algo02 instead of algo01"), "{error}");

    store.delete(&key).await.unwrap();
    assert!(matches!(compute_error(&store, &record).await, ReportError::MissingPart { key: found } if found == key));

    store.put(&key, whole).await.unwrap();
    compute(&store, &record).await;
    let other = RunRecord { fingerprint: "0".repeat(64), ..record.clone() };
    let error = compute_error(&store, &other).await.to_string();
    assert!(error.contains(synthetic::FINGERPRINT) && error.contains(&key) && error.contains("more"), "{error}");
    let mut fewer = record.clone();
    fewer.parts.pop();
    assert!(matches!(compute_error(&store, &fewer).await, ReportError::Rows { .. }));
    let running = RunRecord { state: RunState::Running, ..record };
    assert!(matches!(compute_error(&store, &running).await, ReportError::Unfinished { .. }));
}

/// Returns the run's record with only some of its algorithms.
fn with_algorithms(record: &RunRecord, name: &str, keep: impl Fn(&str) -> bool) -> RunRecord {
    let mut record = RunRecord { name: name.parse().unwrap(), ..record.clone() };
    record.parts.retain(|part| keep(part.algorithm.as_str()));
    for dataset in &mut record.spec.datasets {
        dataset.algorithms.retain(|algorithm| keep(algorithm.as_str()));
    }
    record.counts.pictures = record.parts.iter().map(|part| part.rows).sum();
    record
}

#[tokio::test]
async fn combined_runs_of_one_model_equal_a_single_run() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let first = with_algorithms(&record, "first", |name| name < "algo04");
    let second = with_algorithms(&record, "second", |name| name > "algo01");
    let both = combine_runs(&first, &[second]).unwrap();
    assert_eq!(both.name.as_str(), "first+second");
    let mut report = report::compute_leaderboards(&store, &both, &OPTIONS).await.unwrap();
    report.leaderboard.iter_mut().for_each(|row| row.run = "r".to_owned());
    assert_eq!(report.leaderboard, compute(&store, &record).await.leaderboard);
}

#[tokio::test]
async fn incompatible_runs_are_refused_with_their_differences() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", SMALL).await;
    let differences = |change: &dyn Fn(&mut RunRecord)| {
        let mut other = record.clone();
        change(&mut other);
        match combine_runs(&record, &[other]) {
            Err(ReportError::IncomparableRuns { differences, .. }) => differences.join("; "),
            other => panic!("{other:?}"),
        }
    };
    let model_differences = differences(&|other| {
        other.fingerprint = "0".repeat(64);
        other.spec.views = "sees=local".to_owned();
        other.spec.prompts = Some("p.safetensors".to_owned());
    });
    for expected in ["fingerprint", "views (", "and sees=local)", "prompts (handcrafted and p.safetensors)"] {
        assert!(model_differences.contains(expected), "{model_differences}");
    }
    assert!(!model_differences.contains("dtype"), "{model_differences}");
    let protocol_differences = differences(&|other| other.spec.datasets[1].protocol = None);
    assert!(protocol_differences.contains("protocol of data set set1 (exbedde and pooled)"), "{protocol_differences}");
    let picture_differences = differences(&|other| other.parts[0].key += "x");
    assert!(picture_differences.contains("algo00 on data set set0"), "{picture_differences}");
}

#[tokio::test]
async fn text_tables_show_intervals_and_footnotes() {
    let (_dir, store) = store();
    let record = synthetic::write(&store, "r", Shape { algorithms: 5, scenes: 60, ..SMALL }).await;
    let mut report = compute(&store, &record).await;
    report.correlations.retain(|row| row.group_kind != "scene_group");
    let tables = [ReportTable::Correlations, ReportTable::CrossDataset, ReportTable::Leaderboard];
    let text = report.render(&tables, TableStyle::default());
    assert!(text.lines().all(|line| line.chars().count() <= TEXT_WIDTH), "{text}");
    insta::assert_snapshot!(text);
    let latex = TableStyle { form: TableForm::Latex, is_wide: true, ..TableStyle::default() };
    let latex = report.render(&[ReportTable::Leaderboard], latex);
    assert_eq!(latex.matches("\\toprule").count(), 3, "{latex}");
    assert!(
        latex.contains("rank & within & group & algorithm & score & 95\\% interval & mos & scenes & pictures &"),
        "{latex}"
    );
    report.retain_dataset(&"set1".parse().unwrap()).unwrap();
    assert_eq!(report.csv(ReportTable::Leaderboard).lines().count(), 6);
    assert_eq!(report.json(ReportTable::Leaderboard).lines().count(), 5);
    let error = report.retain_dataset(&"set9".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("set0, set1"), "{error}");
}

/// Returns a Python that can import the libraries for reading the tables: the one in `DQA_PYTHON`, whose libraries are
/// not checked, or else `python3` if it has them.
fn python() -> Option<String> {
    if let Ok(named) = std::env::var("DQA_PYTHON") {
        return Some(named);
    }
    let import_args = ["-c", "import duckdb, pandas, polars, pyarrow, scipy"];
    let imports =
        |python: &str| Command::new(python).args(import_args).output().is_ok_and(|output| output.status.success());
    imports("python3").then(|| "python3".to_owned())
}

#[tokio::test]
async fn duckdb_pandas_and_polars_open_every_table() {
    let Some(python) = python() else {
        eprintln!("skipped: found neither DQA_PYTHON nor a python3 with duckdb, pandas, polars, pyarrow and scipy");
        return;
    };
    let (dir, store) = store();
    // Two runs of one model, so that each table has more than one file.
    let record = synthetic::write(&store, "r", SMALL).await;
    compute(&store, &record).await.write(&store).await.unwrap();
    let partial = with_algorithms(&record, "part", |name| name < "algo03");
    compute(&store, &partial).await.write(&store).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/open_tables.py");
    let output = Command::new(python).arg(script).arg(dir.path()).args(["r", "part"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().last(), Some("all tables open"));
}
