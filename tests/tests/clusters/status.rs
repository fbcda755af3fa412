//! How far runs are and who works on them, as every command says it: after a kill, a signal, a second process, a cancel; and
//! what `--detach` says before it comes back.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use dqa_tests::cluster::{Cluster, Programs, TIMEOUT};
use dqa_tests::{CommandOutput, TestDir};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Nine parts of one picture each.
const ALGORITHMS: [&str; 3] = ["dcp", "aod", "mscnn"];

fn setup() -> TestDir {
    let dir = TestDir::new(PROGRAMS.coordinator);
    dir.haze(&ALGORITHMS);
    dir
}

fn arguments(dir: &TestDir) -> Vec<&'static str> {
    dir.submit("haze.toml", &["--shard-windows", "1", "--name", "r"])
}

fn json(output: &CommandOutput) -> Value {
    serde_json::from_str(output.stdout.lines().next().unwrap()).unwrap()
}

/// Starts a command, and waits until it has made so many parts.
fn start_and_wait_for_parts(dir: &TestDir, arguments: &[&str], parts: usize) -> Child {
    let mut child = dir.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    // This does not poll at an interval: the parts of a small run follow each other within milliseconds.
    while dir.parts().len() < parts {
        assert!(child.try_wait().unwrap().is_none() && started.elapsed() < TIMEOUT, "the command ended or hangs");
        std::thread::yield_now();
    }
    child
}

/// The numbers of shards, pictures and failed pictures that each command shows of the run `r` must be those of the files.
fn assert_all_commands_show(dir: &TestDir, state: &str, parts_done: u64) {
    let status = json(&dir.run(&["status", "r", "--format", "json"]).exits_with(0));
    let runs = json(&dir.run(&["runs", "--format", "json"]).exits_with(0));
    assert_eq!(status, runs, "one answer");
    assert_eq!((&status["state"], &status["shards_done"]), (&state.into(), &parts_done.into()), "{status}");
    assert_eq!((&status["pictures_done"], &status["pictures"]), (&parts_done.into(), &9.into()), "{status}");
    let row = &dir.query("SELECT * FROM runs WHERE run = 'r'")[0];
    assert_eq!((&row["state"], &row["scored"]), (&state.into(), &parts_done.into()), "{row}");
    assert_eq!((&row["parts_done"], &row["windows_done"]), (&parts_done.into(), &status["windows_done"]), "{row}");
    assert_eq!(dir.query("SELECT count(*) AS n FROM scores")[0]["n"], parts_done);
    if state != "complete" {
        for command in ["report", "leaderboard"] {
            let output = dir.run(&[command, "r"]).exits_with(2);
            let extent = format!("{parts_done} of 9 parts and {parts_done} of 9 scores are in the store");
            assert!(
                output.stderr.contains(&format!("run `r` is {state}")) && output.stderr.contains(&extent),
                "{}",
                output.stderr
            );
        }
    }
}

#[test]
fn a_killed_run_is_interrupted_and_every_command_shows_its_progress() {
    let dir = setup();
    let arguments = arguments(&dir);
    let mut child = start_and_wait_for_parts(&dir, &arguments, 2);
    let working = json(&dir.run(&["status", "r", "--format", "json"]).exits_with(0));
    assert_eq!(working["state"], "running", "{working}");
    let conductor = working["conductor"].as_str().unwrap().to_owned();
    assert!(conductor.starts_with(&format!("process {} on ", child.id())), "{conductor}");
    child.kill().unwrap();
    // Also before its parent has noticed.
    let parts = dir.parts().len() as u64;
    assert_all_commands_show(&dir, "interrupted", parts);
    child.wait().unwrap();
    assert_all_commands_show(&dir, "interrupted", parts);
    let output = dir.run(&["report", "r"]).exits_with(2);
    assert!(output.stderr.contains("dqa-coord submit"), "what to do: {}", output.stderr);

    dir.run(&arguments).exits_with(0);
    assert_all_commands_show(&dir, "complete", 9);
    // What is lost later is not said to be there.
    std::fs::remove_file(&dir.parts()[0]).unwrap();
    let runs = json(&dir.run(&["runs", "--format", "json"]).exits_with(0));
    assert_eq!((&runs["shards_done"], &runs["pictures_done"]), (&8.into(), &8.into()), "{runs}");
}

#[test]
fn a_signalled_run_is_interrupted_and_can_be_resumed() {
    let dir = setup();
    let arguments = arguments(&dir);
    for (signal, code, cause) in [("INT", 130, "Ctrl-C"), ("TERM", 143, "SIGTERM")] {
        let there = dir.parts().len();
        let child = start_and_wait_for_parts(&dir, &arguments, there + 1);
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let output = CommandOutput::new(&child.wait_with_output().unwrap()).exits_with(code);
        let kept = dir.parts().len();
        let line = format!("stopped by {cause}: run r is interrupted, {kept} of 9 pictures are kept\n");
        assert!(output.stderr.contains(&line), "{line}{}", output.stderr);
        assert!(output.stderr.contains("hint: the same command goes on from there"), "{}", output.stderr);
        assert_all_commands_show(&dir, "interrupted", kept as u64);
    }
    dir.run(&arguments).exits_with(0);
    assert_all_commands_show(&dir, "complete", 9);
}

#[test]
fn a_second_process_on_a_run_is_refused_while_the_first_works() {
    let dir = setup();
    let arguments = arguments(&dir);
    let mut first = start_and_wait_for_parts(&dir, &arguments, 1);
    // Stopped, so that it does not finish meanwhile; it lives.
    let id = first.id().to_string();
    assert!(Command::new("kill").args(["-s", "STOP", &id]).status().unwrap().success());
    let refused = dir.run(&arguments).exits_with(2);
    assert!(refused.stderr.contains(&format!("run `r` is being scored by process {id} on ")), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: `dqa-coord status r`"), "{}", refused.stderr);
    first.kill().unwrap();
    first.wait().unwrap();
    dir.run(&arguments).exits_with(0);
    assert_all_commands_show(&dir, "complete", 9);
}

#[test]
fn a_coordinator_and_its_store_report_the_same_status() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&ALGORITHMS);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "400")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"]);
    let output = cluster.run(&arguments).exits_with(0);
    assert!(
        output.stderr.contains("run r is planned") && output.stderr.contains("dqa-coord status r --watch"),
        "{}",
        output.stderr
    );
    cluster.wait_for_run("r", |run| run["shards_done"].as_u64() > Some(1));
    cluster.run(&["cancel", "r"]).exits_with(0);
    cluster.wait_for_idle_workers();
    let here = json(&cluster.run_on_store(&["status", "r", "--format", "json"]).exits_with(0));
    let there = json(&cluster.run(&["status", "r", "--format", "json"]).exits_with(0));
    let parts = cluster.dir.parts().len() as u64;
    for output in [&here, &there] {
        assert_eq!((&output["state"], &output["shards_done"]), (&"cancelled".into(), &parts.into()), "{output}");
        assert_eq!((&output["pictures_done"], &output["pictures"]), (&parts.into(), &9.into()), "{output}");
    }
    assert_eq!(here["windows_done"], there["windows_done"], "{here}\n{there}");
    assert_eq!(cluster.query("SELECT scored FROM runs")[0]["scored"], parts);
    // A query is answered, and says that rows are missing.
    let count = ["query", "SELECT count(*) AS n FROM scores"];
    for asked in [cluster.run_on_store(&count), cluster.run(&count)] {
        let output = asked.exits_with(0);
        let warning = format!("warning: run r is cancelled, and its results are not complete: {parts} of 9 parts");
        assert!(output.stderr.contains(&warning), "{}", output.stderr);
    }
    for refused in [cluster.run_on_store(&["report", "r"]), cluster.run(&["report", "r"])] {
        let err = refused.exits_with(2).stderr;
        assert!(
            err.contains(&format!("run `r` is cancelled, and its results are not complete: {parts} of 9")),
            "{err}"
        );
        assert!(err.contains("dqa-coord resume r"), "{err}");
    }
    // A run that waits for a coordinator that is gone is not said to be more than it is.
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", |run| run["state"] == "running");
    cluster.kill_coordinator();
    let alone = json(&cluster.run_on_store(&["status", "r", "--format", "json"]).exits_with(0));
    assert_eq!(alone["state"], "running", "{alone}");
    assert!(alone["conductor"].as_str().unwrap().contains(", last seen at 20"), "{alone}");
}

#[test]
fn a_detached_submit_returns_when_its_run_is_planned() {
    let dir = setup();
    let mut arguments = arguments(&dir);
    arguments.push("--detach");
    let output = dir.run(&arguments).exits_with(0);
    assert!(output.stderr.contains("run r: 9 pictures"), "the plan is shown: {}", output.stderr);
    assert!(output.stderr.contains("run r is planned; process "), "{}", output.stderr);
    assert!(output.stderr.contains("`dqa-coord status r --store store --watch`"), "{}", output.stderr);
    // The run is there at once, and the way to watch it that was said is one.
    let watched = dir.run(&["status", "r", "--store", "store", "--watch"]).exits_with(0);
    assert!(watched.stdout.contains("run          r (complete)"), "{}", watched.stdout);
    assert_all_commands_show(&dir, "complete", 9);
    let logs: Vec<_> = std::fs::read_dir(dir.path("store/logs")).unwrap().collect();
    assert_eq!(logs.len(), 1);
    // Nothing is left to be done: the same.
    let again = dir.run(&arguments).exits_with(0);
    assert!(again.stderr.contains("nothing to score") && again.stderr.contains("run r is planned"), "{}", again.stderr);
}

#[test]
fn a_detached_submit_fails_as_in_the_foreground() {
    let dir = setup();
    std::fs::remove_file(dir.path("haze/dcp/s1.png")).unwrap();
    let other = ["submit", "--datasets", "haze.toml", "--model", "nowhere", "--handcrafted"];
    for arguments in [
        dir.submit("hase.toml", &[]),
        dir.submit("haze.toml", &["--algos", "dpc"]),
        dir.submit("haze.toml", &[]),
        other.to_vec(),
    ] {
        let foreground = dir.run(&arguments).exits_with(2);
        let detached = dir.run(&[&arguments[..], &["--detach"]].concat()).exits_with(2);
        assert_eq!(detached.stderr, foreground.stderr);
    }
    assert!(dir.parts().is_empty());
    let dry = dir.run(&dir.submit("haze.toml", &["--allow-missing", "--dry-run", "--detach"])).exits_with(0);
    assert!(dry.stderr.contains("8 pictures") && !dry.stderr.contains("background"), "{}", dry.stderr);
}

#[test]
fn a_detached_submit_to_a_coordinator_waits_for_its_plan() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&ALGORITHMS);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    std::fs::remove_file(cluster.dir.path("haze/dcp/s1.png")).unwrap();
    let arguments = cluster.submit("haze.toml", &["--name", "r", "--detach"]);
    let failed = cluster.run(&arguments).exits_with(2);
    assert!(failed.stderr.contains("not complete") && failed.stderr.contains("--allow-missing"), "{}", failed.stderr);
    // As a command, it leaves no run.
    for listed in [cluster.run(&["runs", "--format", "json"]), cluster.run_on_store(&["runs", "--format", "json"])] {
        assert_eq!(listed.exits_with(0).stdout, "");
    }
    let planned = cluster.run(&[&arguments[..], &["--allow-missing"]].concat()).exits_with(0);
    assert!(planned.stderr.contains("run r is planned"), "{}", planned.stderr);
    let run = cluster.run_status("r").unwrap();
    assert_eq!((&run["state"], &run["pictures"]), (&"running".into(), &8.into()), "{run}");
}

#[test]
fn a_request_that_cannot_be_planned_leaves_no_run_at_a_coordinator() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&ALGORITHMS);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let wrong = cluster.submit("haze.toml", &["--name", "r", "--algos", "dpc"]);
    let foreground = cluster.run(&wrong).exits_with(2);
    assert!(
        foreground.stderr.contains("run r cannot be planned") && foreground.stderr.contains("`dpc`"),
        "{}",
        foreground.stderr
    );
    assert!(foreground.stderr.contains("hint: ") && !foreground.stderr.contains("resume"), "{}", foreground.stderr);
    let detached = cluster.run(&[&wrong[..], &["--detach"]].concat()).exits_with(2);
    assert!(detached.stderr.contains("run r cannot be planned"), "{}", detached.stderr);
    assert!(!cluster.dir.path("store/runs/r").exists());
    for listed in [cluster.run(&["runs", "--format", "json"]), cluster.run_on_store(&["runs", "--format", "json"])] {
        assert_eq!(listed.exits_with(0).stdout, "");
    }
    for command in ["resume", "cancel", "retry"] {
        let unknown = cluster.run(&[command, "r"]).exits_with(2);
        assert!(unknown.stderr.contains("there is no run `r`"), "{}", unknown.stderr);
    }
    // The name is free for the corrected request; a run that was planned keeps what it has.
    let right = cluster.submit("haze.toml", &["--name", "r", "--detach"]);
    cluster.run(&right).exits_with(0);
    cluster.run(&["cancel", "r"]).exits_with(0);
    std::fs::remove_file(cluster.dir.path("haze/dcp/s1.png")).unwrap();
    cluster.run(&right).exits_with(2);
    let kept = cluster.run_status("r").unwrap();
    assert_eq!((&kept["state"], &kept["pictures"]), (&"failed".into(), &9.into()), "{kept}");
    let stored = json(&cluster.run_on_store(&["status", "r", "--format", "json"]).exits_with(0));
    assert_eq!(stored["state"], "failed", "{stored}");
}

#[test]
fn a_coordinator_believes_its_store_about_a_run_that_a_command_completed() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let arguments = cluster.submit("haze.toml", &["--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    cluster.run(&["pause", "r"]).exits_with(0);
    cluster.run_on_store(&arguments).exits_with(0);
    let runs = |output: CommandOutput| json(&output.exits_with(0));
    let [ours, theirs] = [&["runs", "--format", "json"][..], &["status", "r", "--format", "json"]].map(|command| {
        let (ours, theirs) = (runs(cluster.run_on_store(command)), runs(cluster.run(command)));
        assert_eq!(theirs, ours, "{command:?}");
        theirs
    });
    assert_eq!((&ours["state"], &theirs["state"]), (&"complete".into(), &"complete".into()), "{ours}");
    let refused = cluster.run(&["pause", "r"]).exits_with(2);
    assert!(refused.stderr.contains("was made by one command"), "{}", refused.stderr);
    // No worker is there: it is planned from the store, and is complete.
    let again = cluster.run(&arguments).exits_with(0);
    assert!(again.stdout.contains("dcp") && !again.stderr.contains("paused"), "{}{}", again.stdout, again.stderr);
    assert_eq!(cluster.run_status("r").unwrap()["state"], "complete");

    // The same if nobody has looked at it in between, and of a run that waits for workers.
    for pause in [true, false] {
        std::fs::write(
            cluster.dir.path("haze/dcp/s1.png"),
            dqa_testkit::Picture::synthetic(u64::from(pause) + 7, 230, 250).png(),
        )
        .unwrap();
        cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
        if pause {
            cluster.run(&["pause", "r"]).exits_with(0);
        }
        cluster.run_on_store(&arguments).exits_with(0);
        cluster.run(&arguments).exits_with(0);
        let stored = runs(cluster.run_on_store(&["status", "r", "--format", "json"]));
        assert_eq!(stored["state"], "complete", "{stored}");
    }

    // A command that changes nothing leaves no memory of the run that ages.
    let nothing = cluster.run(&["retry", "r"]).exits_with(0);
    assert!(nothing.stderr.contains("run r has no failed pictures"), "{}", nothing.stderr);
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.run(&["pause", "r"]).exits_with(2);
    let planned = || cluster.logs().matches("run planned").count();
    let before = planned();
    cluster.run_on_store(&arguments).exits_with(0);
    let command = ["status", "r", "--format", "json"];
    assert_eq!(runs(cluster.run(&command)), runs(cluster.run_on_store(&command)));
    assert_eq!(planned(), before);
}

#[test]
fn a_submit_of_a_paused_run_says_how_to_resume_it() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let arguments = cluster.submit("haze.toml", &["--name", "r"]);
    let detached = [&arguments[..], &["--detach"]].concat();
    cluster.run(&detached).exits_with(0);
    cluster.run(&["pause", "r"]).exits_with(0);
    let output = cluster.run(&detached).exits_with(0);
    let paused = "run r is paused: `dqa-coord resume r` goes on with it";
    assert!(output.stderr.contains(paused) && !output.stderr.contains("goes on there"), "{}", output.stderr);
    let mut waiting = cluster.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(waiting.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(paused)), "it waits, and says for what");
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.start_worker(&[]);
    lines.for_each(drop);
    assert!(waiting.wait().unwrap().success());

    // Nothing is left that is active: whoever watches all runs is is_announced so.
    let mut watch =
        cluster.command(&["status", "--watch"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stderr.take().unwrap()).lines().map(Result::unwrap);
    let is_announced = lines.any(|line| line.contains("no run is active: waiting for one"));
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert!(is_announced);
    let status = cluster.run(&["status", "r"]).exits_with(0);
    assert!(status.stdout.contains("prompts      model/prompts.safetensors"), "{}", status.stdout);
    assert!(status.stdout.contains("views        sees="), "{}", status.stdout);
}

#[test]
fn runs_of_earlier_versions_are_shown() {
    let dir = setup();
    dir.run(&arguments(&dir)).exits_with(0);
    let path = dir.path("store/runs/r/run.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert!(record["counted"].is_string(), "{record}");
    record.as_object_mut().unwrap().remove("counted");
    std::fs::write(&path, record.to_string()).unwrap();
    assert_all_commands_show(&dir, "complete", 9);
    // They had no sign of the process that worked.
    record["state"] = "running".into();
    std::fs::write(&path, record.to_string()).unwrap();
    let output = dir.run(&["report", "r"]).exits_with(2);
    assert!(
        output.stderr.contains("run `r` is interrupted") && output.stderr.contains("all 9 parts"),
        "{}",
        output.stderr
    );
}
