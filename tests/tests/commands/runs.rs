//! `dqa-coord runs` as a user meets it: what the list shows, and `runs rm`, on a store and at a coordinator.

use std::process::Stdio;

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir};

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// With the runs `r` of `dcp`, and `s` of `dcp` and `aod`, which share the part of `dcp`.
fn setup() -> TestDir {
    let dir = TestDir::new(PROGRAMS.coordinator);
    dir.haze(&["dcp", "aod"]);
    dir.run(&dir.submit("haze.toml", &["--name", "r", "--algos", "dcp"])).exits_with(0);
    dir.run(&dir.submit("haze.toml", &["--name", "s"])).exits_with(0);
    dir
}

fn names(output: &CommandOutput) -> Vec<String> {
    output.json_lines().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_list_shows_what_was_scored() {
    let dir = setup();
    let list = dir.run(&["runs"]).exits_with(0).stdout;
    let lines: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["run", "data", "sets", "algorithms", "model", "state", "done"], "{list}");
    assert_eq!(lines[1], ["r", "haze", "dcp", "model", "complete", "100%"], "{list}");
    let [run, dataset, first, second, model, state, done] = lines[2][..] else { panic!("{list}") };
    assert_eq!([run, dataset, model, state, done], ["s", "haze", "model", "complete", "100%"], "{list}");
    let mut algorithms = [first.trim_end_matches(','), second];
    algorithms.sort_unstable();
    assert_eq!((algorithms, lines.len()), (["aod", "dcp"], 3), "{list}");
    assert!(list.lines().all(|line| line.chars().count() <= 80), "{list}");

    let wide = dir.run(&["runs", "--wide"]).exits_with(0).stdout;
    assert!(wide.contains("updated") && wide.contains("clip-dqa") && wide.contains("2/2"), "{wide}");
    let json = dir.run(&["runs", "--format", "json"]).exits_with(0).json_lines();
    assert_eq!((&json[0]["algorithms"], &json[0]["metrics"]), (&"dcp".into(), &"clip-dqa".into()));
    assert!(json.iter().all(|run| run["seconds_left"].is_null()), "{json:?}");
}

#[test]
fn a_removed_run_leaves_what_others_name() {
    let dir = setup();
    let (scores, parts) = (dir.scores(), dir.parts());
    let refused = dir.run(&["runs", "rm", "s"]).exits_with(2).stderr;
    assert!(refused.contains("hint: --yes") && refused.contains("--dry-run"), "{refused}");
    let planned = dir.run(&["runs", "rm", "s", "--dry-run", "--format", "json"]).exits_with(0).json_lines();
    assert_eq!(
        (&planned[0]["parts"], &planned[0]["rows"], &planned[0]["parts_kept"]),
        (&1.into(), &3.into(), &1.into())
    );
    assert_eq!((&planned[0]["runs"], &planned[0]["removed"]), (&"s".into(), &false.into()));
    assert_eq!((dir.scores(), dir.parts()), (scores, parts.clone()), "nothing was removed");

    let removed = dir.run(&["runs", "rm", "s", "--yes"]).exits_with(0).stdout;
    assert!(removed.starts_with("removed run s, and freed ") && removed.contains("1 part with 3 rows"), "{removed}");
    assert!(removed.contains("; 1 part stays, because another run names it"), "{removed}");
    assert_eq!(dir.parts().len(), 1);
    assert_eq!(names(&dir.run(&["runs", "--format", "json"]).exits_with(0)), ["r"]);
    assert!(!dir.path("store/runs/s").exists() && !dir.path("store/leaderboard/by_run=s").exists());
    let checked = dir.run(&["store", "check"]).exits_with(0).stdout;
    assert_eq!(checked, "0 problems in 1 run and 1 part\n");
    dir.run(&["report", "r"]).exits_with(0);
    let unknown = dir.run(&["runs", "rm", "s", "--yes"]).exits_with(2).stderr;
    assert!(unknown.contains("there is no run `s`"), "{unknown}");

    // What was removed can be scored again.
    dir.run(&dir.submit("haze.toml", &["--name", "s"])).exits_with(0);
    assert_eq!(dir.parts(), parts);
    let twice = dir.run(&["runs", "rm", "r", "r", "--yes"]).exits_with(2).stderr;
    assert!(twice.contains("run `r` is named twice"), "{twice}");
    dir.run(&["runs", "rm", "r", "s", "--yes"]).exits_with(0);
    assert!(dir.parts().is_empty());
}

#[test]
fn a_run_that_a_process_scores_is_not_removed() {
    let dir = TestDir::new(PROGRAMS.coordinator);
    dir.haze(&["dcp", "aod", "mscnn"]);
    let arguments = dir.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    let mut child = dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while dir.parts().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was looked at");
        std::thread::yield_now();
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "STOP", &id]).status().unwrap().success());
    let refused = dir.run(&["runs", "rm", "r", "--yes"]).exits_with(2).stderr;
    assert!(refused.contains("run `r` is running: process") && refused.contains(&id), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
    dir.run(&["runs", "rm", "r", "--yes"]).exits_with(0);
    assert!(dir.parts().is_empty(), "an interrupted run can be removed");
}

#[test]
fn a_coordinator_removes_runs_that_have_ended() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    // Until it answers.
    cluster.wait_for_workers(0);
    cluster.run(&cluster.submit("haze.toml", &["--name", "waits", "--detach"])).exits_with(0);
    cluster.run_on_store(&cluster.submit("haze.toml", &["--name", "alone", "--algos", "dcp"])).exits_with(0);
    for refused in
        [cluster.run(&["runs", "rm", "waits", "--yes"]), cluster.run_on_store(&["runs", "rm", "waits", "--yes"])]
    {
        let stderr = refused.exits_with(2).stderr;
        assert!(stderr.contains("run `waits` is running") && stderr.contains("dqa-coord cancel waits"), "{stderr}");
    }
    cluster.run(&["pause", "waits"]).exits_with(0);
    let paused = cluster.run(&["status", "waits", "--format", "json"]).exits_with(0).json_lines();
    assert!(paused[0]["state"] == "paused" && paused[0]["seconds_left"].is_null(), "{paused:?}");
    cluster.run(&["cancel", "waits"]).exits_with(0);
    let planned = cluster.run(&["runs", "rm", "waits", "alone", "--dry-run", "--format", "json"]).exits_with(0);
    let here = cluster.run_on_store(&["runs", "rm", "alone", "waits", "--dry-run", "--format", "json"]).exits_with(0);
    assert_eq!(planned.stdout, here.stdout);
    assert_eq!(planned.json_lines()[0]["parts"], 1);
    cluster.run(&["runs", "rm", "waits", "alone", "--yes"]).exits_with(0);
    assert!(names(&cluster.run(&["runs", "--format", "json"]).exits_with(0)).is_empty());
    assert!(cluster.dir.parts().is_empty());
    // The name is free again.
    cluster.run(&cluster.submit("haze.toml", &["--name", "waits", "--detach"])).exits_with(0);
    assert_eq!(names(&cluster.run(&["runs", "--format", "json"]).exits_with(0)), ["waits"]);
}
