//! Tests leaderboards and comparisons over stores of synthetic runs: unequal scenes, the hazy input, pairs that cannot
//! be tested, equivalence.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::Path;

use dqa_pipelines::report::{self, Report, ReportOptions, ReportTable};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use dqa_stats::SignificanceTest;
use graded::{replace_rows, write_graded};
use synthetic::Shape;
use tempfile::TempDir;

#[path = "support/graded.rs"]
mod graded;
#[path = "support/synthetic.rs"]
mod synthetic;

const SHAPE: Shape = Shape { datasets: 1, algorithms: 4, scenes: 20, part_rows_max: 1000, labelled: true };
const DEFAULT_OPTIONS: fn() -> ReportOptions = ReportOptions::default;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
    (dir, store)
}

fn row<'a>(report: &'a Report, algorithm: &str) -> &'a LeaderboardRow {
    report.leaderboard.iter().find(|row| row.algorithm == algorithm).unwrap()
}

/// Returns a text on one line, with single blanks.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_algorithm_with_only_easy_scenes_does_not_rank_first() {
    let (_dir, store) = store();
    let mut record = write_graded(&store, SHAPE).await;
    // Only the worst algorithm has the two easiest scenes.
    replace_rows(&store, &mut record, 3, |rows| rows[18..].to_vec()).await;
    let report = report::compute(&store, &record, &DEFAULT_OPTIONS()).await.unwrap();
    let last = row(&report, "algo03");
    assert!(report.leaderboard.iter().all(|other| other.mean_score <= last.mean_score), "its own mean is the highest");
    assert_eq!((last.rank, last.rank_best, last.rank_worst), (Some(4), Some(1), Some(4)));
    assert!(last.adjusted_score < row(&report, "algo02").adjusted_score);
    assert_eq!((last.scenes, last.common_scenes), (2, Some(2)));
    assert_eq!((last.rank_group.as_deref(), last.p_next), (Some("not testable"), None));
    assert_eq!((last.interval_method.as_deref(), last.interval_missing.as_deref()), (None, Some("too_few_scenes")));
    let first = row(&report, "algo00");
    assert_eq!((first.rank, first.rank_worst, first.rank_group.as_deref()), (Some(1), Some(2), Some("a")));
    assert_eq!(first.interval_method.as_deref(), Some("student_t"));
    let text = words(&report.text(ReportTable::Leaderboard));
    for expected in
        ["Two algorithms have 2 to 20 scenes in common.", "2*", "own mean", "not testable", "no interval below 5"]
    {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
}

#[tokio::test]
async fn algorithms_without_common_scenes_are_ranked_separately() {
    let (_dir, store) = store();
    let mut record = write_graded(&store, SHAPE).await;
    replace_rows(&store, &mut record, 2, |rows| rows[12..].to_vec()).await;
    for algorithm in [0, 1, 3] {
        replace_rows(&store, &mut record, algorithm, |rows| rows[..12].to_vec()).await;
    }
    let report = report::compute(&store, &record, &DEFAULT_OPTIONS()).await.unwrap();
    let alone = row(&report, "algo02");
    assert_eq!((alone.component, alone.rank, alone.rank_worst), (Some(2), Some(1), Some(1)));
    assert_eq!(row(&report, "algo03").rank_worst, Some(3));
    assert!(report.comparisons.iter().all(|pair| pair.algorithm_a != "algo02" && pair.algorithm_b != "algo02"));
    assert!(report.text(ReportTable::Leaderboard).contains("No scenes connect these with the algorithms above"));
}

#[tokio::test]
async fn the_hazy_input_is_listed_without_rank_and_gains_are_relative_to_it() {
    let (_dir, store) = store();
    let mut record = write_graded(&store, SHAPE).await;
    record.spec.datasets[0].hazy = Some("algo02".parse().unwrap());
    let report = report::compute(&store, &record, &DEFAULT_OPTIONS()).await.unwrap();
    let order: Vec<(&str, Option<u32>)> =
        report.leaderboard.iter().map(|row| (row.algorithm.as_str(), row.rank)).collect();
    assert_eq!(order, [("algo00", Some(1)), ("algo01", Some(2)), ("algo02", None), ("algo03", Some(3))]);
    let (best, hazy, worst) = (row(&report, "algo00"), row(&report, "algo02"), row(&report, "algo03"));
    assert!((best.gain.unwrap() - (best.mean_score.unwrap() - hazy.mean_score.unwrap())).abs() < 1e-12);
    assert!(best.gain_low > Some(0.05) && worst.gain_high < Some(0.0) && hazy.gain.is_none());
    assert!(hazy.rank_group.is_none() && row(&report, "algo01").p_next.is_some());
    assert_eq!(report.comparisons.len(), 3, "only pairs of ranked algorithms");
    let text = words(&report.text(ReportTable::Leaderboard));
    assert!(text.contains("gain the score less that of the hazy input"), "{text}");
}

#[tokio::test]
async fn comparisons_include_detectable_differences_and_equivalence() {
    let (_dir, store) = store();
    let record = write_graded(&store, Shape { datasets: 2, ..SHAPE }).await;
    let options = ReportOptions { margin: Some(0.2), ..DEFAULT_OPTIONS() };
    let report = report::compute(&store, &record, &options).await.unwrap();
    report.write(&store).await.unwrap();
    assert_eq!(report.comparisons.len(), 18, "six pairs for each of two data sets and for both together");
    let first = &report.comparisons[0];
    assert_eq!((first.algorithm_a.as_str(), first.algorithm_b.as_str()), ("algo00", "algo01"));
    assert!(first.significant && first.testable && first.p_corrected >= Some(first.p) && first.p_smallest < 0.001);
    assert!(first.difference_low < Some(first.difference) && Some(first.difference) < first.difference_high);
    assert_eq!((first.rank_biserial, first.probability_of_superiority), (Some(1.0), Some(1.0)));
    assert!(first.minimum_detectable_difference.unwrap() < first.difference);
    assert!(first.equivalence_p < first.equivalence_p_corrected && first.equivalence_p_corrected < Some(0.05));
    assert_eq!(report.csv(ReportTable::Comparisons).lines().count(), 19);
    let text = report.text(ReportTable::Comparisons);
    assert!(text.contains("Comparisons: set0") && text.contains("equivalent") && text.contains("differ"), "{text}");
}

#[tokio::test]
async fn five_scenes_are_reported_as_too_few_for_a_test() {
    let (_dir, store) = store();
    let record = write_graded(&store, Shape { scenes: 5, ..SHAPE }).await;
    for test in [SignificanceTest::MaxDifference, SignificanceTest::MaxT, SignificanceTest::Wilcoxon] {
        let report = report::compute(&store, &record, &ReportOptions { test, ..DEFAULT_OPTIONS() }).await.unwrap();
        assert!(report.comparisons.iter().all(|pair| !pair.testable && !pair.significant && pair.p_smallest == 0.0625));
        assert!(report.leaderboard.iter().all(|row| row.rank_group.as_deref() == Some("not testable")));
        assert!(report.leaderboard.iter().all(|row| row.adjusted_score_low.is_some()));
        let text = words(&report.text(ReportTable::Leaderboard));
        assert!(text.contains("it does not mean that there is none"), "{text}");
    }
}
