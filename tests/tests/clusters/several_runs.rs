//! A store with several runs: listing, status, leaderboards and SQL; and a run that continues in the background.

use std::time::Duration;

use dqa_tests::{TestDir, wait_until};
use serde_json::Value;

/// Deadline of the run, far above its duration.
const TIMEOUT: Duration = Duration::from_secs(120);

/// With the runs `paper` and `whole`, of unlike views, over the same pictures.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp", "aod"]);
    dir.run(&dir.submit("haze.toml", &["--name", "paper"])).exits_with(0);
    dir.run(&dir.submit("haze.toml", &["--name", "whole", "--views", "sees=global"])).exits_with(0);
    dir
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_and_their_status_are_shown() {
    let dir = setup();
    let runs = json(&dir.run(&["runs", "--format", "json"]).exits_with(0).stdout);
    assert_eq!(runs.iter().map(|run| run["run"].as_str().unwrap()).collect::<Vec<_>>(), ["paper", "whole"]);
    let status = json(&dir.run(&["status", "paper", "--format", "json"]).exits_with(0).stdout);
    assert_eq!((&status[0]["state"], &status[0]["shards_done"]), (&"complete".into(), &2.into()));
    assert_eq!((&status[0]["pictures_done"], &status[0]["pictures_failed"]), (&6.into(), &0.into()));

    std::fs::remove_file(&dir.parts()[0]).unwrap();
    let done: u64 = ["paper", "whole"]
        .map(|run| {
            json(&dir.run(&["status", run, "--format", "json"]).exits_with(0).stdout)[0]["shards_done"]
                .as_u64()
                .unwrap()
        })
        .iter()
        .sum();
    assert_eq!(done, 3, "what is gone is not said to be there");
    let output = dir.run(&["status", "papr"]).exits_with(2);
    assert!(output.stderr.contains("paper"), "near names: {}", output.stderr);
}

#[test]
fn unlike_models_never_share_a_table() {
    let dir = setup();
    let output = dir.run(&["leaderboard", "--run", "paper", "--run", "whole"]).exits_with(2);
    assert!(output.stderr.contains("views"), "what differs is output: {}", output.stderr);
    assert!(output.stdout.is_empty(), "{}", output.stdout);
    let one = dir.run(&["leaderboard", "--run", "paper", "--format", "json"]).exits_with(0);
    assert_eq!(json(&one.stdout).iter().filter(|row| row["dataset"] == "haze").count(), 2);

    let by_model =
        ["query", "SELECT fingerprint, count(*) AS n FROM scores GROUP BY 1", "--all-runs", "--format", "json"];
    let by_model = json(&dir.run(&by_model).exits_with(0).stdout);
    assert_eq!(by_model.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 6]);
    let of_one = dir.run(&["query", "SELECT count(*) AS n FROM scores", "--run", "paper", "--format", "csv"]);
    assert_eq!(of_one.exits_with(0).stdout, "n\n6\n");
}

#[test]
fn a_detached_run_continues_by_itself() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp"]);
    let output = dir.run(&dir.submit("haze.toml", &["--name", "r", "--detach"])).exits_with(0);
    assert!(output.stderr.contains("in the background"), "{}", output.stderr);
    let is_complete = || dir.run(&["runs"]).stdout.contains("complete");
    wait_until(TIMEOUT, || dir.run(&["runs"]).stdout, is_complete);
    assert_eq!(dir.scores().len(), 3);
}
