//! What a store of several runs answers: runs, status, leaderboards, SQL; and a run that goes on in the background.

#![allow(clippy::unwrap_used)] // helpers too

use std::time::{Duration, Instant};

use dqa_tests::TestDir;
use serde_json::Value;

/// Far beyond what the run here takes: one that is not over by then hangs.
const HANGS: Duration = Duration::from_secs(120);

/// With the runs `paper` and `whole`, of unlike views, over the same pictures.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp", "aod"]);
    place.run(&place.submit("haze.toml", &["--name", "paper"])).ends_with(0);
    place.run(&place.submit("haze.toml", &["--name", "whole", "--views", "sees=global"])).ends_with(0);
    place
}

fn json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_and_their_status_are_told() {
    let place = place();
    let runs = json(&place.run(&["runs", "--format", "json"]).ends_with(0).out);
    assert_eq!(runs.iter().map(|run| run["run"].as_str().unwrap()).collect::<Vec<_>>(), ["paper", "whole"]);
    let status = json(&place.run(&["status", "paper", "--format", "json"]).ends_with(0).out);
    assert_eq!((&status[0]["state"], &status[0]["shards_done"]), (&"complete".into(), &2.into()));
    assert_eq!((&status[0]["pictures_done"], &status[0]["pictures_failed"]), (&6.into(), &0.into()));

    std::fs::remove_file(&place.parts()[0]).unwrap();
    let done: u64 = ["paper", "whole"]
        .map(|run| {
            json(&place.run(&["status", run, "--format", "json"]).ends_with(0).out)[0]["shards_done"].as_u64().unwrap()
        })
        .iter()
        .sum();
    assert_eq!(done, 3, "what is gone is not said to be there");
    let said = place.run(&["status", "papr"]).ends_with(2);
    assert!(said.err.contains("paper"), "near names: {}", said.err);
}

#[test]
fn unlike_models_never_share_a_table() {
    let place = place();
    let said = place.run(&["leaderboard", "--run", "paper", "--run", "whole"]).ends_with(2);
    assert!(said.err.contains("views"), "what differs is said: {}", said.err);
    assert!(said.out.is_empty(), "{}", said.out);
    let one = place.run(&["leaderboard", "--run", "paper", "--format", "json"]).ends_with(0);
    assert_eq!(json(&one.out).iter().filter(|row| row["dataset"] == "haze").count(), 2);

    let by_model =
        ["query", "SELECT fingerprint, count(*) AS n FROM scores GROUP BY 1", "--all-runs", "--format", "json"];
    let by_model = json(&place.run(&by_model).ends_with(0).out);
    assert_eq!(by_model.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [6, 6]);
    let of_one = place.run(&["query", "SELECT count(*) AS n FROM scores", "--run", "paper", "--format", "csv"]);
    assert_eq!(of_one.ends_with(0).out, "n\n6\n");
}

#[test]
fn a_detached_run_goes_on_by_itself() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp"]);
    let said = place.run(&place.submit("haze.toml", &["--name", "r", "--detach"])).ends_with(0);
    assert!(said.err.contains("in the background"), "{}", said.err);
    let is_complete = || place.run(&["runs"]).out.contains("complete");
    let started = Instant::now();
    while !is_complete() {
        assert!(started.elapsed() < HANGS, "it does not go on");
    }
    assert_eq!(place.scores().len(), 3);
}
