//! Queries and correlations computed by a cluster's workers: they equal those of one machine, also during scoring and when
//! workers die.

use std::time::{Duration, Instant};

use dqa_tests::cluster::{Cluster, Programs, TIMEOUT};
use dqa_tests::{CommandOutput, poll_until, wait_until};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Correlations in another order of additions.
const TOLERANCE: f64 = 1e-12;

/// Two workers, and a complete run `r` of 15 pictures in 15 parts.
fn start_with_run(mut cluster: Cluster) -> Cluster {
    cluster.dir.haze_with_scenes(5, &["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"])).exits_with(0);
    cluster
}

fn ask(cluster: &Cluster, sql: &str) -> CommandOutput {
    cluster.run(&["query", sql, "--engine", "cluster", "--format", "json"])
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

fn assert_workers_answer_as_one_machine(cluster: Cluster) {
    let cluster = start_with_run(cluster);
    for (sql, is_ordered) in QUERIES {
        let output = ask(&cluster, sql);
        assert_eq!(output.code, 0, "{sql}\n{}\n{}", output.stderr, cluster.logs());
        assert_alike(output.json_lines(), cluster.query(sql), is_ordered, sql);
    }
    // Every format, and where there are no rows.
    for format in ["csv", "table"] {
        for sql in
            ["SELECT algorithm, image FROM scores ORDER BY 1, 2", "SELECT algorithm, image FROM scores WHERE false"]
        {
            let ours = cluster.run(&["query", sql, "--engine", "cluster", "--format", format]).exits_with(0);
            assert_eq!(ours.stdout, cluster.run_on_store(&["query", sql, "--format", format]).exits_with(0).stdout);
        }
    }
    let file = ["query", "SELECT * FROM scores", "--engine", "cluster", "--format", "parquet", "--output", "x.parquet"];
    cluster.run(&file).exits_with(0);
    assert!(cluster.dir.path("x.parquet").exists());
    let one = ["query", "SELECT count(*) AS n FROM scores", "--run", "r", "--engine", "cluster", "--format", "csv"];
    assert_eq!(cluster.run(&one).exits_with(0).stdout, "n\n15\n");

    // SRCC and PLCC of the report.
    let ours = cluster.run(&["report", "--run", "r", "--engine", "cluster", "--format", "json"]);
    assert_eq!(ours.code, 0, "{}\n{}", ours.stderr, cluster.logs());
    let mut report = cluster.run_on_store(&["report", "--run", "r", "--format", "json"]).exits_with(0).json_lines();
    report.retain(|row| row["protocol"] == "pooled");
    let of_both = |row: &Value| {
        let columns = ["dataset", "group_kind", "group_name", "pictures", "failed", "unlabelled", "n", "srcc", "plcc"];
        Value::from_iter(columns.map(|column| (column, row[column].clone())))
    };
    let ours = ours.json_lines();
    assert_eq!(ours.len(), 4, "all, and three algorithms: {ours:?}");
    assert!(ours.iter().all(|row| row["srcc"].is_f64() && row["plcc"].is_f64()), "{ours:?}");
    assert_alike(ours.iter().map(of_both).collect(), report.iter().map(of_both).collect(), false, "correlations");
    let text = cluster.run(&["report", "--run", "r", "--engine", "cluster"]).exits_with(0).stdout;
    for part in ["pictures of", "SRCC", "PLCC", "haze", "mscnn", "Left out"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let csv = cluster.run(&["report", "--run", "r", "--engine", "cluster", "--format", "csv"]).exits_with(0).stdout;
    assert_eq!(csv.lines().count(), 5, "{csv}");
}

#[test]
fn workers_answer_over_a_local_store() {
    assert_workers_answer_as_one_machine(Cluster::local(PROGRAMS));
}

#[test]
fn workers_answer_over_a_store_in_s3() {
    assert_workers_answer_as_one_machine(Cluster::with_s3(PROGRAMS));
}

#[test]
fn invalid_queries_are_refused_with_a_hint() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let nobody = ask(&cluster, "SELECT count(*) FROM runs r JOIN scores s ON r.run = s.part").exits_with(2);
    assert!(nobody.stderr.contains("no worker takes tasks of queries"), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("hint: start workers"), "{}", nobody.stderr);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let refused = |arguments: &[&str], says: &str, advises: &str| {
        let output = cluster.run(arguments).exits_with(2);
        assert!(output.stderr.contains(says), "{says}: {}", output.stderr);
        assert!(output.stderr.contains(advises), "{advises}: {}", output.stderr);
        assert_eq!(output.stdout, "");
    };
    refused(&["query", "SELECT 1", "--run", "q"], "there is no run `q`", "");
    let by_cluster = |sql| ["query", sql, "--engine", "cluster"];
    for sql in ["DROP TABLE scores", "COPY runs TO 'x.csv'", "SET datafusion.execution.batch_size = 1", "SELEC 1"] {
        refused(&by_cluster(sql), "the query cannot be run", "hint: the tables are scores");
    }
    refused(&by_cluster("SELECT nothing FROM scores"), "nothing", "hint: the tables are scores");
    refused(&by_cluster("EXPLAIN ANALYZE SELECT count(*) FROM scores"), "EXPLAIN ANALYZE by a cluster", "");
    refused(&by_cluster("SELECT 1 / (value - 5) AS x FROM generate_series(1, 9)"), "DivideByZero", "");
    // Planning these would end the coordinator.
    refused(
        &by_cluster("SELECT repeat('a', 200000000000)"),
        "the function `repeat` is not available",
        "--engine local",
    );
    let deep = format!("SELECT {}windows FROM scores", "windows + ".repeat(900));
    refused(&by_cluster(&deep), "more than 256 levels deep", "--engine local");
    refused(&["query", "SELECT 1", "--engine", "cluster", "--run", "q"], "there is no run `q`", "");
    refused(&["report", "--engine", "cluster"], "there are no runs in", "hint: `dqa-coord submit` creates one");
    refused(&["report", "--engine", "cluster", "--run", "q"], "there is no run `q`", "");
    let board = ["report", "--engine", "cluster", "--run", "q", "--table", "leaderboard"];
    refused(&board, "--engine cluster computes correlations, and no other table", "hint: --engine local");
    // Without a coordinator there is no cluster.
    let alone = cluster.run_on_store(&["query", "SELECT 1", "--engine", "cluster"]).exits_with(2);
    assert!(alone.stderr.contains("no coordinator is named"), "{}", alone.stderr);
    // What it would do is known without workers.
    let explained =
        cluster.run(&["query", "SELECT count(*) FROM scores", "--engine", "cluster", "--explain"]).exits_with(0);
    assert!(explained.stdout.contains("physical_plan"), "{}", explained.stdout);
}

#[test]
fn queries_are_answered_beside_scoring() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze_with_scenes(8, &["dcp", "aod", "mscnn", "gca"]);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "1200")]);
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "1200")]);
    cluster.wait_for_workers(2);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).exits_with(0);
    cluster.wait_for_run("r", |run| run["shards_running"] == 4);
    let done = |run: &Value| run["shards_done"].as_u64().unwrap();
    let (mut counts, mut was_full) = (Vec::new(), 0);
    loop {
        let before = done(&cluster.run_status("r").unwrap());
        let sql = "SELECT count(*) AS n, srcc(score, mos) AS s FROM scores";
        let started = Instant::now();
        let answer = ask(&cluster, sql).exits_with(0).json_lines();
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}\n{}", started.elapsed(), cluster.logs());
        let run = cluster.run_status("r").unwrap();
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
    let run = cluster.wait_for_run("r", |run| run["state"] == "complete");
    assert_eq!(run["pictures_failed"], 0, "{run}");
    assert!(!cluster.logs().contains("attempt failed"), "{}", cluster.logs());
    assert_eq!(ask(&cluster, "SELECT count(*) AS n FROM scores").exits_with(0).json_lines()[0]["n"], 32);
}

/// Several seconds of one task.
const LONG: &str = "SELECT count(*) AS n FROM generate_series(1, 30000) a CROSS JOIN generate_series(1, 2000) b
                    WHERE sin(a.value * b.value) > 2";

#[test]
fn a_worker_s_death_is_survived_or_reported() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze_with_scenes(3, &["dcp", "aod"]);
    cluster.start_coordinator();
    let loud = [("RUST_LOG", "warn,ballista_executor=info")];
    let workers = [cluster.start_worker(&loud), cluster.start_worker(&loud)];
    cluster.wait_for_workers(2);
    let query = cluster.command(&["query", LONG, "--engine", "cluster", "--format", "csv"]);
    let mut query =
        { query }.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let has_task = |worker: &usize| cluster.worker_log(*worker).contains("Received task");
    let busy = poll_until(
        TIMEOUT,
        || cluster.logs(),
        || {
            assert!(query.try_wait().unwrap().is_none(), "the query ended early\n{}", cluster.logs());
            workers.into_iter().find(has_task)
        },
    );
    cluster.kill_worker(busy);
    assert!(query.try_wait().unwrap().is_none(), "it was under way");
    let output = query.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // The one that is left does it again.
    assert_eq!((output.status.code(), stdout.as_ref()), (Some(0), "n\n0\n"), "{stdout}{stderr}\n{}", cluster.logs());

    // With nobody left it ends too, and can be query again.
    let query = cluster.command(&["query", LONG, "--engine", "cluster", "--format", "csv"]);
    let mut query = { query }.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let last = workers.into_iter().find(|worker| *worker != busy).unwrap();
    let before = cluster.worker_log(last).matches("Received task").count();
    wait_until(
        TIMEOUT,
        || cluster.logs(),
        || {
            assert!(query.try_wait().unwrap().is_none(), "the query ended early\n{}", cluster.logs());
            cluster.worker_log(last).matches("Received task").count() > before
        },
    );
    cluster.kill_worker(last);
    let output = query.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("no worker takes tasks of queries"), "{error}\n{}", cluster.logs());
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let answer = ask(&cluster, "SELECT sum(value) AS n FROM generate_series(1, 1000)").exits_with(0);
    assert_eq!(answer.stdout, "{\"n\":500500}\n");
}

#[test]
fn an_abandoned_query_is_cancelled() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    let worker = cluster.start_worker(&[("RUST_LOG", "warn,ballista_executor=info")]);
    cluster.wait_for_workers(1);
    // More than may be under way at once, each of them left at once.
    for _ in 0..18 {
        let query = cluster.command(&["query", LONG, "--engine", "cluster"]);
        let mut query =
            { query }.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150));
        query.kill().unwrap();
        query.wait().unwrap();
    }
    let answer = poll_until(
        TIMEOUT,
        || cluster.logs(),
        || {
            let answer = ask(&cluster, "SELECT sum(value) AS n FROM generate_series(1, 1000)");
            assert!(answer.code == 0 || answer.stderr.contains("queries are under way"), "{}", answer.stderr);
            (answer.code == 0).then_some(answer)
        },
    );
    assert_eq!(answer.stdout, "{\"n\":500500}\n");
    let tasks = cluster.worker_log(worker).matches("Received task").count();
    assert!(tasks <= 12, "{tasks} tasks, of 18 queries of several seconds and one of none");
    // Its shards were never in question.
    cluster.run(&cluster.submit("haze.toml", &["--name", "r"])).exits_with(0);
}
