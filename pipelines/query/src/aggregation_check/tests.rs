//! Queries that the check refuses, and queries that it accepts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::empty::EmptyTable;
use datafusion::prelude::SessionContext;

use super::*;
use crate::error::SqlError;
use dqa_pipelines::Hint;
use dqa_pipelines::metric::{CLIP_DQA, Direction, MetricSpec};
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::run_progress::Progress;
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::tables::leaderboard::{self, LEADERBOARD};
use dqa_pipelines::tables::runs;

/// Returns the record of a run with this fingerprint and these parts.
fn record(name: &str, fingerprint: &str, parts: &[&str]) -> RunRecord {
    let part = |key: &&str| part(key, None);
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

fn part(key: &str, metric: Option<&str>) -> serde_json::Value {
    serde_json::json!({
        "key": key, "dataset": "d", "algorithm": "dcp", "rows": 1, "windows": 1, "metric": metric,
    })
}

/// Returns the record of a run with these metrics, each with its fingerprint and its part.
fn record_of_metrics(name: &str, metrics: &[(&str, &str, &str)]) -> RunRecord {
    let mut record = record(name, "", &[]);
    record.spec.model = format!("model-{name}");
    for (metric, fingerprint, key) in metrics {
        let metric_name = Some(*metric).filter(|metric| *metric != CLIP_DQA);
        let (name, direction) = (metric.parse().unwrap(), Direction::Higher);
        record.parts.push(serde_json::from_value(part(key, metric_name)).unwrap());
        record.spec.metrics.push(MetricSpec { name, direction, fingerprint: (*fingerprint).to_owned() });
    }
    record
}

/// Returns the columns of the leaderboard, with a column for the metric.
fn leaderboard_schema() -> SchemaRef {
    let mut fields = leaderboard::SCHEMA.fields().to_vec();
    if fields.iter().all(|field| field.name() != METRIC) {
        fields.push(Arc::new(Field::new(METRIC, DataType::Utf8, true)));
    }
    Arc::new(Schema::new(fields))
}

async fn check(records: &[RunRecord], sql: &str) -> Result<(), MixedRows> {
    let context = SessionContext::new();
    crate::aggregates::register(&context);
    for (name, schema) in [
        (SCORES, crate::scores_table::SCHEMA.clone()),
        (RUNS, runs::SCHEMA.clone()),
        (LEADERBOARD, leaderboard_schema()),
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
        "SELECT avg(l.mean_score) FROM runs r LEFT JOIN leaderboard l ON r.run = l.run",
        "SELECT avg(l.mean_score) FROM leaderboard l JOIN scores s ON l.algorithm = s.algorithm WHERE s.run = 'a'",
        "SELECT avg(score) FROM (SELECT * FROM scores ORDER BY score LIMIT 5)",
    ] {
        let mixed = check(&two_models(), sql).await.expect_err(sql);
        assert_ne!(mixed.origins[0].fingerprint, mixed.origins[1].fingerprint, "{sql}");
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
        assert_eq!(mixed.origins.each_ref().map(|origin| origin.run.as_str()), ["a", "more"], "{sql}");
        let error = SqlError::from(mixed).to_string();
        assert!(
            error.ends_with("rows of the runs `a` and `more`, which share pictures that would count twice"),
            "{error}"
        );
    }
    for sql in ["SELECT run, avg(score) FROM scores GROUP BY 1", "SELECT avg(mean_score) FROM leaderboard"] {
        assert_eq!(check(&records, sql).await, Ok(()), "{sql}");
    }
}

/// Returns a run of two metrics.
fn two_metrics() -> Vec<RunRecord> {
    vec![record_of_metrics("m", &[(CLIP_DQA, "aa11", "p1"), ("niqe", "cc33", "p2")])]
}

#[tokio::test]
async fn rows_of_two_metrics_are_not_taken_together() {
    for sql in [
        "SELECT avg(score) FROM scores",
        "SELECT count(*) FROM scores",
        "SELECT algorithm, srcc(score, mos) FROM scores GROUP BY 1",
        "SELECT corr(score, mos) FROM scores WHERE run = 'm'",
        "SELECT run, max(score) FROM scores GROUP BY run",
        "SELECT min(score_min) FROM scores WHERE metric IN ('niqe', 'clip-dqa')",
        "SELECT avg(score) FROM scores WHERE metric <> 'psnr_rgb' OR algorithm = 'dcp'",
        "SELECT image, rank() OVER (PARTITION BY run ORDER BY score) FROM scores",
        "SELECT avg(m) FROM (SELECT metric, avg(score) AS m FROM scores GROUP BY metric)",
        "SELECT avg(score) FILTER (WHERE metric <> 'psnr_rgb') FROM scores",
        "SELECT r.model, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY r.model",
        "SELECT r.run, avg(s.score) FROM runs r LEFT JOIN scores s ON r.run = s.run GROUP BY 1",
        "SELECT a.run, avg(b.score) FROM scores a JOIN scores b ON a.image = b.image AND a.run = b.run
         WHERE a.metric = 'niqe' GROUP BY 1",
        "SELECT image FROM scores s WHERE score > (SELECT avg(score) FROM scores t WHERE t.run = s.run)",
        "SELECT run, avg(mean_score) FROM leaderboard GROUP BY run",
        "SELECT avg(l.mean_score) FROM leaderboard l JOIN scores s ON l.run = s.run WHERE s.metric = 'niqe'",
    ] {
        let mixed = check(&two_metrics(), sql).await.expect_err(sql);
        assert_eq!(mixed.origins.each_ref().map(|origin| origin.metric.as_str()), [CLIP_DQA, "niqe"], "{sql}");
    }
}

#[tokio::test]
async fn what_tells_the_metrics_apart_is_answered() {
    for sql in [
        "SELECT * FROM scores ORDER BY score",
        "SELECT metric, avg(score), count(*) FROM scores GROUP BY metric",
        "SELECT fingerprint, srcc(score, mos) FROM scores GROUP BY 1",
        "SELECT avg(score) FROM scores WHERE metric = 'niqe'",
        "SELECT avg(score) FROM scores WHERE fingerprint = 'cc33'",
        "SELECT avg(score) FILTER (WHERE metric = 'niqe') - avg(CASE metric WHEN 'clip-dqa' THEN score END) FROM scores",
        "SELECT count(DISTINCT image) FROM scores",
        "SELECT image, rank() OVER (PARTITION BY metric ORDER BY score) FROM scores",
        "SELECT corr(a.score, b.score) FROM scores a JOIN scores b USING (dataset, image)
         WHERE a.metric = 'niqe' AND b.metric = 'clip-dqa'",
        "SELECT r.model, s.metric, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY 1, 2",
        "SELECT r.model, avg(s.score) FROM scores s JOIN runs r USING (run) WHERE s.metric = 'niqe' GROUP BY 1",
        "SELECT r.model, avg(s.score) FROM runs r LEFT JOIN (SELECT * FROM scores WHERE metric = 'niqe') s
         ON r.run = s.run GROUP BY 1",
        "SELECT image FROM scores s WHERE score > (SELECT avg(score) FROM scores t WHERE t.metric = s.metric)",
        "SELECT metric, max(mean_score) FROM leaderboard GROUP BY metric",
        "SELECT max(mean_score) FROM leaderboard WHERE fingerprint LIKE 'c%'",
        "SELECT l.metric, avg(s.score) FROM leaderboard l JOIN scores s ON l.run = s.run AND l.metric = s.metric
         AND l.algorithm = s.algorithm GROUP BY 1",
        "SELECT count(*) FROM runs",
    ] {
        assert_eq!(check(&two_metrics(), sql).await, Ok(()), "{sql}");
    }
}

#[tokio::test]
async fn runs_with_one_metric_each_are_told_apart_by_run() {
    let records = [record("c", "aa11", &["p1"]), record_of_metrics("n", &[("niqe", "cc33", "p2")])];
    assert!(check(&records, "SELECT avg(score) FROM scores").await.is_err());
    for sql in ["SELECT run, avg(score) FROM scores GROUP BY 1", "SELECT avg(score) FROM scores WHERE run = 'n'"] {
        assert_eq!(check(&records, sql).await, Ok(()), "{sql}");
    }
}

#[tokio::test]
async fn runs_that_share_parts_of_several_metrics_are_told_apart() {
    let records = [
        record_of_metrics("m", &[(CLIP_DQA, "aa11", "p1"), ("niqe", "cc33", "p2")]),
        record_of_metrics("more", &[(CLIP_DQA, "aa11", "p1"), ("niqe", "cc33", "p2"), ("fade", "dd44", "p3")]),
    ];
    // Only one of them has this metric.
    assert_eq!(check(&records, "SELECT avg(score) FROM scores WHERE metric = 'fade'").await, Ok(()));
    let both = "FROM scores a JOIN scores b ON a.image = b.image AND a.run = b.run
                WHERE a.metric = 'niqe' AND b.metric = 'clip-dqa'";
    for sql in [
        "SELECT metric, avg(score) FROM scores GROUP BY metric".to_owned(),
        "SELECT run, avg(score) FROM scores GROUP BY run".to_owned(),
        format!("SELECT corr(a.score, b.score) {both}"),
        "SELECT image FROM scores s WHERE score > (SELECT avg(score) FROM scores t WHERE t.metric = s.metric)"
            .to_owned(),
    ] {
        assert!(check(&records, &sql).await.is_err(), "{sql}");
    }
    for sql in [
        "SELECT run, metric, avg(score) FROM scores GROUP BY 1, 2".to_owned(),
        "SELECT run, avg(score) FROM scores WHERE metric = 'niqe' GROUP BY run".to_owned(),
        "SELECT r.model, s.metric, avg(s.score) FROM scores s JOIN runs r USING (run) GROUP BY 1, 2".to_owned(),
        format!("SELECT a.run, corr(a.score, b.score) {both} GROUP BY 1"),
        format!("SELECT corr(a.score, b.score) {both} AND a.run = 'm'"),
        "SELECT corr(a.score, b.score) FROM scores a, scores b WHERE a.image = b.image AND a.run = b.run
         AND a.metric = 'niqe' AND b.metric = 'clip-dqa' AND a.run = 'm'"
            .to_owned(),
        "SELECT a.run, a.metric, avg(b.score) FROM scores a LEFT JOIN scores b
         ON a.image = b.image AND a.run = b.run AND a.metric = b.metric GROUP BY 1, 2"
            .to_owned(),
        "SELECT image FROM scores s
         WHERE score > (SELECT avg(score) FROM scores t WHERE t.metric = s.metric AND t.run = s.run)"
            .to_owned(),
    ] {
        assert_eq!(check(&records, &sql).await, Ok(()), "{sql}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_differs_and_how_to_ask() {
    let refusal = |records: Vec<RunRecord>, sql: &'static str| async move {
        let error = SqlError::from(check(&records, sql).await.expect_err(sql));
        format!("{error}; {}", error.hint().unwrap())
    };
    let of_run = |run, metric, fingerprint, part| record_of_metrics(run, &[(metric, fingerprint, part)]);
    assert_eq!(
        refusal(two_metrics(), "SELECT avg(score) FROM scores").await,
        "`avg(scores.score)` combines rows of the metrics `clip-dqa` and `niqe`, whose values have different scales; \
         add metric to GROUP BY (or PARTITION BY), or select one metric with WHERE metric = 'clip-dqa'"
    );
    let runs = vec![of_run("c", CLIP_DQA, "aa11", "p1"), of_run("n", "niqe", "cc33", "p2")];
    assert_eq!(
        refusal(runs, "SELECT avg(score) FROM scores").await,
        "`avg(scores.score)` combines rows of the metrics `clip-dqa` (run `c`) and `niqe` (run `n`), whose values have \
         different scales; add metric or run to GROUP BY (or PARTITION BY), or select one metric with \
         WHERE metric = 'clip-dqa'"
    );
    // Two metrics of one run are named first: to group by the run would not be enough.
    let runs = [vec![of_run("c", CLIP_DQA, "aa11", "p3")], two_metrics()].concat();
    let error = refusal(runs, "SELECT avg(score) FROM scores").await;
    assert!(error.contains("the metrics `clip-dqa` and `niqe`,"), "{error}");
    let runs = vec![of_run("n", "niqe", "cc330000aa", "p2"), of_run("other", "niqe", "dd440000bb", "p3")];
    let error = refusal(runs, "SELECT metric, avg(score) FROM scores GROUP BY 1").await;
    let why = "rows of the runs `n` and `other`, which have the metric `niqe` by different code or parameters \
               (fingerprints cc330000... and dd440000...); add run or fingerprint to GROUP BY";
    assert!(error.contains(why), "{error}");
    let error = refusal(two_models(), "SELECT avg(score) FROM scores").await;
    let why = "rows of the runs `a2` and `b`, which have different models (fingerprints aa11... and bb22...); \
               add run or fingerprint to GROUP BY";
    assert!(error.contains(why), "{error}");
    // One digest for two names, which are still two metrics.
    let runs = vec![of_run("n", "niqe", "cc33", "p2"), of_run("p", "piqe", "cc33", "p3")];
    assert!(refusal(runs, "SELECT avg(score) FROM scores").await.contains("`niqe` (run `n`) and `piqe` (run `p`)"));
}

/// The value of the last step for a run has 2^60 letters.
#[tokio::test]
async fn values_that_grow_are_not_followed() {
    let doubling = |steps: usize| {
        let step = |step: usize| format!(", t{step} AS (SELECT x || x AS x, score FROM t{})", step - 1);
        let subqueries: String = (1..=steps).map(step).collect();
        format!(
            "WITH t0 AS (SELECT run AS x, score FROM scores){subqueries} SELECT x, avg(score) FROM t{steps} GROUP BY x"
        )
    };
    assert_eq!(check(&two_models(), &doubling(6)).await, Ok(()));
    assert!(check(&two_models(), &doubling(60)).await.is_err());
}
