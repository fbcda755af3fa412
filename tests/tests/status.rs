//! How far runs are and who works on them, as every command says it: after a kill, a signal, a second process, a cancel; and
//! what `--detach` says before it comes back.

#![allow(clippy::unwrap_used)] // helpers too

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dqa_tests::cluster::{Cluster, HANGS, Programs};
use dqa_tests::{Said, TestDir};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Nine parts of one picture each.
const ALGORITHMS: [&str; 3] = ["dcp", "aod", "mscnn"];

fn place() -> TestDir {
    let place = TestDir::new(PROGRAMS.coordinator);
    place.haze(&ALGORITHMS);
    place
}

fn arguments(place: &TestDir) -> Vec<&'static str> {
    place.submit("haze.toml", &["--shard-windows", "1", "--name", "r"])
}

fn json(said: &Said) -> Value {
    serde_json::from_str(said.out.lines().next().unwrap()).unwrap()
}

/// Starts a command, and waits until it has made so many parts.
fn started(place: &TestDir, arguments: &[&str], parts: usize) -> Child {
    let mut child = place.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let wait = Instant::now();
    while place.parts().len() < parts {
        assert!(child.try_wait().unwrap().is_none() && wait.elapsed() < HANGS, "it ended, or hangs");
        std::thread::yield_now();
    }
    child
}

/// The numbers of shards, pictures and failed pictures that each command shows of the run `r` must be those of the files.
fn all_say(place: &TestDir, state: &str, parts_done: u64) {
    let status = json(&place.run(&["status", "r", "--format", "json"]).ends_with(0));
    let runs = json(&place.run(&["runs", "--format", "json"]).ends_with(0));
    assert_eq!(status, runs, "one answer");
    assert_eq!((&status["state"], &status["shards_done"]), (&state.into(), &parts_done.into()), "{status}");
    assert_eq!((&status["pictures_done"], &status["pictures"]), (&parts_done.into(), &9.into()), "{status}");
    let row = &place.query("SELECT * FROM runs WHERE run = 'r'")[0];
    assert_eq!((&row["state"], &row["scored"]), (&state.into(), &parts_done.into()), "{row}");
    assert_eq!((&row["parts_done"], &row["windows_done"]), (&parts_done.into(), &status["windows_done"]), "{row}");
    assert_eq!(place.query("SELECT count(*) AS n FROM scores")[0]["n"], parts_done);
    if state != "complete" {
        for command in ["report", "leaderboard"] {
            let said = place.run(&[command, "r"]).ends_with(2);
            let extent = format!("{parts_done} of 9 parts and {parts_done} of 9 pictures are in the store");
            assert!(said.err.contains(&format!("run `r` is {state}")) && said.err.contains(&extent), "{}", said.err);
        }
    }
}

#[test]
fn a_killed_run_is_interrupted_and_every_command_says_how_far_it_is() {
    let place = place();
    let arguments = arguments(&place);
    let mut child = started(&place, &arguments, 2);
    let working = json(&place.run(&["status", "r", "--format", "json"]).ends_with(0));
    assert_eq!(working["state"], "running", "{working}");
    let conductor = working["conductor"].as_str().unwrap().to_owned();
    assert!(conductor.starts_with(&format!("process {} on ", child.id())), "{conductor}");
    child.kill().unwrap();
    // Also before its parent has noticed.
    let parts = place.parts().len() as u64;
    all_say(&place, "interrupted", parts);
    child.wait().unwrap();
    all_say(&place, "interrupted", parts);
    let said = place.run(&["report", "r"]).ends_with(2);
    assert!(said.err.contains("dqa-coord submit"), "what to do: {}", said.err);

    place.run(&arguments).ends_with(0);
    all_say(&place, "complete", 9);
    // What is lost later is not said to be there.
    std::fs::remove_file(&place.parts()[0]).unwrap();
    let runs = json(&place.run(&["runs", "--format", "json"]).ends_with(0));
    assert_eq!((&runs["shards_done"], &runs["pictures_done"]), (&8.into(), &8.into()), "{runs}");
}

#[test]
fn a_run_that_is_told_to_end_says_so_and_goes_on() {
    let place = place();
    let arguments = arguments(&place);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let there = place.parts().len();
        let child = started(&place, &arguments, there + 1);
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let said = Said::of(&child.wait_with_output().unwrap()).ends_with(code);
        assert!(said.err.contains(&format!("SIG{signal}: run r is interrupted: ")), "{}", said.err);
        assert!(said.err.contains("hint: `dqa-coord submit` with the same arguments"), "{}", said.err);
        all_say(&place, "interrupted", place.parts().len() as u64);
    }
    place.run(&arguments).ends_with(0);
    all_say(&place, "complete", 9);
}

#[test]
fn a_second_process_on_a_run_is_refused_while_the_first_works() {
    let place = place();
    let arguments = arguments(&place);
    let mut first = started(&place, &arguments, 1);
    // Stopped, so that it does not finish meanwhile; it lives.
    let id = first.id().to_string();
    assert!(Command::new("kill").args(["-s", "STOP", &id]).status().unwrap().success());
    let refused = place.run(&arguments).ends_with(2);
    assert!(refused.err.contains(&format!("run `r` is being scored by process {id} on ")), "{}", refused.err);
    assert!(refused.err.contains("hint: `dqa-coord status r`"), "{}", refused.err);
    first.kill().unwrap();
    first.wait().unwrap();
    place.run(&arguments).ends_with(0);
    all_say(&place, "complete", 9);
}

#[test]
fn what_a_coordinator_says_of_a_run_is_what_its_store_says() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&ALGORITHMS);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "400")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"]);
    let said = cluster.user(&arguments).ends_with(0);
    assert!(said.err.contains("run r is planned") && said.err.contains("dqa-coord status r --watch"), "{}", said.err);
    cluster.wait_for("r", |run| run["shards_done"].as_u64() > Some(1));
    cluster.user(&["cancel", "r"]).ends_with(0);
    let wait = Instant::now();
    let idle = |worker: &Value| worker["running"].as_array().is_some_and(Vec::is_empty);
    while !idle(&json(&cluster.user(&["workers", "--format", "json"]).ends_with(0))) {
        assert!(wait.elapsed() < HANGS, "it goes on\n{}", cluster.said());
    }
    let here = json(&cluster.store(&["status", "r", "--format", "json"]).ends_with(0));
    let there = json(&cluster.user(&["status", "r", "--format", "json"]).ends_with(0));
    let parts = cluster.place.parts().len() as u64;
    for said in [&here, &there] {
        assert_eq!((&said["state"], &said["shards_done"]), (&"cancelled".into(), &parts.into()), "{said}");
        assert_eq!((&said["pictures_done"], &said["pictures"]), (&parts.into(), &9.into()), "{said}");
    }
    assert_eq!(here["windows_done"], there["windows_done"], "{here}\n{there}");
    assert_eq!(cluster.query("SELECT scored FROM runs")[0]["scored"], parts);
    // A query is answered, and says that rows are missing.
    let count = ["query", "SELECT count(*) AS n FROM scores"];
    for asked in [cluster.store(&count), cluster.user(&count)] {
        let said = asked.ends_with(0);
        let warning = format!("warning: run r is cancelled, and its results are not complete: {parts} of 9 parts");
        assert!(said.err.contains(&warning), "{}", said.err);
    }
    for refused in [cluster.store(&["report", "r"]), cluster.user(&["report", "r"])] {
        let err = refused.ends_with(2).err;
        assert!(
            err.contains(&format!("run `r` is cancelled, and its results are not complete: {parts} of 9")),
            "{err}"
        );
        assert!(err.contains("dqa-coord resume r"), "{err}");
    }
    // A run that waits for a coordinator that is gone is not said to be more than it is.
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.wait_for("r", |run| run["state"] == "running");
    cluster.kill_coordinator();
    let alone = json(&cluster.store(&["status", "r", "--format", "json"]).ends_with(0));
    assert_eq!(alone["state"], "running", "{alone}");
    assert!(alone["conductor"].as_str().unwrap().contains(", last seen at 20"), "{alone}");
}

#[test]
fn a_detached_submit_comes_back_when_its_run_is_planned() {
    let place = place();
    let mut arguments = arguments(&place);
    arguments.push("--detach");
    let said = place.run(&arguments).ends_with(0);
    assert!(said.err.contains("run r: 9 pictures"), "the plan is shown: {}", said.err);
    assert!(said.err.contains("run r is planned; process "), "{}", said.err);
    assert!(said.err.contains("`dqa-coord status r --store store --watch`"), "{}", said.err);
    // The run is there at once, and the way to watch it that was said is one.
    let watched = place.run(&["status", "r", "--store", "store", "--watch"]).ends_with(0);
    assert!(watched.out.contains("run          r (complete)"), "{}", watched.out);
    all_say(&place, "complete", 9);
    let logs: Vec<_> = std::fs::read_dir(place.path("store/logs")).unwrap().collect();
    assert_eq!(logs.len(), 1);
    // Nothing is left to be done: the same.
    let again = place.run(&arguments).ends_with(0);
    assert!(again.err.contains("nothing to score") && again.err.contains("run r is planned"), "{}", again.err);
}

#[test]
fn a_detached_submit_fails_as_in_the_foreground() {
    let place = place();
    std::fs::remove_file(place.path("haze/dcp/s1.png")).unwrap();
    let other = ["submit", "--datasets", "haze.toml", "--model", "nowhere", "--handcrafted"];
    for arguments in [
        place.submit("hase.toml", &[]),
        place.submit("haze.toml", &["--algos", "dpc"]),
        place.submit("haze.toml", &[]),
        other.to_vec(),
    ] {
        let foreground = place.run(&arguments).ends_with(2);
        let detached = place.run(&[&arguments[..], &["--detach"]].concat()).ends_with(2);
        assert_eq!(detached.err, foreground.err);
    }
    assert!(place.parts().is_empty());
    let dry = place.run(&place.submit("haze.toml", &["--allow-missing", "--dry-run", "--detach"])).ends_with(0);
    assert!(dry.err.contains("8 pictures") && !dry.err.contains("background"), "{}", dry.err);
}

#[test]
fn a_detached_submit_to_a_coordinator_waits_for_its_plan() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&ALGORITHMS);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    std::fs::remove_file(cluster.place.path("haze/dcp/s1.png")).unwrap();
    let arguments = cluster.submit("haze.toml", &["--name", "r", "--detach"]);
    let failed = cluster.user(&arguments).ends_with(2);
    assert!(failed.err.contains("not complete") && failed.err.contains("--allow-missing"), "{}", failed.err);
    // As a command, it leaves no run.
    for listed in [cluster.user(&["runs", "--format", "json"]), cluster.store(&["runs", "--format", "json"])] {
        assert_eq!(listed.ends_with(0).out, "");
    }
    let planned = cluster.user(&[&arguments[..], &["--allow-missing"]].concat()).ends_with(0);
    assert!(planned.err.contains("run r is planned"), "{}", planned.err);
    let run = cluster.run_now("r").unwrap();
    assert_eq!((&run["state"], &run["pictures"]), (&"running".into(), &8.into()), "{run}");
}

#[test]
fn a_request_that_cannot_be_planned_leaves_no_run_at_a_coordinator() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&ALGORITHMS);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let wrong = cluster.submit("haze.toml", &["--name", "r", "--algos", "dpc"]);
    let foreground = cluster.user(&wrong).ends_with(2);
    assert!(
        foreground.err.contains("run r cannot be planned") && foreground.err.contains("`dpc`"),
        "{}",
        foreground.err
    );
    assert!(foreground.err.contains("hint: ") && !foreground.err.contains("resume"), "{}", foreground.err);
    let detached = cluster.user(&[&wrong[..], &["--detach"]].concat()).ends_with(2);
    assert!(detached.err.contains("run r cannot be planned"), "{}", detached.err);
    assert!(!cluster.place.path("store/runs/r").exists());
    for listed in [cluster.user(&["runs", "--format", "json"]), cluster.store(&["runs", "--format", "json"])] {
        assert_eq!(listed.ends_with(0).out, "");
    }
    for command in ["resume", "cancel", "retry"] {
        let unknown = cluster.user(&[command, "r"]).ends_with(2);
        assert!(unknown.err.contains("there is no run `r`"), "{}", unknown.err);
    }
    // The name is free for the corrected request; a run that was planned keeps what it has.
    let right = cluster.submit("haze.toml", &["--name", "r", "--detach"]);
    cluster.user(&right).ends_with(0);
    cluster.user(&["cancel", "r"]).ends_with(0);
    std::fs::remove_file(cluster.place.path("haze/dcp/s1.png")).unwrap();
    cluster.user(&right).ends_with(2);
    let kept = cluster.run_now("r").unwrap();
    assert_eq!((&kept["state"], &kept["pictures"]), (&"failed".into(), &9.into()), "{kept}");
    let stored = json(&cluster.store(&["status", "r", "--format", "json"]).ends_with(0));
    assert_eq!(stored["state"], "failed", "{stored}");
}

#[test]
fn a_coordinator_believes_its_store_about_a_run_that_a_command_completed() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let arguments = cluster.submit("haze.toml", &["--name", "r"]);
    cluster.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
    cluster.user(&["pause", "r"]).ends_with(0);
    cluster.store(&arguments).ends_with(0);
    let runs = |said: Said| json(&said.ends_with(0));
    let [ours, theirs] = [&["runs", "--format", "json"][..], &["status", "r", "--format", "json"]].map(|command| {
        let (ours, theirs) = (runs(cluster.store(command)), runs(cluster.user(command)));
        assert_eq!(theirs, ours, "{command:?}");
        theirs
    });
    assert_eq!((&ours["state"], &theirs["state"]), (&"complete".into(), &"complete".into()), "{ours}");
    let refused = cluster.user(&["pause", "r"]).ends_with(2);
    assert!(refused.err.contains("was made by one command"), "{}", refused.err);
    // No worker is there: it is planned from the store, and is complete.
    let again = cluster.user(&arguments).ends_with(0);
    assert!(again.out.contains("dcp") && !again.err.contains("paused"), "{}{}", again.out, again.err);
    assert_eq!(cluster.run_now("r").unwrap()["state"], "complete");

    // The same if nobody has looked at it in between, and of a run that waits for workers.
    for pause in [true, false] {
        std::fs::write(
            cluster.place.path("haze/dcp/s1.png"),
            dqa_testkit::Picture::synthetic(u64::from(pause) + 7, 230, 250).png(),
        )
        .unwrap();
        cluster.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
        if pause {
            cluster.user(&["pause", "r"]).ends_with(0);
        }
        cluster.store(&arguments).ends_with(0);
        cluster.user(&arguments).ends_with(0);
        let stored = runs(cluster.store(&["status", "r", "--format", "json"]));
        assert_eq!(stored["state"], "complete", "{stored}");
    }

    // A command that changes nothing leaves no memory of the run that ages.
    let nothing = cluster.user(&["retry", "r"]).ends_with(0);
    assert!(nothing.err.contains("run r has no failed pictures"), "{}", nothing.err);
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.user(&["pause", "r"]).ends_with(2);
    let planned = || cluster.said().matches("run planned").count();
    let before = planned();
    cluster.store(&arguments).ends_with(0);
    let command = ["status", "r", "--format", "json"];
    assert_eq!(runs(cluster.user(&command)), runs(cluster.store(&command)));
    assert_eq!(planned(), before);
}

#[test]
fn who_submits_a_paused_run_is_told_how_it_goes_on() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let arguments = cluster.submit("haze.toml", &["--name", "r"]);
    let detached = [&arguments[..], &["--detach"]].concat();
    cluster.user(&detached).ends_with(0);
    cluster.user(&["pause", "r"]).ends_with(0);
    let said = cluster.user(&detached).ends_with(0);
    let paused = "run r is paused: `dqa-coord resume r` goes on with it";
    assert!(said.err.contains(paused) && !said.err.contains("goes on there"), "{}", said.err);
    let mut waiting = cluster.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(paused)), "it waits, and says for what");
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.start_worker(&[]);
    lines.for_each(drop);
    assert!(waiting.wait().unwrap().success());

    // Nothing is left that is active: whoever watches all runs is told so.
    let mut watch =
        cluster.command(&["status", "--watch"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.any(|line| line.contains("no run is active: waiting for one"));
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(told);
    let status = cluster.user(&["status", "r"]).ends_with(0);
    assert!(status.out.contains("prompts      model/prompts.safetensors"), "{}", status.out);
    assert!(status.out.contains("views        sees="), "{}", status.out);
}

#[test]
fn runs_of_a_store_of_earlier_versions_are_told() {
    let place = place();
    place.run(&arguments(&place)).ends_with(0);
    let path = place.path("store/runs/r/run.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(record["counted"].is_string(), "{record}");
    record.as_object_mut().unwrap().remove("counted");
    std::fs::write(&path, record.to_string()).unwrap();
    all_say(&place, "complete", 9);
    // They had no sign of the process that worked.
    record["state"] = "running".into();
    std::fs::write(&path, record.to_string()).unwrap();
    let said = place.run(&["report", "r"]).ends_with(2);
    assert!(said.err.contains("run `r` is interrupted") && said.err.contains("all 9 parts"), "{}", said.err);
}
