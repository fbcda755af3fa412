//! Metrics beside CLIP-DQA: scored without a model, added to a run, compared with labels, on a cluster as in one process.

use std::collections::BTreeMap;
use std::process::Stdio;

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

const BLIND: &str = "niqe,brisque,fade,entropy,piqe";

/// Writes the data set `haze` with the folders `clear` and `hazy` beside its algorithms.
fn haze(dir: &TestDir, algorithms: &[&str]) {
    dir.haze(algorithms);
    for scene in 0..3 {
        dir.picture("clear", scene);
        dir.picture("hazy", scene);
    }
    let definition = std::fs::read_to_string(dir.path("haze.toml")).unwrap();
    let references = "[clear]\nlayout = \"clear/{scene}.png\"\n[hazy]\nlayout = \"hazy/{scene}.png\"\n";
    dir.file("haze.toml", (definition + references).as_bytes());
}

/// Returns a new folder with the data set.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    haze(&dir, &["dcp", "aod"]);
    dir
}

fn submit(dir: &TestDir, metrics: &str, more: &[&str]) -> CommandOutput {
    dir.run(&[&["submit", "--datasets", "haze.toml", "--name", "r", "--metrics", metrics], more].concat())
}

/// Returns each value of the run's rows, with the code of a missing one, by metric, algorithm and picture.
fn values(rows: Vec<Value>) -> BTreeMap<[String; 3], (Value, Value)> {
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let count = rows.len();
    let values: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            let key = ["metric", "algorithm", "image"].map(|column| text(row, column));
            (key, (row["score"].clone(), row["error_code"].clone()))
        })
        .collect();
    assert_eq!(values.len(), count, "no row is there twice");
    values
}

const ROWS: &str = "SELECT metric, algorithm, image, score, error_code FROM scores";

#[test]
fn a_run_without_a_model_is_killed_resumed_and_extended() {
    let dir = setup();
    let arguments = ["submit", "--datasets", "haze.toml", "--metrics", BLIND, "--name", "r", "--shard-windows", "1"];
    let mut child = dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while dir.parts().len() < 3 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = dir.run(&arguments).exits_with(0);
    for section in ["niqe", "fade", "lower is better"] {
        assert!(resumed.stdout.contains(section), "{section}:\n{}", resumed.stdout);
    }
    let blind = values(dir.query(ROWS));
    assert_eq!(blind.len(), 5 * 6, "rows in = rows out, for each metric");
    assert!(blind.values().all(|(value, code)| value.is_number() && code.is_null()), "{blind:?}");

    // The parts of the other metrics stay as they are, also their files.
    let before = dir.parts();
    let model = ["--model", "model", "--prompts", "model/prompts.safetensors", "--shard-windows", "1"];
    let more = submit(&dir, &format!("clip-dqa,{BLIND},psnr,ssim,contrast"), &model).exits_with(0);
    let all = values(dir.query(ROWS));
    assert_eq!(all.len(), (1 + 5 + 3 + 4) * 6);
    assert!(blind.iter().all(|(key, value)| all[key] == *value));
    assert!(before.iter().all(|part| dir.parts().contains(part)));
    assert!(more.stderr.contains("made 48 scores by 13 metrics"), "only what is missing is scored: {}", more.stderr);

    let report = dir.run(&["report", "r", "--table", "metrics"]).exits_with(0);
    for metric in ["clip-dqa", "niqe", "psnr_rgb", "sigma255"] {
        assert!(report.stdout.contains(metric), "{metric}:\n{}", report.stdout);
    }
    let best = dir.run(&["leaderboard", "r", "--metric", "niqe", "--format", "json"]).exits_with(0).json_lines();
    let scores: Vec<f64> = best.iter().map(|row| row["adjusted_score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted() && scores[0] > 0.0, "the lowest is the best: {scores:?}");
}

#[test]
fn metrics_that_lack_something_are_refused_by_name() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp"]);
    let unknown = submit(&dir, "niqe,lpips", &[]).exits_with(2);
    assert!(unknown.stderr.contains("unknown metric `lpips`: expected clip-dqa, psnr_rgb"), "{}", unknown.stderr);
    let clear = submit(&dir, "niqe,psnr", &[]).exits_with(2);
    let expected = "data set `haze` names no clear pictures, which these metrics compare with: psnr_rgb, psnr_gray";
    assert!(clear.stderr.contains(expected) && clear.stderr.contains("hint: [clear]"), "{}", clear.stderr);
    let model = submit(&dir, "niqe,clip-dqa", &[]).exits_with(2);
    assert!(model.stderr.contains("--model is missing: clip-dqa scores with a model"), "{}", model.stderr);
    assert!(dir.parts().is_empty(), "nothing was scored");
    // A run of one metric is not that of another.
    submit(&dir, "niqe", &[]).exits_with(0);
    let other = submit(&dir, "fade", &[]).exits_with(2);
    assert!(other.stderr.contains("is another run: metrics (niqe"), "{}", other.stderr);
}

#[test]
fn a_missing_or_differently_sized_reference_is_a_row() {
    let dir = setup();
    std::fs::remove_file(dir.path("haze/clear/s1.png")).unwrap();
    std::fs::copy(dir.path("haze/clear/s0.png"), dir.path("haze/clear/s2.png")).unwrap();
    dir.file("haze/hazy/s0.png", b"no picture");
    submit(&dir, "psnr_rgb,e,entropy", &["--algos", "dcp"]).exits_with(1);
    let values = values(dir.query(ROWS));
    let code = |metric: &str, scene: u32| {
        let (value, code) = &values[&[metric, "dcp", &format!("dcp/s{scene}.png")].map(str::to_owned)];
        assert_eq!(value.is_null(), code.is_string(), "{metric} {scene}");
        code.as_str().unwrap_or("none").to_owned()
    };
    let codes = |metric: &str| [0, 1, 2].map(|scene| code(metric, scene));
    assert_eq!(codes("psnr_rgb"), ["none", "reference_missing", "reference_size"]);
    assert_eq!(codes("e"), ["reference_unreadable", "none", "none"]);
    assert_eq!(codes("entropy"), ["none"; 3], "one bad thing never takes the rest with it");
    // Another reference is another part: what is scored follows the clear picture.
    std::fs::copy(dir.path("haze/clear/s0.png"), dir.path("haze/clear/s1.png")).unwrap();
    let again = submit(&dir, "psnr_rgb,e,entropy", &["--algos", "dcp"]).exits_with(1);
    assert!(again.stderr.contains("made 3 scores by 3 metrics"), "{}", again.stderr);
}

#[test]
fn a_cluster_with_a_killed_worker_has_the_same_rows_to_the_bit() {
    let mut cluster = Cluster::local(PROGRAMS);
    haze(&cluster.dir, &["dcp", "aod"]);
    cluster.start_coordinator();
    let slow = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "600000")]);
    cluster.wait_for_workers(1);
    let metrics = format!("clip-dqa,{BLIND},psnr,gmsd,contrast");
    let arguments = cluster.submit("haze.toml", &["--metrics", &metrics, "--shard-windows", "1", "--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    cluster.wait_for_run("r", |run| run["shards_running"] == 2);
    cluster.start_worker(&[]);
    cluster.wait_for_run("r", |run| run["shards_done"].as_u64() > Some(12));
    cluster.kill_worker(slow);
    cluster.wait_for_run("r", |run| run["state"] == "complete");
    let mut alone = cluster.dir.command(&arguments);
    assert!(alone.env("DQA_STORE", "alone").output().unwrap().status.success());
    let mut query = cluster.dir.command(&["query", ROWS, "--format", "json"]);
    let rows = CommandOutput::new(&query.env("DQA_STORE", "alone").output().unwrap()).exits_with(0).json_lines();
    assert_eq!(values(cluster.query(ROWS)), values(rows));
}
