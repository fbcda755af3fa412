//! One sick worker fails no run: others score what it cannot, and the run says nothing of it.

use std::path::PathBuf;

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{TIMEOUT, wait_until};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

fn assert_complete_without_failures(run: &Value, cluster: &Cluster) {
    let [state, failed] = [&run["state"], &run["pictures_failed"]];
    assert!(*state == "complete" && *failed == 0, "{run}\n{}", cluster.logs());
}

fn is_ended(run: &Value) -> bool {
    ["complete", "failed", "cancelled"].iter().any(|state| run["state"] == *state)
}

/// A worker whose credentials the store refuses is always free, and would take and fail whatever waits.
#[test]
fn a_worker_that_the_store_refuses_fails_no_run() {
    let mut cluster = Cluster::with_s3(PROGRAMS);
    cluster.dir.haze_with_scenes(10, &["dcp", "aod"]);
    cluster.start_coordinator();
    let refused = cluster.start_worker(&[("AWS_SECRET_ACCESS_KEY", "wrong")]);
    cluster.wait_for_workers(1);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).exits_with(0);
    // It is asked, and says why it fails, before another is there to do the work.
    let log = || cluster.worker_log(refused);
    wait_until(TIMEOUT, log, || log().contains("refused") || log().contains("403"));
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "200")]);
    assert_complete_without_failures(&cluster.wait_for_run("r", is_ended), &cluster);
}

/// A disk flips bits of a model's file in the node's cache.
#[test]
fn a_rotten_file_in_a_node_s_cache_fails_no_run() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    let worker = cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let submit = |name| cluster.submit("haze.toml", &["--name", name, "--algos", name, "--detach"]);
    let [first, second] = ["dcp", "aod"].map(submit);
    cluster.run(&first).exits_with(0);
    assert_complete_without_failures(&cluster.wait_for_run("dcp", is_ended), &cluster);
    cluster.kill_worker(worker);
    let cached = weights_below(cluster.dir.path("cache"));
    assert!(!cached.is_empty(), "the node has the model's files");
    for file in &cached {
        let mut bytes = std::fs::read(file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(file, bytes).unwrap();
    }
    cluster.start_worker(&[]);
    cluster.run(&second).exits_with(0);
    assert_complete_without_failures(&cluster.wait_for_run("aod", is_ended), &cluster);
    let rows = cluster.query("SELECT algorithm, score FROM scores");
    assert!(rows.iter().all(|row| row["score"].is_number()), "{rows:?}");
}

fn weights_below(folder: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(weights_below(path));
        } else if path.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(path);
        }
    }
    found
}
