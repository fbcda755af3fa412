//! Tests leaderboards and comparisons over stores of synthetic runs: unequal scenes, the hazy input, pairs that cannot
//! be tested, equivalence.

#![allow(clippy::unwrap_used)] // helpers too

use std::path::Path;

use dqa_pipelines::report::{self, Report, ReportOptions, ReportTable};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use dqa_stats::SignificanceTest;
use graded::{graded, replace_rows};
use synthetic::Shape;
use tempfile::TempDir;

#[path = "support/graded.rs"]
mod graded;
#[path = "support/synthetic.rs"]
mod synthetic;

const SHAPE: Shape = Shape { datasets: 1, algorithms: 4, scenes: 20, part_rows_max: 1000, labelled: true };
const USUAL: fn() -> ReportOptions = ReportOptions::default;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
    (dir, store)
}

fn row<'a>(report: &'a Report, algorithm: &str) -> &'a LeaderboardRow {
    report.leaderboard.iter().find(|row| row.algorithm == algorithm).unwrap()
}

#[tokio::test]
async fn two_easy_scenes_do_not_win_a_leaderboard() {
    let (_dir, store) = store();
    let mut record = graded(&store, SHAPE).await;
    // Only the worst algorithm has the two easiest scenes.
    replace_rows(&store, &mut record, 3, |rows| rows[18..].to_vec()).await;
    let report = report::compute(&store, &record, &USUAL()).await.unwrap();
    let last = row(&report, "algo03");
    assert!(report.leaderboard.iter().all(|other| other.mean_score <= last.mean_score), "by its own mean it is first");
    assert_eq!((last.rank, last.rank_best, last.rank_worst), (Some(4), Some(1), Some(4)));
    assert!(last.adjusted_score < row(&report, "algo02").adjusted_score);
    assert_eq!((last.scenes, last.common_scenes), (2, Some(2)));
    assert_eq!((last.rank_group.as_deref(), last.p_next), (Some("not testable"), None));
    assert_eq!((last.interval_method.as_deref(), last.interval_missing.as_deref()), (None, Some("too_few_scenes")));
    let first = row(&report, "algo00");
    assert_eq!((first.rank, first.rank_worst, first.rank_group.as_deref()), (Some(1), Some(2), Some("a")));
    assert_eq!(first.interval_method.as_deref(), Some("student_t"));
    let text = report.text(ReportTable::Leaderboard);
    for said in
        ["Two algorithms have 2 to 20 scenes in common.", "2*", "own mean", "not testable", "no interval below 5"]
    {
        assert!(text.contains(said), "{said} in\n{text}");
    }
}

#[tokio::test]
async fn what_no_scene_connects_is_said_and_not_ranked_together() {
    let (_dir, store) = store();
    let mut record = graded(&store, SHAPE).await;
    replace_rows(&store, &mut record, 2, |rows| rows[12..].to_vec()).await;
    for algorithm in [0, 1, 3] {
        replace_rows(&store, &mut record, algorithm, |rows| rows[..12].to_vec()).await;
    }
    let report = report::compute(&store, &record, &USUAL()).await.unwrap();
    let alone = row(&report, "algo02");
    assert_eq!((alone.component, alone.rank, alone.rank_worst), (Some(2), Some(1), Some(1)));
    assert_eq!(row(&report, "algo03").rank_worst, Some(3));
    assert!(report.comparisons.iter().all(|pair| pair.algorithm_a != "algo02" && pair.algorithm_b != "algo02"));
    assert!(report.text(ReportTable::Leaderboard).contains("No scenes connect these with the algorithms above"));
}

#[tokio::test]
async fn the_hazy_input_has_a_row_and_no_rank_and_the_others_their_gain() {
    let (_dir, store) = store();
    let mut record = graded(&store, SHAPE).await;
    record.spec.datasets[0].hazy = Some("algo02".parse().unwrap());
    let report = report::compute(&store, &record, &USUAL()).await.unwrap();
    let order: Vec<(&str, Option<u32>)> =
        report.leaderboard.iter().map(|row| (row.algorithm.as_str(), row.rank)).collect();
    assert_eq!(order, [("algo00", Some(1)), ("algo01", Some(2)), ("algo02", None), ("algo03", Some(3))]);
    let (best, hazy, worst) = (row(&report, "algo00"), row(&report, "algo02"), row(&report, "algo03"));
    assert!((best.gain.unwrap() - (best.mean_score.unwrap() - hazy.mean_score.unwrap())).abs() < 1e-12);
    assert!(best.gain_low > Some(0.05) && worst.gain_high < Some(0.0) && hazy.gain.is_none());
    assert!(hazy.rank_group.is_none() && row(&report, "algo01").p_next.is_some());
    assert_eq!(report.comparisons.len(), 3, "pairs of ranked algorithms alone");
    assert!(report.text(ReportTable::Leaderboard).contains("gain: the score less that of the hazy input"));
}

#[tokio::test]
async fn comparisons_are_a_table_of_the_store_and_say_what_scenes_can_show() {
    let (_dir, store) = store();
    let record = graded(&store, Shape { datasets: 2, ..SHAPE }).await;
    let options = ReportOptions { margin: Some(0.2), ..USUAL() };
    let report = report::compute(&store, &record, &options).await.unwrap();
    report.write(&store).await.unwrap();
    assert_eq!(report.comparisons.len(), 18, "six pairs of two data sets and of both");
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
async fn five_scenes_show_nothing_and_say_so() {
    let (_dir, store) = store();
    let record = graded(&store, Shape { scenes: 5, ..SHAPE }).await;
    for test in [SignificanceTest::MaxDifference, SignificanceTest::MaxT, SignificanceTest::Wilcoxon] {
        let report = report::compute(&store, &record, &ReportOptions { test, ..USUAL() }).await.unwrap();
        assert!(report.comparisons.iter().all(|pair| !pair.testable && !pair.significant && pair.p_smallest == 0.0625));
        assert!(report.leaderboard.iter().all(|row| row.rank_group.as_deref() == Some("not testable")));
        assert!(report.leaderboard.iter().all(|row| row.adjusted_score_low.is_some()));
        assert!(report.text(ReportTable::Leaderboard).contains("it does not mean that there is none"));
    }
}
