//! Trainings and studies on a cluster: what machines that die cost, and that the results are those of one process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir, poll_until, wait_until};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(180);

const STUDY: [&str; 13] = [
    "study",
    "ablation",
    "--datasets",
    "haze.toml",
    "--model",
    "model",
    "--new-splits",
    "2",
    "--epochs",
    "12",
    "--set",
    "lr=1e-3",
    "--wide",
];

/// Trials of the study, and its one test of a model that is not trained.
const UNITS: u64 = 9;

const TRAIN: [&str; 11] =
    ["train", "--dataset", "haze.toml", "--model", "model", "--epochs", "12", "--lr", "1e-3", "--only-splits", "1,2"];

/// Writes a data set that an epoch of which takes a while.
fn write_dataset(dir: &TestDir) {
    dir.haze_with_scenes(10, &["dcp", "aod"]);
    let definition = std::fs::read_to_string(dir.path("haze.toml")).unwrap();
    dir.file("haze.toml", (definition + "range = [0, 100]\n").as_bytes());
}

fn run_alone(cluster: &Cluster, arguments: &[&str]) -> CommandOutput {
    let mut command = cluster.dir.command(arguments);
    CommandOutput::new(&command.env("DQA_STORE", "alone").output().unwrap()).exits_with(0)
}

/// Returns the rows of a study's table without the time that they took.
fn rows(output: &CommandOutput) -> Vec<Value> {
    let mut rows = output.json_lines();
    rows.iter_mut().for_each(|row| row["seconds"] = Value::Null);
    rows
}

fn wait_until_done(cluster: &Cluster, run: &str, count: u64) {
    cluster.wait_for_run(run, |run| run["shards_done"].as_u64() >= Some(count) || run["state"] == "complete");
}

/// Returns how often each epoch of each trial was made, by the workers' logs.
fn epochs_made(cluster: &Cluster) -> BTreeMap<(String, String), u32> {
    let mut made = BTreeMap::new();
    for line in cluster.logs().lines().filter(|line| line.contains("epoch done")) {
        let field = |name: &str| {
            let text = &line[line.find(&format!(" {name}=")).unwrap() + name.len() + 2..];
            text.split_whitespace().next().unwrap().trim_matches('"').to_owned()
        };
        *made.entry((field("trial"), field("epoch"))).or_default() += 1;
    }
    made
}

/// Checks that two folders of trials have the same prompts, byte for byte.
fn assert_same_prompts(one: &Path, other: &Path) {
    let mut compared = 0;
    for trial in std::fs::read_dir(one).unwrap().map(|entry| entry.unwrap().file_name()) {
        let file = |folder: &Path| std::fs::read(folder.join(&trial).join("prompts.safetensors")).ok();
        assert_eq!(file(one), file(other), "{trial:?}");
        compared += u32::from(file(one).is_some());
    }
    assert!(compared > 0);
}

#[test]
fn a_study_whose_machines_die_has_the_table_of_one_process() {
    let mut cluster = Cluster::with_s3(PROGRAMS);
    write_dataset(&cluster.dir);
    cluster.start_coordinator();
    let workers: Vec<usize> = (0..3).map(|_| cluster.start_worker(&[])).collect();
    cluster.wait_for_workers(3);
    cluster.run(&[&STUDY[..], &["--detach"]].concat()).exits_with(0);
    let name = "ablation-haze";
    wait_until_done(&cluster, name, 1);
    cluster.kill_worker(workers[0]);
    cluster.start_worker(&[]);
    wait_until_done(&cluster, name, 3);
    cluster.kill_coordinator();
    cluster.start_coordinator();
    wait_until_done(&cluster, name, 5);
    cluster.signal(workers[1], "TERM");
    assert_eq!(cluster.wait_for_exit(workers[1]), 0, "{}", cluster.logs());
    cluster.kill_worker(workers[2]);
    cluster.start_worker(&[]);
    let so_far = cluster.run(&[&STUDY[..], &["--so-far"]].concat());
    assert!(so_far.code == 0 && so_far.stdout.contains("Tested on haze, 2 splits"), "{}", so_far.stdout);

    let together = cluster.run(&[&STUDY[..], &["--format", "json"]].concat()).exits_with(0);
    // As many threads as a worker here: sums over a model's own weights depend on it.
    let alone = run_alone(&cluster, &[&STUDY[..], &["--threads", "1", "--format", "json"]].concat());
    assert_eq!(rows(&together), rows(&alone), "{}", cluster.logs());
    assert_same_prompts(&cluster.dir.path("alone/trials"), &cluster.dir.path("s3/results/store/trials"));
    let repeated: u32 = epochs_made(&cluster).values().map(|count| count - 1).sum();
    assert!(repeated <= 2, "a killed worker costs an epoch that was not over: {:?}", epochs_made(&cluster));
    let status = cluster.run_status(name).unwrap();
    assert_eq!((&status["state"], &status["shards_done"]), (&"complete".into(), &UNITS.into()), "{status}");
}

#[test]
fn a_training_goes_on_without_its_user_who_finds_it_again() {
    let mut cluster = Cluster::local(PROGRAMS);
    write_dataset(&cluster.dir);
    cluster.start_coordinator();
    cluster.wait_for_workers(0);
    let mut user = cluster.command(&TRAIN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = poll_until(
        TIMEOUT,
        || cluster.logs(),
        || {
            let runs = cluster.run(&["runs", "--format", "json"]).json_lines();
            runs.into_iter().find(|run| run["state"] == "running")
        },
    );
    user.kill().unwrap();
    user.wait().unwrap();
    assert_eq!((&run["trains"], &run["shards"]), (&true.into(), &2.into()), "{run}");
    cluster.start_worker(&[]);
    cluster.wait_for_run(run["run"].as_str().unwrap(), |run| run["state"] == "complete");

    let again = cluster.run(&[&TRAIN[..], &["--out", "out", "--format", "json"]].concat()).exits_with(0);
    let alone = run_alone(&cluster, &[&TRAIN[..], &["--out", "alone-out", "--format", "json"]].concat());
    assert_eq!(again.stdout, alone.stdout);
    let prompts = |folder: &str| std::fs::read(cluster.dir.path(folder).join("prompts.safetensors")).unwrap();
    for split in ["split-1", "split-2"] {
        assert_eq!(prompts(&format!("out/{split}")), prompts(&format!("alone-out/{split}")));
    }
    // What trains has no scores: it is no run of a leaderboard.
    let leaderboard = cluster.run_on_store(&["leaderboard", "--store", "store"]);
    assert!(leaderboard.stderr.contains("there are no runs in"), "{}", leaderboard.stderr);
}

#[test]
fn a_training_that_cannot_be_done_takes_no_other_with_it() {
    let mut cluster = Cluster::local(PROGRAMS);
    write_dataset(&cluster.dir);
    let study = "title = \"Too fast?\"\nsplits = 1\n[base]\nepochs = 1\n[[variant]]\nname = \"slow\"\nset.lr = 1e-3\n\
                 [[variant]]\nname = \"fast\"\nset.lr = 1e30\nviews = \"grid=2\"\n";
    cluster.dir.file("speed.toml", study.as_bytes());
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let arguments = ["study", "speed.toml", "--datasets", "haze.toml", "--model", "model"];
    let failed = cluster.run(&arguments).exits_with(2);
    assert!(failed.stderr.contains("2 trainings of 3 cannot be done: haze-1-"), "{}", failed.stderr);
    assert!(failed.stderr.contains("diverged"), "{}", failed.stderr);
    let so_far = cluster.run(&[&arguments[..], &["--so-far", "--format", "json"]].concat()).exits_with(0).json_lines();
    assert!(so_far[0]["srcc"].is_f64() && so_far[1]["srcc"].is_null(), "{so_far:?}");

    cluster.dir.haze(&["dcp"]);
    let submit = cluster.submit("haze.toml", &["--name", "speed-haze"]);
    let taken = cluster.run(&submit).exits_with(2);
    assert!(taken.stderr.contains("`speed-haze`"), "{}", taken.stderr);
    let skipping = cluster.run(&[&arguments[..], &["--skip-unreadable"]].concat()).exits_with(2);
    assert!(skipping.stderr.contains("cannot be combined with --coordinator"), "{}", skipping.stderr);
    wait_until(TIMEOUT, || cluster.logs(), || cluster.run(&["runs"]).stdout.contains("speed-haze"));
}
