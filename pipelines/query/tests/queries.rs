//! Tests that queries over stores of synthetic runs agree with the reports of `dqa-pipelines`.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use dqa_pipelines::report::{self, ReportIntervals, ReportOptions};
use dqa_pipelines::store::Store;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_query::{Selection, distributed, open_session, query};
use dqa_stats::SignificanceTest;
use graded::write_graded;
use synthetic::Shape;
use tempfile::TempDir;

#[allow(dead_code)] // shared with the tests of dqa-pipelines
#[path = "../../tests/support/graded.rs"]
mod graded;
#[path = "../../tests/support/synthetic.rs"]
mod synthetic;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
    (dir, store)
}

#[tokio::test]
async fn distributed_correlations_equal_the_pooled_rows_of_a_report() {
    let (_dir, store) = store();
    let shape = Shape { datasets: 2, algorithms: 6, scenes: 120, part_rows_max: 50, labelled: true };
    let record = synthetic::write(&store, "r", shape).await;
    let options = ReportOptions {
        intervals: ReportIntervals::Jackknife,
        replicates: 60,
        seed: 7,
        test: SignificanceTest::MaxDifference,
        margin: None,
    };
    let report = report::compute(&store, &record, &options).await.unwrap();
    let context = open_session(&store, &Selection::run(record.name.clone())).await.unwrap();
    let groups = distributed::correlations(&context, &record, &record.metrics()[0]).await.unwrap();
    let pooled: Vec<&CorrelationRow> = report.correlations.iter().filter(|row| row.protocol == "pooled").collect();
    assert_eq!(groups.len(), pooled.len());
    for (group, row) in groups.iter().zip(pooled) {
        let group_id = (Some(group.dataset.as_str()), group.group_kind.as_str(), &group.group_name);
        assert_eq!(group_id, (row.dataset.as_deref(), row.group_kind.as_str(), &row.group_name));
        let counts = [group.pictures, group.failed, group.unlabelled, group.n];
        assert_eq!(counts, [row.pictures, row.failed, row.unlabelled, row.n], "{group_id:?}");
        assert_eq!(group.srcc, row.srcc, "{group_id:?}");
        assert!((group.plcc.unwrap() - row.plcc.unwrap()).abs() < 1e-12, "{group_id:?}");
    }
}

#[tokio::test]
async fn the_comparisons_table_can_be_queried() {
    let (_dir, store) = store();
    let shape = Shape { datasets: 2, algorithms: 4, scenes: 20, part_rows_max: 1000, labelled: true };
    let record = write_graded(&store, shape).await;
    let options = ReportOptions { margin: Some(0.2), ..ReportOptions::default() };
    report::compute(&store, &record, &options).await.unwrap().write(&store).await.unwrap();
    let context = open_session(&store, &Selection::run(record.name.clone())).await.unwrap();
    let sql = "SELECT count(*), max(difference) FROM comparisons WHERE testable AND dataset = 'set0'";
    let batches = query(&context, sql).await.unwrap().collect().await.unwrap();
    assert!(batches[0].column(1).as_primitive::<Float64Type>().value(0) > 0.14);
}
