//! Queries and correlations that a cluster's workers answer: the same as one machine's, beside scoring, and under loss.

#![allow(clippy::unwrap_used)] // helpers too

use std::time::{Duration, Instant};

use dqa_tests::Said;
use dqa_tests::cluster::{Cluster, HANGS, Programs};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Correlations in another order of additions.
const TOLERANCE: f64 = 1e-12;

/// Two workers, and a complete run `r` of 15 pictures in 15 parts.
fn with_a_run(mut cluster: Cluster) -> Cluster {
    cluster.place.haze_of(5, &["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    cluster.user(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"])).ends_with(0);
    cluster
}

fn ask(cluster: &Cluster, sql: &str) -> Said {
    cluster.user(&["query", sql, "--engine", "cluster", "--format", "json"])
}

fn rows(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| is_alike(value, other)))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= TOLERANCE * a.abs().max(1.0)
        }
        _ => a == b,
    }
}

#[track_caller]
fn assert_alike(mut ours: Vec<Value>, mut theirs: Vec<Value>, is_ordered: bool, what: &str) {
    if !is_ordered {
        ours.sort_by_key(ToString::to_string);
        theirs.sort_by_key(ToString::to_string);
    }
    let is_so = ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| is_alike(a, b));
    assert!(is_so, "{what}\nby the cluster: {ours:#?}\nby one machine: {theirs:#?}");
}

/// Each with whether its rows have an order.
const QUERIES: [(&str, bool); 19] = [
    ("SELECT count(*) AS n FROM scores", true),
    (
        "SELECT count(*) AS n, count(score) AS scored, sum(windows) AS windows FROM scores WHERE algorithm <> 'aod'",
        true,
    ),
    ("SELECT algorithm, count(*) AS n, avg(score) AS mean, max(mos) AS best FROM scores GROUP BY 1", false),
    ("SELECT srcc(score, mos) AS s, plcc(score, mos) AS p, krcc(score, mos) AS k FROM scores", true),
    ("SELECT algorithm, srcc(score, mos) AS s, plcc(score, mos) AS p FROM scores GROUP BY 1 ORDER BY s, 1", true),
    ("SELECT pairwise_accuracy(score, mos, scene) AS a FROM scores", true),
    ("SELECT algorithm, image, score FROM scores ORDER BY score DESC LIMIT 4", true),
    ("SELECT algorithm, image, score FROM scores ORDER BY algorithm, image OFFSET 3 LIMIT 7", true),
    ("SELECT * FROM scores ORDER BY algorithm, image", true),
    ("SELECT * FROM scores", false),
    (
        "SELECT a.scene, a.score - b.score AS more FROM scores a JOIN scores b ON a.scene = b.scene
         WHERE a.algorithm = 'dcp' AND b.algorithm = 'aod' ORDER BY 1",
        true,
    ),
    ("SELECT r.run, count(*) AS n FROM runs r JOIN scores s ON r.fingerprint = s.fingerprint GROUP BY 1", true),
    ("SELECT run, state FROM runs", true),
    (
        "SELECT a.algorithm, c.srcc FROM (SELECT DISTINCT algorithm FROM scores) a
         LEFT JOIN correlations c ON c.group_name = a.algorithm AND c.group_kind = 'algorithm' ORDER BY 1",
        true,
    ),
    // A window by what is constant, after a shuffle.
    (
        "SELECT image, rank() OVER (PARTITION BY dataset, algorithm ORDER BY score) AS place FROM scores
         WHERE dataset = 'haze' AND algorithm = 'dcp'",
        false,
    ),
    ("SELECT scene FROM scores GROUP BY scene HAVING avg(score) > (SELECT avg(score) AS mean FROM scores)", false),
    (
        "SELECT image FROM scores WHERE scene NOT IN (SELECT scene FROM scores WHERE mos > 60) UNION ALL SELECT scene FROM scores",
        false,
    ),
    ("SELECT * FROM scores WHERE false", true),
    ("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1", true),
];

fn workers_answer_as_one_machine_does(cluster: Cluster) {
    let cluster = with_a_run(cluster);
    for (sql, is_ordered) in QUERIES {
        let said = ask(&cluster, sql);
        assert_eq!(said.code, 0, "{sql}\n{}\n{}", said.err, cluster.said());
        assert_alike(rows(&said), cluster.query(sql), is_ordered, sql);
    }
    // Every format, and where there are no rows.
    for format in ["csv", "table"] {
        for sql in
            ["SELECT algorithm, image FROM scores ORDER BY 1, 2", "SELECT algorithm, image FROM scores WHERE false"]
        {
            let ours = cluster.user(&["query", sql, "--engine", "cluster", "--format", format]).ends_with(0);
            assert_eq!(ours.out, cluster.store(&["query", sql, "--format", format]).ends_with(0).out);
        }
    }
    let file = ["query", "SELECT * FROM scores", "--engine", "cluster", "--format", "parquet", "--output", "x.parquet"];
    cluster.user(&file).ends_with(0);
    assert!(cluster.place.path("x.parquet").exists());
    let one = ["query", "SELECT count(*) AS n FROM scores", "--run", "r", "--engine", "cluster", "--format", "csv"];
    assert_eq!(cluster.user(&one).ends_with(0).out, "n\n15\n");

    // SRCC and PLCC of the report.
    let ours = cluster.user(&["report", "--run", "r", "--engine", "cluster", "--format", "json"]);
    assert_eq!(ours.code, 0, "{}\n{}", ours.err, cluster.said());
    let mut report = rows(&cluster.store(&["report", "--run", "r", "--format", "json"]).ends_with(0));
    report.retain(|row| row["protocol"] == "pooled");
    let of_both = |row: &Value| {
        let columns = ["dataset", "group_kind", "group_name", "pictures", "failed", "unlabelled", "n", "srcc", "plcc"];
        Value::from_iter(columns.map(|column| (column, row[column].clone())))
    };
    let ours = rows(&ours);
    assert_eq!(ours.len(), 4, "all, and three algorithms: {ours:?}");
    assert!(ours.iter().all(|row| row["srcc"].is_f64() && row["plcc"].is_f64()), "{ours:?}");
    assert_alike(ours.iter().map(of_both).collect(), report.iter().map(of_both).collect(), false, "correlations");
    let text = cluster.user(&["report", "--run", "r", "--engine", "cluster"]).ends_with(0).out;
    for part in ["pictures of", "SRCC", "PLCC", "haze", "mscnn", "Left out"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let csv = cluster.user(&["report", "--run", "r", "--engine", "cluster", "--format", "csv"]).ends_with(0).out;
    assert_eq!(csv.lines().count(), 5, "{csv}");
}

#[test]
fn workers_answer_over_a_local_store() {
    workers_answer_as_one_machine_does(Cluster::local(PROGRAMS));
}

#[test]
fn workers_answer_over_a_store_in_s3() {
    workers_answer_as_one_machine_does(Cluster::in_s3(PROGRAMS));
}

#[test]
fn what_cannot_be_answered_is_refused_with_what_to_do() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let nobody = ask(&cluster, "SELECT count(*) FROM runs r JOIN scores s ON r.run = s.part").ends_with(2);
    assert!(nobody.err.contains("no worker takes tasks of queries"), "{}", nobody.err);
    assert!(nobody.err.contains("hint: start workers"), "{}", nobody.err);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let refused = |arguments: &[&str], says: &str, advises: &str| {
        let said = cluster.user(arguments).ends_with(2);
        assert!(said.err.contains(says), "{says}: {}", said.err);
        assert!(said.err.contains(advises), "{advises}: {}", said.err);
        assert_eq!(said.out, "");
    };
    refused(&["query", "SELECT 1", "--run", "q"], "there is no run `q`", "");
    let by_cluster = |sql| ["query", sql, "--engine", "cluster"];
    for sql in ["DROP TABLE scores", "COPY runs TO 'x.csv'", "SET datafusion.execution.batch_size = 1", "SELEC 1"] {
        refused(&by_cluster(sql), "the query cannot be run", "hint: the tables are scores");
    }
    refused(&by_cluster("SELECT nothing FROM scores"), "nothing", "hint: the tables are scores");
    refused(&by_cluster("EXPLAIN ANALYZE SELECT count(*) FROM scores"), "EXPLAIN ANALYZE by a cluster", "");
    refused(&by_cluster("SELECT 1 / (value - 5) AS x FROM generate_series(1, 9)"), "DivideByZero", "");
    refused(&["query", "SELECT 1", "--engine", "cluster", "--run", "q"], "there is no run `q`", "");
    refused(&["report", "--engine", "cluster"], "there are no runs in", "hint: `dqa-coord submit` makes one");
    refused(&["report", "--engine", "cluster", "--run", "q"], "there is no run `q`", "");
    let board = ["report", "--engine", "cluster", "--run", "q", "--table", "leaderboard"];
    refused(&board, "--engine cluster computes correlations, and no other table", "hint: --engine local");
    // Without a coordinator there is no cluster.
    let alone = cluster.store(&["query", "SELECT 1", "--engine", "cluster"]).ends_with(2);
    assert!(alone.err.contains("no coordinator is named"), "{}", alone.err);
    // What it would do is known without workers.
    let explained =
        cluster.user(&["query", "SELECT count(*) FROM scores", "--engine", "cluster", "--explain"]).ends_with(0);
    assert!(explained.out.contains("physical_plan"), "{}", explained.out);
}

#[test]
fn queries_are_answered_beside_scoring() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze_of(8, &["dcp", "aod", "mscnn", "gca"]);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "1200")]);
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "1200")]);
    cluster.wait_for_workers(2);
    cluster.user(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).ends_with(0);
    cluster.wait_for("r", |run| run["shards_running"] == 4);
    let done = |run: &Value| run["shards_done"].as_u64().unwrap();
    let (mut counts, mut was_full) = (Vec::new(), 0);
    loop {
        let before = done(&cluster.run_now("r").unwrap());
        let sql = "SELECT count(*) AS n, srcc(score, mos) AS s FROM scores";
        let asked = Instant::now();
        let answer = rows(&ask(&cluster, sql).ends_with(0));
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}\n{}", asked.elapsed(), cluster.said());
        let run = cluster.run_now("r").unwrap();
        let n = answer[0]["n"].as_u64().unwrap();
        assert!((before..=done(&run)).contains(&n), "{n} of {before} to {run}");
        counts.push(n);
        was_full += usize::from(run["shards_running"] == 4);
        if done(&run) >= 20 {
            break;
        }
    }
    assert!(counts.len() > 3 && counts.last() > counts.first(), "scoring goes on: {counts:?}");
    assert!(was_full > 0, "queries take no slots");
    let run = cluster.wait_for("r", |run| run["state"] == "complete");
    assert_eq!(run["pictures_failed"], 0, "{run}");
    assert!(!cluster.said().contains("attempt failed"), "{}", cluster.said());
    assert_eq!(rows(&ask(&cluster, "SELECT count(*) AS n FROM scores").ends_with(0))[0]["n"], 32);
}

/// Several seconds of one task.
const LONG: &str = "SELECT count(*) AS n FROM generate_series(1, 30000) a CROSS JOIN generate_series(1, 2000) b
                    WHERE sin(a.value * b.value) > 2";

#[test]
fn a_worker_s_death_is_survived_or_told() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze_of(3, &["dcp", "aod"]);
    cluster.start_coordinator();
    let loud = [("RUST_LOG", "warn,ballista_executor=info")];
    let workers = [cluster.start_worker(&loud), cluster.start_worker(&loud)];
    cluster.wait_for_workers(2);
    let asked = cluster.command(&["query", LONG, "--engine", "cluster", "--format", "csv"]);
    let mut asked =
        { asked }.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let wait = Instant::now();
    let busy = loop {
        let busy = workers.into_iter().find(|worker| cluster.said_by(*worker).contains("Received task"));
        if let Some(busy) = busy {
            break busy;
        }
        assert!(wait.elapsed() < HANGS && asked.try_wait().unwrap().is_none(), "{}", cluster.said());
        std::thread::sleep(Duration::from_millis(20));
    };
    cluster.kill_worker(busy);
    assert!(asked.try_wait().unwrap().is_none(), "it was under way");
    let output = asked.wait_with_output().unwrap();
    let said = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The one that is left does it again.
    assert_eq!((output.status.code(), said.0.as_ref()), (Some(0), "n\n0\n"), "{said:?}\n{}", cluster.said());

    // With nobody left it ends too, and can be asked again.
    let asked = cluster.command(&["query", LONG, "--engine", "cluster", "--format", "csv"]);
    let mut asked = { asked }.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let last = workers.into_iter().find(|worker| *worker != busy).unwrap();
    let before = cluster.said_by(last).matches("Received task").count();
    while cluster.said_by(last).matches("Received task").count() == before {
        assert!(wait.elapsed() < HANGS && asked.try_wait().unwrap().is_none(), "{}", cluster.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.kill_worker(last);
    let output = asked.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("no worker takes tasks of queries"), "{error}\n{}", cluster.said());
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let answer = ask(&cluster, "SELECT sum(value) AS n FROM generate_series(1, 1000)").ends_with(0);
    assert_eq!(answer.out, "{\"n\":500500}\n");
}

#[test]
fn a_query_that_nobody_waits_for_is_called_off() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    let worker = cluster.start_worker(&[("RUST_LOG", "warn,ballista_executor=info")]);
    cluster.wait_for_workers(1);
    // More than may be under way at once, each of them left at once.
    for _ in 0..18 {
        let asked = cluster.command(&["query", LONG, "--engine", "cluster"]);
        let mut asked =
            { asked }.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150));
        asked.kill().unwrap();
        asked.wait().unwrap();
    }
    let wait = Instant::now();
    loop {
        let answer = ask(&cluster, "SELECT sum(value) AS n FROM generate_series(1, 1000)");
        if answer.code == 0 {
            assert_eq!(answer.out, "{\"n\":500500}\n");
            break;
        }
        assert!(answer.err.contains("queries are under way"), "{}", answer.err);
        assert!(wait.elapsed() < HANGS, "{}", cluster.said());
    }
    let tasks = cluster.said_by(worker).matches("Received task").count();
    assert!(tasks <= 12, "{tasks} tasks, of 18 queries of several seconds and one of none");
    // Its shards were never in question.
    cluster.user(&cluster.submit("haze.toml", &["--name", "r"])).ends_with(0);
}
