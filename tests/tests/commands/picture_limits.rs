//! Limits of the picture size belong to a run: to its name, its record, its tasks and the names of its parts, in one process
//! and on a cluster. The planned windows of a picture are the scored ones, whatever the views.

use std::collections::BTreeMap;

use dqa_testkit::Picture;
use dqa_tests::TestDir;
use dqa_tests::cluster::{Cluster, Programs};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Of `haze`, the third scene (352 x 288) has more pixels.
const LIMIT: [&str; 2] = ["--pixels-max", "90000"];

/// The error codes of a run's rows, by picture.
fn codes(cluster: &Cluster, run: &str) -> BTreeMap<String, Value> {
    let sql = "SELECT image, error_code FROM scores";
    let output = cluster.run_on_store(&["query", sql, "--run", run, "--format", "json"]).exits_with(0);
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (row["image"].as_str().unwrap().to_owned(), row["error_code"].clone())
    };
    output.stdout.lines().map(row).collect()
}

fn records(cluster: &Cluster) -> BTreeMap<String, Value> {
    let output = cluster.run_on_store(&["runs", "--format", "json"]).exits_with(0);
    let record = |line: &str| {
        let run: Value = serde_json::from_str(line).unwrap();
        let name = run["run"].as_str().unwrap().to_owned();
        let text = std::fs::read(cluster.dir.path(&format!("store/runs/{name}/run.json"))).unwrap();
        (name, serde_json::from_slice(&text).unwrap())
    };
    output.stdout.lines().map(record).collect()
}

fn parts(record: &Value) -> Vec<&str> {
    record["parts"].as_array().unwrap().iter().map(|part| part["key"].as_str().unwrap()).collect()
}

#[test]
fn a_run_on_a_coordinator_has_the_requested_limits() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);

    let limited = cluster.run(&cluster.submit("haze.toml", &LIMIT)).exits_with(1);
    let limited = limited.run_name();
    let large = "dcp/s2.png".to_owned();
    let found = codes(&cluster, &limited);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|(image, code)| *code == if *image == large { "too_large".into() } else { Value::Null }));

    // The same request in a process of its own has the same name, and finds that all is there.
    let alone = cluster.run_on_store(&cluster.submit("haze.toml", &LIMIT)).exits_with(1);
    assert_eq!(alone.run_name(), limited);
    assert!(alone.stderr.contains("nothing to score"), "{}", alone.stderr);

    // Without limits it is another run, with a part of another name; what has no score for a limit's sake is scored.
    let usual = cluster.run(&cluster.submit("haze.toml", &[])).exits_with(0);
    let usual = usual.run_name();
    assert_ne!(usual, limited);
    assert!(codes(&cluster, &usual).values().all(Value::is_null));
    let records = records(&cluster);
    let (of_limited, of_usual) = (&records[&limited], &records[&usual]);
    assert_ne!(parts(of_limited), parts(of_usual));
    assert_eq!(of_limited["spec"]["limits"]["pixels_max"], 90000);
    assert!(of_usual["spec"].get("limits").is_none(), "as records have always been: {of_usual}");
    // And a score that is there does not make a picture less large.
    let again = cluster.run(&cluster.submit("haze.toml", &["--side-max", "300", "--name", "sides"])).exits_with(1);
    assert!(again.stderr.contains("1 failed"), "{}", again.stderr);
    assert_eq!(codes(&cluster, "sides")[&large], "too_large");
    assert_eq!(codes(&cluster, &usual)[&large], Value::Null, "the other run's part is its own");
}

#[test]
fn a_restarted_coordinator_keeps_the_limits_of_a_run() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let more = [&LIMIT[..], &["--name", "r", "--shard-windows", "1", "--detach"]].concat();
    cluster.run(&cluster.submit("haze.toml", &more)).exits_with(0);
    cluster.wait_for_run("r", |run| run["state"] == "running");
    cluster.kill_coordinator();
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    let run = cluster.wait_for_run("r", |run| run["state"] == "complete");
    assert_eq!(run["pictures_failed"], 2, "{run}");
}

#[test]
fn a_worker_has_no_limits_of_its_own() {
    let cluster = Cluster::local(PROGRAMS);
    let arguments = ["run", "--coordinator", "http://127.0.0.1:1", "--pixels-max", "1000"];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_worker"));
    let output = command.args(arguments).current_dir(cluster.dir.path("")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("a worker takes no --pixels-max (DQA_PIXELS_MAX): each run says"), "{stderr}");
    assert!(stderr.contains("hint: give it to `dqa-coord submit`"), "{stderr}");
}

#[test]
fn a_limit_of_zero_is_refused() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp"]);
    let output = dir.run(&dir.submit("haze.toml", &["--pixels-max", "0"])).exits_with(2);
    assert!(output.stderr.contains("--pixels-max"), "{}", output.stderr);
}

#[test]
fn planned_windows_equal_scored_windows_for_all_views() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let sizes = [(200, 200), (120, 130), (300, 500), (224, 224), (100, 400), (450, 330)];
    for (at, (width, height)) in sizes.into_iter().enumerate() {
        dir.file(&format!("haze/dcp/s{at}.png"), &Picture::synthetic(at as u64, width, height).png());
    }
    dir.file("haze.toml", b"name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n");
    let views = [
        ("sees=both", 3),
        ("window=112,stride=112", 5),
        ("window=160,stride=100", 4),
        ("window=320,stride=64", 1),
        ("sees=local,window=100,stride=90", 6),
        ("sees=global", 6),
        ("grid=4", 3),
        ("random=3,seed=1", 3),
    ];
    for (at, (views, scored)) in views.into_iter().enumerate() {
        let name = format!("r{at}");
        // All in one store: what one run's views make of a header is not taken for another's.
        let output = dir.run(&dir.submit("haze.toml", &["--name", &name, "--views", views]));
        assert!(output.code < 2, "{}", output.stderr);
        let status = dir.run(&["status", &name, "--format", "json"]);
        let status: Value = serde_json::from_str(status.stdout.trim()).unwrap();
        // One for a picture without a window.
        let sql = "SELECT sum(greatest(windows, 1)) AS windows, count(score) AS scored FROM scores";
        let rows = dir.run(&["query", sql, "--run", &name, "--format", "json"]).exits_with(0);
        let rows: Value = serde_json::from_str(rows.stdout.trim()).unwrap();
        assert_eq!((&rows["windows"], &rows["scored"]), (&status["windows"], &scored.into()), "{views}: {status}");
    }
}
