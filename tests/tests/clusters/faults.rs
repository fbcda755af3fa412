//! A cluster of real processes under single faults and commands: killed, drained and broken workers, a standby
//! coordinator, cancelled and resumed runs, refused requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::wait_until;
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// Each picture's score by algorithm and image.
fn scores(cluster: &Cluster) -> BTreeMap<String, Value> {
    let rows = cluster.query("SELECT algorithm, image, score FROM scores");
    let count = rows.len();
    let key = |row: &Value| format!("{}/{}", row["algorithm"].as_str().unwrap(), row["image"].as_str().unwrap());
    let scores: BTreeMap<String, Value> = rows.iter().map(|row| (key(row), row["score"].clone())).collect();
    assert_eq!(scores.len(), count, "no row is there twice");
    scores
}

/// The same, made by one process in a store of its own.
fn scores_alone(cluster: &Cluster, arguments: &[&str]) -> BTreeMap<String, Value> {
    let mut command = cluster.dir.command(arguments);
    command.env("DQA_STORE", "alone");
    assert!(command.output().unwrap().status.code().is_some_and(|code| code < 2));
    let mut query = cluster.dir.command(&["query", "SELECT algorithm, image, score FROM scores", "--format", "json"]);
    let output = query.env("DQA_STORE", "alone").output().unwrap();
    let rows = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (format!("{}/{}", row["algorithm"].as_str().unwrap(), row["image"].as_str().unwrap()), row["score"].clone())
    };
    rows.lines().map(row).collect()
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |run| run["state"] == state
}

#[test]
fn a_cluster_scores_as_one_process_does() {
    let mut cluster = Cluster::with_s3(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    let first = cluster.run(&arguments).exits_with(0);
    for algorithm in ["dcp", "aod", "mscnn"] {
        assert!(first.stdout.contains(algorithm), "the leaderboard has {algorithm}:\n{}", first.stdout);
    }
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments), "equal to the bit");
    // The model went up once; the run is there for whoever reads the store.
    assert!(first.stderr.contains("sending model.safetensors"), "{}", first.stderr);
    let again = cluster.run(&arguments).exits_with(0);
    assert!(!again.stderr.contains("sending"), "{}", again.stderr);
    assert_eq!(again.stdout, first.stdout);
    let runs = cluster.run_on_store(&["runs"]).exits_with(0);
    assert!(runs.stdout.contains("complete"), "{}", runs.stdout);
    let report = cluster.run(&["report", "--run", "r", "--table", "leaderboard", "--format", "csv"]).exits_with(0);
    assert_eq!(report.stdout.lines().count(), 4, "{}", report.stdout);
}

#[test]
fn a_run_waits_for_the_device_that_it_wants() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    cluster.run(&cluster.submit("haze.toml", &["--name", "r", "--device", "cuda", "--detach"])).exits_with(0);
    let waits = cluster.wait_for_run("r", |run| run["failure"] == "waits for a worker with cuda");
    assert_eq!((&waits["state"], &waits["shards_running"]), (&"running".into(), &0.into()));
    cluster.run(&["cancel", "r"]).exits_with(0);
    cluster.wait_for_run("r", is("cancelled"));
}

#[test]
fn cancelled_runs_stop_and_resumed_runs_continue() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "400")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    cluster.wait_for_run("r", |run| run["shards_done"].as_u64() > Some(1));

    cluster.run(&["pause", "r"]).exits_with(0);
    let paused = cluster.wait_for_run("r", |run| run["state"] == "paused" && run["shards_running"] == 0);
    let done = paused["shards_done"].as_u64().unwrap();
    assert!((2..9).contains(&done), "{paused}");
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", |run| run["shards_done"].as_u64() > Some(done));

    cluster.run(&["cancel", "r"]).exits_with(0);
    let cancelled = Instant::now();
    cluster.wait_for_idle_workers();
    assert!(cancelled.elapsed() < Duration::from_secs(20), "the worker went on for {:?}", cancelled.elapsed());
    let refused = cluster.run(&["pause", "r"]).exits_with(2);
    assert!(refused.stderr.contains("run `r` is cancelled already"), "{}", refused.stderr);
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", is("complete"));
    assert!(!cluster.logs().contains("Fail to find job"), "a cancel is no error\n{}", cluster.logs());
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_killed_worker_s_shards_are_scored_by_others() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    let slow = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "600000")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    cluster.wait_for_run("r", |run| run["shards_running"] == 2);
    cluster.start_worker(&[]);
    cluster.wait_for_run("r", |run| run["shards_done"] == 7);
    cluster.kill_worker(slow);
    let killed = Instant::now();
    cluster.wait_for_run("r", is("complete"));
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}\n{}", killed.elapsed(), cluster.logs());
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_drained_worker_finishes_its_shards_or_hands_them_back() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    let drain_within = |seconds: &str| vec!["--drain-within".to_owned(), seconds.to_owned()];
    cluster.worker_args = drain_within("600");
    let quick = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "2000")]);
    cluster.worker_args = drain_within("1");
    let slow = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "600000")]);
    cluster.wait_for_workers(2);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).exits_with(0);
    // What is only on its way to a worker it can neither finish nor hand back.
    cluster.wait_for_busy_workers();
    cluster.signal(slow, "TERM");
    cluster.signal(slow, "TERM");
    assert_eq!(cluster.wait_for_exit(slow), 0, "{}", cluster.logs());
    cluster.signal(quick, "TERM");
    assert_eq!(cluster.wait_for_exit(quick), 0, "{}", cluster.logs());
    let left = cluster.wait_for_run("r", |run| run["shards_running"] == 0);
    assert!(left["shards_done"].as_u64() > Some(0), "what could end did: {left}");
    cluster.start_worker(&[]);
    cluster.wait_for_run("r", is("complete"));
    assert!(!cluster.logs().contains("worker lost"), "nobody was lost\n{}", cluster.logs());
}

#[test]
fn a_shard_that_kills_workers_becomes_failed_rows() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    let poison = [("FAULT_POISON", "aod/s1.png")];
    let mut workers = [cluster.start_worker(&poison), cluster.start_worker(&poison)];
    cluster.wait_for_workers(2);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    let started = Instant::now();
    let mut deaths = 0;
    // As a supervisor does.
    while !cluster.run_status("r").as_ref().is_some_and(is("complete")) {
        for worker in &mut workers {
            if cluster.exit_status(*worker).is_some() {
                deaths += 1;
                *worker = cluster.start_worker(&poison);
            }
        }
        assert!(started.elapsed() < Duration::from_secs(150), "{}", cluster.logs());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!((2..=5).contains(&deaths), "{deaths}\n{}", cluster.logs());
    let failed = cluster.query("SELECT algorithm, image, error_code FROM scores WHERE score IS NULL");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["error_code"], "worker_died");
    assert!(failed[0]["image"].as_str().unwrap().contains("s1"));
    let mut expected = scores_alone(&cluster, &arguments);
    let found = scores(&cluster);
    expected.retain(|picture, _| !found[picture].is_null());
    assert_eq!(expected.len(), 8);
    assert!(expected.iter().all(|(picture, score)| found[picture] == *score), "the others are as they should be");

    // Where it does no harm, it is scored.
    workers.iter().for_each(|worker| cluster.kill_worker(*worker));
    cluster.start_worker(&[]);
    cluster.run(&["retry", "r"]).exits_with(0);
    cluster.wait_for_run("r", |run| run["state"] == "complete" && run["pictures_failed"] == 0);
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_wedged_device_ends_its_worker_and_a_panic_does_not() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.serve_args = vec!["--deadline".to_owned(), "0".to_owned()];
    cluster.start_coordinator();
    let wedged = cluster.start_worker(&[("FAULT_HANG", "s1.png")]);
    cluster.wait_for_workers(1);
    cluster.run(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).exits_with(0);
    assert_eq!(cluster.wait_for_exit(wedged), 75, "its supervisor starts it again\n{}", cluster.logs());
    cluster.start_worker(&[("FAULT_PANIC", "s1.png")]);
    let run = cluster.wait_for_run("r", is("complete"));
    let failed = cluster.query("SELECT error_code, error_message FROM scores WHERE score IS NULL");
    let codes: Vec<&Value> = failed.iter().map(|row| &row["error_code"]).collect();
    assert_eq!(codes, ["internal"], "{run} {failed:?}\n{}", cluster.logs());
    assert!(failed[0]["error_message"].as_str().unwrap().contains("panic"), "{failed:?}");
}

#[test]
fn a_broken_device_ends_its_worker_and_its_shards_are_scored_by_others() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    let broken = cluster.start_worker(&[("FAULT_BROKEN", "s1.png")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    assert_eq!(cluster.wait_for_exit(broken), 75, "its supervisor starts it again\n{}", cluster.logs());
    assert!(cluster.logs().contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{}", cluster.logs());
    assert!(!cluster.logs().contains("worker lost"), "it said that it goes\n{}", cluster.logs());
    cluster.start_worker(&[]);
    cluster.wait_for_run("r", |run| run["state"] == "complete" && run["pictures_failed"] == 0);
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_standby_coordinator_takes_over() {
    let mut first = Cluster::local(PROGRAMS);
    first.dir.haze(&["dcp", "aod"]);
    first.serve_args = vec!["--id".to_owned(), "first".to_owned()];
    first.start_coordinator();
    first.start_worker(&[("FAULT_SLOW_MILLIS", "300")]);
    first.wait_for_workers(1);
    let arguments = first.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    first.run(&[&arguments[..], &["--detach"]].concat()).exits_with(0);
    first.wait_for_run("r", |run| run["shards_done"].as_u64() > Some(0));

    let port = dqa_tests::cluster::free_port().to_string();
    let (listen, url) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let mut second = first.dir.command(&["serve", "--id", "second", "--listen", &listen]);
    let mut second = second.stderr(std::process::Stdio::null()).spawn().unwrap();
    let status = ["status", "r", "--format", "json", "--coordinator", &url];
    let stands_by = || first.dir.run(&status).stderr.contains("stands by; first leads");
    wait_until(Duration::from_secs(30), || first.dir.run(&status).stderr, stands_by);
    first.kill_coordinator();
    first.worker_args = vec!["--coordinator".to_owned(), url.clone()];
    first.start_worker(&[]);
    let complete = || first.dir.run(&status).stdout.contains("\"complete\"");
    wait_until(Duration::from_secs(90), || first.logs(), complete);
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(scores(&first), scores_alone(&first, &arguments));
}

#[test]
fn invalid_requests_are_refused_with_a_hint() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    let unreachable = cluster.run(&["workers"]).exits_with(2);
    assert!(unreachable.stderr.contains("cannot reach http"), "{}", unreachable.stderr);
    cluster.serve_args = vec!["--roots".to_owned(), "/nowhere".to_owned()];
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let elsewhere = cluster.run(&cluster.submit("haze.toml", &[])).exits_with(2);
    assert!(
        elsewhere.stderr.contains("lies outside the folders and stores that this coordinator reads"),
        "{}",
        elsewhere.stderr
    );
    assert!(elsewhere.stderr.contains("hint: the coordinator's operator sets with --roots"), "{}", elsewhere.stderr);
    let replicates = cluster.run(&cluster.submit("haze.toml", &["--replicates", "4000000000"])).exits_with(2);
    assert!(replicates.stderr.contains("at most 100000 replicates"), "{}", replicates.stderr);
    for (arguments, says) in [
        (vec!["cancel", "nothing"], "there is no run `nothing`"),
        (vec!["workers", "--drain", "nobody"], "there is no worker `nobody`"),
        (vec!["status", "nothing"], "there is no run `nothing`"),
    ] {
        let output = cluster.run(&arguments).exits_with(2);
        assert!(output.stderr.contains(says), "{}", output.stderr);
    }
}

#[test]
fn changed_weights_are_never_used() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    cluster.run(&cluster.submit("haze.toml", &["--name", "r", "--detach"])).exits_with(0);
    // Somebody changes the weights in the store, where the name says what they must be.
    let largest = std::fs::read_dir(cluster.dir.path("store/models")).unwrap();
    let largest = largest.map(|entry| entry.unwrap().path()).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let right = std::fs::read(&largest).unwrap();
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    std::fs::write(&largest, wrong).unwrap();
    cluster.start_worker(&[]);
    let failed = cluster.wait_for_run("r", is("failed"));
    assert!(failed["failure"].as_str().unwrap().contains("does not match its name"), "{failed}");
    let refused =
        cluster.run_on_store(&["query", "SELECT count(*) AS n FROM scores", "--format", "json"]).exits_with(0);
    assert!(refused.stdout.contains("0"), "nothing is scored: {}", refused.stdout);

    std::fs::write(&largest, right).unwrap();
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", is("complete"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_a_wrong_fingerprint_scores_nothing() {
    use dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient;
    use dqa_proto::v1::{DeviceClass, Model, RunRequest, SubmitRequest};
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let root = cluster.dir.path("haze").display().to_string();
    let model = Model {
        name: "dqa:small".to_owned(),
        prompts_name: "dqa:small".to_owned(),
        views: "sees=both,window=224,stride=64".to_owned(),
        dtype: "f32".to_owned(),
        fingerprint: "0".repeat(64),
        ..Model::default()
    };
    let definition = format!("name = \"haze\"\nroot = \"{root}\"\nlayout = [\"{{algorithm}}/{{scene}}.png\"]\n");
    let run = RunRequest {
        name: "r".to_owned(),
        definitions: vec![definition],
        model: Some(model),
        device: DeviceClass::Cpu.into(),
        ..RunRequest::default()
    };
    let mut client = CoordinatorServiceClient::connect(cluster.url()).await.unwrap();
    client.submit(SubmitRequest { run: Some(run.clone()) }).await.unwrap();
    let failed = cluster.wait_for_run("r", is("failed"));
    assert!(failed["failure"].as_str().unwrap().contains("on this worker, expected 0000"), "{failed}");
    // A path is not a model that a worker opens.
    let mut path = run;
    path.model.as_mut().unwrap().name = "/etc".to_owned();
    let refused = client.submit(SubmitRequest { run: Some(path) }).await.unwrap_err();
    assert_eq!(dqa_proto::code(&refused), Some("bad_model"), "{refused:?}");
}

#[test]
fn a_manifest_cannot_name_files_outside_the_roots() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    let inside = cluster.dir.path("haze").display().to_string();
    let secret = cluster.dir.path("haze.toml");
    cluster.serve_args = vec!["--roots".to_owned(), inside];
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    cluster.dir.file("named.toml", b"name = \"named\"\nroot = \"haze\"\nmanifest = \"named.csv\"\n");
    // Whether a file exists shows in nothing.
    for (run, outside) in [("r", secret), ("s", cluster.dir.path("nothing"))] {
        let rows = format!("algorithm,scene,uri\ndcp,s0,dcp/s0.png\ndcp,s1,{}\n", outside.display());
        cluster.dir.file("haze/named.csv", rows.as_bytes());
        cluster.run(&cluster.submit("named.toml", &["--name", run, "--detach"])).exits_with(2);
        let failed = cluster.wait_for_run(run, is("failed"));
        let failure = failed["failure"].as_str().unwrap();
        assert!(failure.contains("lies outside the folders and stores that this coordinator reads"), "{failed}");
    }
}

#[test]
fn a_run_that_ends_its_coordinator_again_and_again_fails() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    cluster.run(&cluster.submit("haze.toml", &["--name", "r", "--detach"])).exits_with(0);
    cluster.wait_for_run("r", is("running"));
    cluster.kill_coordinator();
    // As three coordinators leave it that have ended while they planned.
    let path = cluster.dir.path("store/runs/r/run.json");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(record["request"].get("planning_attempts"), None, "there is a plan: {record}");
    record["state"] = "planning".into();
    record["request"]["planning_attempts"] = 3.into();
    std::fs::write(&path, record.to_string()).unwrap();
    cluster.start_coordinator();
    let failed = cluster.wait_for_run("r", is("failed"));
    assert!(failed["failure"].as_str().unwrap().contains("planning was begun 3 times"), "{failed}");
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", is("running"));
}

#[test]
fn concurrent_commands_leave_one_run() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.dir.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    // Shards are scored meanwhile; but for one, so that the run does not end however long the commands take.
    let hangs = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "200"), ("FAULT_HANG", "aod/s1.png")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"]);
    let all_at_once = |commands: &[&[&str]]| {
        let children: Vec<_> = commands.iter().map(|arguments| cluster.command(arguments).spawn().unwrap()).collect();
        for mut child in children {
            child.wait().unwrap();
        }
    };
    all_at_once(&[&arguments, &arguments, &["pause", "r"], &["resume", "r"], &arguments]);
    all_at_once(&[&["cancel", "r"], &arguments, &["resume", "r"], &["cancel", "r"], &["retry", "r"]]);
    cluster.run(&["cancel", "r"]);
    cluster.wait_for_run("r", is("cancelled"));
    cluster.kill_worker(hangs);
    cluster.start_worker(&[]);
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", is("complete"));
    let conducted = || cluster.logs().matches("run complete").count();
    assert_eq!(conducted(), 1, "{}", cluster.logs());
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments[..arguments.len() - 1]));
    // What is complete and cannot be had again keeps what it has.
    std::fs::rename(cluster.dir.path("haze"), cluster.dir.path("away")).unwrap();
    cluster.run(&arguments).exits_with(2);
    cluster.wait_for_run("r", is("failed"));
    assert_eq!(cluster.query("SELECT count(*) AS n FROM scores")[0]["n"], 9);
    std::fs::rename(cluster.dir.path("away"), cluster.dir.path("haze")).unwrap();
    cluster.run(&["resume", "r"]).exits_with(0);
    cluster.wait_for_run("r", is("complete"));
    // Once more, and none that went on beside another.
    assert_eq!(conducted(), 2, "{}", cluster.logs());
}
