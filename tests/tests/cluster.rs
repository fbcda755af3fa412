//! A cluster of real processes, as its users and operators meet it.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dqa_tests::cluster::{Cluster, HANGS, Programs};
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
    let mut command = cluster.place.command(arguments);
    command.env("DQA_STORE", "alone");
    assert!(command.output().unwrap().status.code().is_some_and(|code| code < 2));
    let mut query = cluster.place.command(&["query", "SELECT algorithm, image, score FROM scores", "--format", "json"]);
    let said = query.env("DQA_STORE", "alone").output().unwrap();
    let rows = String::from_utf8(said.stdout).unwrap();
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        (format!("{}/{}", row["algorithm"].as_str().unwrap(), row["image"].as_str().unwrap()), row["score"].clone())
    };
    rows.lines().map(row).collect()
}

/// Waits until every worker has said that it has shards.
fn wait_until_all_have_some(cluster: &Cluster) {
    let wait = Instant::now();
    let has_some = |line: &str| {
        let worker: Value = serde_json::from_str(line).unwrap();
        worker["running"].as_array().is_some_and(|running| !running.is_empty())
    };
    loop {
        let workers = cluster.user(&["workers", "--format", "json"]).ends_with(0).out;
        if workers.lines().all(has_some) {
            return;
        }
        assert!(wait.elapsed() < HANGS, "{workers}\n{}", cluster.said());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |run| run["state"] == state
}

#[test]
fn a_submit_to_a_coordinator_is_a_submit() {
    let mut cluster = Cluster::in_s3(PROGRAMS);
    cluster.place.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.start_worker(&[]);
    cluster.wait_for_workers(2);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    let first = cluster.user(&arguments).ends_with(0);
    for algorithm in ["dcp", "aod", "mscnn"] {
        assert!(first.out.contains(algorithm), "the leaderboard has {algorithm}:\n{}", first.out);
    }
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments), "equal to the bit");
    // The model went up once; the run is there for whoever reads the store.
    assert!(first.err.contains("sending model.safetensors"), "{}", first.err);
    let again = cluster.user(&arguments).ends_with(0);
    assert!(!again.err.contains("sending"), "{}", again.err);
    assert_eq!(again.out, first.out);
    let runs = cluster.store(&["runs"]).ends_with(0);
    assert!(runs.out.contains("complete"), "{}", runs.out);
    let report = cluster.user(&["report", "--run", "r", "--table", "leaderboard", "--format", "csv"]).ends_with(0);
    assert_eq!(report.out.lines().count(), 4, "{}", report.out);
}

#[test]
fn a_run_waits_for_the_device_that_it_wants() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    cluster.user(&cluster.submit("haze.toml", &["--name", "r", "--device", "cuda", "--detach"])).ends_with(0);
    let waits = cluster.wait_for("r", |run| run["failure"] == "waits for a worker with cuda");
    assert_eq!((&waits["state"], &waits["shards_running"]), (&"running".into(), &0.into()));
    cluster.user(&["cancel", "r"]).ends_with(0);
    cluster.wait_for("r", is("cancelled"));
}

#[test]
fn what_is_called_off_stops_and_what_is_resumed_goes_on() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    cluster.start_worker(&[("FAULT_SLOW_MILLIS", "400")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
    cluster.wait_for("r", |run| run["shards_done"].as_u64() > Some(1));

    cluster.user(&["pause", "r"]).ends_with(0);
    let paused = cluster.wait_for("r", |run| run["state"] == "paused" && run["shards_running"] == 0);
    let done = paused["shards_done"].as_u64().unwrap();
    assert!((2..9).contains(&done), "{paused}");
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.wait_for("r", |run| run["shards_done"].as_u64() > Some(done));

    cluster.user(&["cancel", "r"]).ends_with(0);
    let called_off = Instant::now();
    let idle = |worker: &Value| worker["running"].as_array().is_some_and(Vec::is_empty);
    loop {
        let workers = cluster.user(&["workers", "--format", "json"]).ends_with(0).out;
        if idle(&serde_json::from_str(&workers).unwrap()) {
            break;
        }
        assert!(called_off.elapsed() < Duration::from_secs(20), "it goes on: {workers}");
    }
    let refused = cluster.user(&["pause", "r"]).ends_with(2);
    assert!(refused.err.contains("run `r` is cancelled already"), "{}", refused.err);
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.wait_for("r", is("complete"));
    assert!(!cluster.said().contains("Fail to find job"), "a cancel is no error\n{}", cluster.said());
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_killed_worker_s_shards_are_scored_by_others() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    let slow = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "600000")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
    cluster.wait_for("r", |run| run["shards_running"] == 2);
    cluster.start_worker(&[]);
    cluster.wait_for("r", |run| run["shards_done"] == 7);
    cluster.kill_worker(slow);
    let killed = Instant::now();
    cluster.wait_for("r", is("complete"));
    assert!(killed.elapsed() < Duration::from_secs(20), "{:?}\n{}", killed.elapsed(), cluster.said());
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_drained_worker_finishes_what_it_has_or_hands_it_back() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod"]);
    cluster.start_coordinator();
    let drain_within = |seconds: &str| vec!["--drain-within".to_owned(), seconds.to_owned()];
    cluster.run = drain_within("600");
    let quick = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "2000")]);
    cluster.run = drain_within("1");
    let slow = cluster.start_worker(&[("FAULT_SLOW_MILLIS", "600000")]);
    cluster.wait_for_workers(2);
    cluster.user(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).ends_with(0);
    // What is only on its way to a worker it can neither finish nor hand back.
    wait_until_all_have_some(&cluster);
    cluster.signal(slow, "TERM");
    cluster.signal(slow, "TERM");
    assert_eq!(cluster.end_of(slow), 0, "{}", cluster.said());
    cluster.signal(quick, "TERM");
    assert_eq!(cluster.end_of(quick), 0, "{}", cluster.said());
    let left = cluster.wait_for("r", |run| run["shards_running"] == 0);
    assert!(left["shards_done"].as_u64() > Some(0), "what could end did: {left}");
    cluster.start_worker(&[]);
    cluster.wait_for("r", is("complete"));
    assert!(!cluster.said().contains("worker lost"), "nobody was lost\n{}", cluster.said());
}

#[test]
fn a_shard_that_kills_workers_becomes_failed_rows() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod", "mscnn"]);
    cluster.start_coordinator();
    let poison = [("FAULT_POISON", "aod/s1.png")];
    let mut workers = [cluster.start_worker(&poison), cluster.start_worker(&poison)];
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
    let started = Instant::now();
    let mut deaths = 0;
    // As a supervisor does.
    while !cluster.run_now("r").as_ref().is_some_and(is("complete")) {
        for worker in &mut workers {
            if cluster.ended(*worker).is_some() {
                deaths += 1;
                *worker = cluster.start_worker(&poison);
            }
        }
        assert!(started.elapsed() < Duration::from_secs(150), "{}", cluster.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!((2..=5).contains(&deaths), "{deaths}\n{}", cluster.said());
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
    cluster.user(&["retry", "r"]).ends_with(0);
    cluster.wait_for("r", |run| run["state"] == "complete" && run["pictures_failed"] == 0);
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_wedged_device_ends_its_worker_and_a_panic_does_not() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.serve = vec!["--deadline".to_owned(), "0".to_owned()];
    cluster.start_coordinator();
    let wedged = cluster.start_worker(&[("FAULT_HANG", "s1.png")]);
    cluster.wait_for_workers(1);
    cluster.user(&cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r", "--detach"])).ends_with(0);
    assert_eq!(cluster.end_of(wedged), 75, "its supervisor starts it again\n{}", cluster.said());
    cluster.start_worker(&[("FAULT_PANIC", "s1.png")]);
    let run = cluster.wait_for("r", is("complete"));
    let failed = cluster.query("SELECT error_code, error_message FROM scores WHERE score IS NULL");
    let codes: Vec<&Value> = failed.iter().map(|row| &row["error_code"]).collect();
    assert_eq!(codes, ["internal"], "{run} {failed:?}\n{}", cluster.said());
    assert!(failed[0]["error_message"].as_str().unwrap().contains("panic"), "{failed:?}");
}

#[test]
fn a_broken_device_ends_its_worker_and_its_shards_are_scored_by_others() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    let broken = cluster.start_worker(&[("FAULT_BROKEN", "s1.png")]);
    cluster.wait_for_workers(1);
    let arguments = cluster.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    cluster.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
    assert_eq!(cluster.end_of(broken), 75, "its supervisor starts it again\n{}", cluster.said());
    assert!(cluster.said().contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{}", cluster.said());
    assert!(!cluster.said().contains("worker lost"), "it said that it goes\n{}", cluster.said());
    cluster.start_worker(&[]);
    cluster.wait_for("r", |run| run["state"] == "complete" && run["pictures_failed"] == 0);
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments));
}

#[test]
fn a_coordinator_that_stands_by_takes_over() {
    let mut first = Cluster::local(PROGRAMS);
    first.place.haze(&["dcp", "aod"]);
    first.serve = vec!["--id".to_owned(), "first".to_owned()];
    first.start_coordinator();
    first.start_worker(&[("FAULT_SLOW_MILLIS", "300")]);
    first.wait_for_workers(1);
    let arguments = first.submit("haze.toml", &["--shard-windows", "1", "--name", "r"]);
    first.user(&[&arguments[..], &["--detach"]].concat()).ends_with(0);
    first.wait_for("r", |run| run["shards_done"].as_u64() > Some(0));

    let port = dqa_tests::cluster::free_port().to_string();
    let (listen, url) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let mut second = first.place.command(&["serve", "--id", "second", "--listen", &listen]);
    let mut second = second.stderr(std::process::Stdio::null()).spawn().unwrap();
    let status = ["status", "r", "--format", "json", "--coordinator", &url];
    let stands_by = || first.place.run(&status).err.contains("stands by; first leads");
    let wait = Instant::now();
    while !stands_by() {
        assert!(wait.elapsed() < Duration::from_secs(30), "{:?}", first.place.run(&status).err);
    }
    first.kill_coordinator();
    first.run = vec!["--coordinator".to_owned(), url.clone()];
    first.start_worker(&[]);
    let wait = Instant::now();
    let complete = || first.place.run(&status).out.contains("\"complete\"");
    while !complete() {
        assert!(wait.elapsed() < Duration::from_secs(90), "{}", first.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(scores(&first), scores_alone(&first, &arguments));
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_to_do() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    let unreachable = cluster.user(&["workers"]).ends_with(2);
    assert!(unreachable.err.contains("the coordinator cannot be reached"), "{}", unreachable.err);
    cluster.serve = vec!["--roots".to_owned(), "/nowhere".to_owned()];
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let elsewhere = cluster.user(&cluster.submit("haze.toml", &[])).ends_with(2);
    assert!(
        elsewhere.err.contains("lies outside the folders and stores that this coordinator reads"),
        "{}",
        elsewhere.err
    );
    assert!(elsewhere.err.contains("hint: the coordinator's operator sets with --roots"), "{}", elsewhere.err);
    let replicates = cluster.user(&cluster.submit("haze.toml", &["--replicates", "4000000000"])).ends_with(2);
    assert!(replicates.err.contains("at most 100000 replicates"), "{}", replicates.err);
    for (arguments, says) in [
        (vec!["cancel", "nothing"], "there is no run `nothing`"),
        (vec!["workers", "--drain", "nobody"], "there is no worker `nobody`"),
        (vec!["status", "nothing"], "there is no run `nothing`"),
    ] {
        let said = cluster.user(&arguments).ends_with(2);
        assert!(said.err.contains(says), "{}", said.err);
    }
}

#[test]
fn another_model_is_never_scored_with() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    cluster.user(&cluster.submit("haze.toml", &["--name", "r", "--detach"])).ends_with(0);
    // Somebody changes the weights in the store, where the name says what they must be.
    let largest = std::fs::read_dir(cluster.place.path("store/models")).unwrap();
    let largest = largest.map(|entry| entry.unwrap().path()).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let right = std::fs::read(&largest).unwrap();
    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    std::fs::write(&largest, wrong).unwrap();
    cluster.start_worker(&[]);
    let failed = cluster.wait_for("r", is("failed"));
    assert!(failed["failure"].as_str().unwrap().contains("does not match its name"), "{failed}");
    let refused = cluster.store(&["query", "SELECT count(*) AS n FROM scores", "--format", "json"]).ends_with(0);
    assert!(refused.out.contains("0"), "nothing is scored: {}", refused.out);

    std::fs::write(&largest, right).unwrap();
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.wait_for("r", is("complete"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_another_fingerprint_than_the_run_s_scores_nothing() {
    use dqa_proto::v1::coordinator_service_client::CoordinatorServiceClient;
    use dqa_proto::v1::{DeviceClass, Model, RunRequest, SubmitRequest};
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let root = cluster.place.path("haze").display().to_string();
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
    let failed = cluster.wait_for("r", is("failed"));
    assert!(failed["failure"].as_str().unwrap().contains("and the run's is 0000"), "{failed}");
    // A path is not a model that a worker opens.
    let mut path = run;
    path.model.as_mut().unwrap().name = "/etc".to_owned();
    let refused = client.submit(SubmitRequest { run: Some(path) }).await.unwrap_err();
    assert_eq!(dqa_proto::code(&refused), Some("bad_model"), "{refused:?}");
}

#[test]
fn a_manifest_leads_nowhere_else() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp"]);
    let inside = cluster.place.path("haze").display().to_string();
    let secret = cluster.place.path("haze.toml");
    cluster.serve = vec!["--roots".to_owned(), inside];
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let rows = format!("algorithm,scene,uri\ndcp,s0,dcp/s0.png\ndcp,s1,{}\n", secret.display());
    cluster.place.file("haze/named.csv", rows.as_bytes());
    cluster.place.file("named.toml", b"name = \"named\"\nroot = \"haze\"\nmanifest = \"named.csv\"\n");
    cluster.user(&cluster.submit("named.toml", &["--name", "r", "--detach"])).ends_with(2);
    let failed = cluster.wait_for("r", is("failed"));
    assert!(
        failed["failure"].as_str().unwrap().contains("lies outside the folders and stores that this coordinator reads"),
        "{failed}"
    );
}

#[test]
fn commands_at_once_leave_one_run() {
    let mut cluster = Cluster::local(PROGRAMS);
    cluster.place.haze(&["dcp", "aod", "mscnn"]);
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
    cluster.user(&["cancel", "r"]);
    cluster.wait_for("r", is("cancelled"));
    cluster.kill_worker(hangs);
    cluster.start_worker(&[]);
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.wait_for("r", is("complete"));
    let conducted = || cluster.said().matches("run complete").count();
    assert_eq!(conducted(), 1, "{}", cluster.said());
    assert_eq!(scores(&cluster), scores_alone(&cluster, &arguments[..arguments.len() - 1]));
    // What is complete and cannot be had again keeps what it has.
    std::fs::rename(cluster.place.path("haze"), cluster.place.path("away")).unwrap();
    cluster.user(&arguments).ends_with(2);
    cluster.wait_for("r", is("failed"));
    assert_eq!(cluster.query("SELECT count(*) AS n FROM scores")[0]["n"], 9);
    std::fs::rename(cluster.place.path("away"), cluster.place.path("haze")).unwrap();
    cluster.user(&["resume", "r"]).ends_with(0);
    cluster.wait_for("r", is("complete"));
    // Once more, and none that went on beside another.
    assert_eq!(conducted(), 2, "{}", cluster.said());
}
