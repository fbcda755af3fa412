//! Queries that the check refuses, and queries that it accepts.

use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;

use super::*;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::run_progress::Progress;
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::tables::leaderboard::{self, LEADERBOARD};
use dqa_pipelines::tables::runs;

/// Returns the record of a run with this fingerprint and these parts.
fn record(name: &str, fingerprint: &str, parts: &[&str]) -> RunRecord {
    let part =
        |key: &&str| serde_json::json!({ "key": key, "dataset": "d", "algorithm": "dcp", "rows": 1, "windows": 1 });
    let time = "2026-01-01T00:00:00Z";
    let spec = serde_json::json!({
        "datasets": [], "model": format!("model-{fingerprint}"), "prompts": null, "views": "both", "dtype": "f32",
        "device": "cpu", "shard_windows_max": 1, "remark": null,
    });
    let record = serde_json::json!({
        "name": name, "state": "complete", "created": time, "updated": time, "spec": spec, "fingerprint": fingerprint,
        "counts": { "pictures": 1, "windows": 1, "scored": 1, "failed": 0 }, "provenance": {},
        "parts": parts.iter().map(part).collect::<Vec<_>>(),
    });
    serde_json::from_value(record).unwrap()
}

async fn check(records: &[RunRecord], sql: &str) -> Result<(), MixedRuns> {
    let context = SessionContext::new();
    crate::aggregates::register(&context);
    for (name, schema) in [
        (SCORES, crate::scores_table::SCHEMA.clone()),
        (RUNS, runs::SCHEMA.clone()),
        (LEADERBOARD, leaderboard::SCHEMA.clone()),
    ] {
        context.register_table(name, Arc::new(EmptyTable::new(schema))).unwrap();
    }
    let frame = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let status = |record: &RunRecord| RunStatus {
        record: record.clone(),
        state: record.state,
        progress: Progress::default(),
        owner: None,
    };
    let statuses: Vec<RunStatus> = records.iter().map(status).collect();
    SelectedRuns::new(&statuses).check(frame.logical_plan())
}

/// Returns two runs of one model, and one of another.
fn two_models() -> Vec<RunRecord> {
    vec![record("a", "aa11", &["p1"]), record("a2", "aa11", &["p2"]), record("b", "bb22", &["p3"])]
}

#[tokio::test]
async fn rows_of_two_models_are_not_taken_together() {
    for sql in [
        "SELECT avg(score) FROM scores",
        "SELECT count(*) FROM scores",
        "SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1",
        "SELECT avg(score) FROM scores WHERE algorithm = 'dcp' OR run = 'a'",
        "SELECT avg(score) FROM scores WHERE run IN ('a', 'b')",
        "SELECT avg(score) FROM scores WHERE fingerprint LIKE '%2' OR run LIKE 'a_'",
        "SELECT avg(s) FROM (SELECT score AS s FROM scores)",
        "SELECT avg(m) FROM (SELECT run, avg(score) AS m FROM scores GROUP BY run)",
        "SELECT avg(score) FROM (SELECT DISTINCT image, score FROM scores)",
        "SELECT image, rank() OVER (ORDER BY score) FROM scores",
        "SELECT image, score - avg(score) OVER (PARTITION BY algorithm) FROM scores",
        "SELECT algorithm FROM scores GROUP BY algorithm HAVING avg(score) > 0.5",
        "SELECT run, avg(score) FROM scores GROUP BY ROLLUP (run)",
        "SELECT image FROM scores WHERE score > (SELECT avg(score) FROM scores)",
        "WITH best AS (SELECT algorithm, max(score) AS m FROM scores GROUP BY 1) SELECT * FROM best",
        "SELECT avg(a.score - b.score) FROM scores a JOIN scores b ON a.image = b.image WHERE a.run = 'a'",
        "SELECT avg(a.score) FROM scores a LEFT JOIN scores b ON a.image = b.image AND a.run = 'a'",
        "SELECT avg(score) FROM (SELECT * FROM scores WHERE run = 'a' UNION ALL SELECT * FROM scores WHERE run = 'b')",
        "SELECT avg(score) FILTER (WHERE run <> 'a') FROM scores",
        "SELECT substr(fingerprint, 3, 0) AS f, avg(score) FROM scores GROUP BY 1",
        "SELECT r.state, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY r.state",
        "SELECT avg(mean_score) FROM leaderboard",
        "SELECT avg(l.mean_score) FROM leaderboard l JOIN scores s ON l.algorithm = s.algorithm WHERE s.run = 'a'",
        "SELECT avg(score) FROM (SELECT * FROM scores ORDER BY score LIMIT 5)",
    ] {
        let mixed = check(&two_models(), sql).await.expect_err(sql);
        assert!(mixed.fingerprints.is_some(), "{sql}: {mixed:?}");
        // If all runs have one model, every query is accepted.
        assert_eq!(check(&two_models()[..2], sql).await, Ok(()), "{sql}");
    }
}

#[tokio::test]
async fn what_tells_the_models_apart_is_answered() {
    for sql in [
        "SELECT * FROM scores",
        "SELECT image, score FROM scores ORDER BY score DESC LIMIT 5",
        "SELECT run, avg(score) FROM scores GROUP BY run",
        "SELECT fingerprint, algorithm, avg(score), count(*) FROM scores GROUP BY 1, 2",
        "SELECT left(fingerprint, 2) AS f, avg(score) FROM scores GROUP BY f",
        "SELECT CASE WHEN run = 'b' THEN 'other' ELSE 'ours' END AS which, avg(score) FROM scores GROUP BY 1",
        "SELECT avg(score) FROM scores WHERE run = 'a'",
        "SELECT avg(score) FROM scores WHERE fingerprint LIKE 'aa%'",
        "SELECT avg(score) FROM scores WHERE run IN ('a', 'a2') AND algorithm = 'dcp'",
        "SELECT avg(score) FROM scores WHERE run <> 'b'",
        "SELECT avg(score) FROM scores WHERE (run = 'a' AND mos > 1) OR (run = 'a2' AND mos < 1)",
        "SELECT algorithm, avg(score) FILTER (WHERE run = 'a') - avg(score) FILTER (WHERE run = 'b') FROM scores GROUP BY 1",
        "SELECT avg(d) FROM (SELECT algorithm, avg(score) FILTER (WHERE run = 'a') - avg(score) FILTER (WHERE run = 'b')
         AS d FROM scores GROUP BY 1)",
        "SELECT avg(CASE WHEN run = 'a' THEN score END) AS a, avg(CASE run WHEN 'b' THEN score END) AS b FROM scores",
        "SELECT count(DISTINCT image) FROM scores",
        "SELECT count(*) FROM (SELECT DISTINCT algorithm FROM scores)",
        "SELECT DISTINCT algorithm FROM scores",
        "SELECT algorithm FROM scores GROUP BY algorithm",
        "SELECT image, rank() OVER (PARTITION BY run ORDER BY score) FROM scores",
        "SELECT row_number() OVER (ORDER BY image) FROM scores",
        "SELECT which, avg(score) FROM (SELECT 'a' AS which, score FROM scores WHERE run = 'a'
         UNION ALL SELECT 'b', score FROM scores WHERE run = 'b') GROUP BY which",
        "SELECT avg(a.score - b.score) FROM scores a JOIN scores b ON a.image = b.image WHERE a.run = 'a' AND b.run = 'b'",
        "SELECT avg(a.score - b.score) FROM scores a JOIN scores b ON a.image = b.image AND a.run = 'a' AND b.run = 'b'",
        "SELECT a.run, avg(a.score * b.score) FROM scores a JOIN scores b ON a.image = b.image AND a.run = b.run GROUP BY 1",
        "SELECT a.run, avg(a.score * b.score) FROM scores a, scores b WHERE a.image = b.image AND b.run = a.run GROUP BY 1",
        "SELECT r.model, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY r.model",
        "SELECT r.model, avg(s.score) FROM runs r JOIN scores s ON r.run = s.run GROUP BY r.model",
        "SELECT avg(s.score) FROM runs r JOIN scores s ON r.run = s.run WHERE r.model = 'model-bb22'",
        "SELECT count(*), max(updated) FROM runs",
        "SELECT run, max(mean_score) FROM leaderboard GROUP BY run",
        "WITH m AS (SELECT run, avg(score) AS mean FROM scores GROUP BY run)
         SELECT s.image FROM scores s JOIN m ON s.run = m.run WHERE s.score > m.mean",
        "SELECT image FROM scores s WHERE score > (SELECT avg(score) FROM scores t WHERE t.run = s.run)",
        "SELECT l.run, l.algorithm, avg(s.score) FROM leaderboard l JOIN scores s ON l.run = s.run AND l.algorithm = s.algorithm
         GROUP BY l.run, l.algorithm",
        "SELECT avg(value) FROM generate_series(1, 3)",
    ] {
        assert_eq!(check(&two_models(), sql).await, Ok(()), "{sql}");
    }
}

#[tokio::test]
async fn rows_that_two_runs_share_do_not_count_twice() {
    let records = [record("a", "aa11", &["p1"]), record("more", "aa11", &["p1", "p2"])];
    for sql in ["SELECT avg(score) FROM scores", "SELECT fingerprint, count(*) FROM scores GROUP BY 1"] {
        let mixed = check(&records, sql).await.expect_err(sql);
        assert_eq!((mixed.runs, mixed.fingerprints), (["a".to_owned(), "more".to_owned()], None), "{sql}");
    }
    for sql in ["SELECT run, avg(score) FROM scores GROUP BY 1", "SELECT avg(mean_score) FROM leaderboard"] {
        assert_eq!(check(&records, sql).await, Ok(()), "{sql}");
    }
}
