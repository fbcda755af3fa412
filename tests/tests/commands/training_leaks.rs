//! Training data in evaluations: a trained model records its training scenes, commands show them, a run that scores them
//! warns, and reports separate them from held-out scenes.

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{CommandOutput, TestDir, one_line};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// `haze` of six scenes, with labels that have a range.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    haze(&dir, "haze");
    dir
}

/// A data set in `folder` with the definition `FOLDER.toml`.
fn haze(dir: &TestDir, folder: &str) {
    let mut labels = "image,mos\n".to_owned();
    for (algorithm, name) in ["dcp", "aod"].iter().enumerate() {
        for scene in 0..SCENES {
            let picture = dqa_testkit::Picture::synthetic((scene * 2 + algorithm) as u64, 240, 250);
            dir.file(&format!("{folder}/{name}/s{scene}.png"), &picture.png());
            labels += &format!("{name}/s{scene}.png,{}\n", 20 + 30 * algorithm + scene * scene % 7);
        }
    }
    dir.file(&format!("{folder}/labels.csv"), labels.as_bytes());
    let definition = format!(
        "name = \"haze\"\nroot = \"{folder}\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n\
         [labels]\nfile = \"labels.csv\"\nrange = [0, 100]\n"
    );
    dir.file(&format!("{folder}.toml"), definition.as_bytes());
}

const SCENES: usize = 12;

fn train(dir: &TestDir, more: &[&str]) -> CommandOutput {
    let usual = [
        "train",
        "--dataset",
        "haze.toml",
        "--model",
        "model",
        "--only-splits",
        "1",
        "--epochs",
        "1",
        "--lr",
        "1e-3",
        "--batch-size",
        "8",
    ];
    dir.run(&[&usual[..], more].concat()).exits_with(0)
}

fn submit(dir: &TestDir, dataset: &str, prompts: &str, more: &[&str]) -> CommandOutput {
    let usual = ["submit", "--datasets", dataset, "--model", "model", "--prompts", prompts, "--wide"];
    dir.run(&[&usual[..], more].concat()).exits_with(0)
}

fn record(dir: &TestDir, run: &str) -> Value {
    serde_json::from_slice(&std::fs::read(dir.path(&format!("store/runs/{run}/run.json"))).unwrap()).unwrap()
}

/// Pictures and scenes of a line of the agreement with labels.
fn counts_of(output: &CommandOutput, name: &str) -> Vec<String> {
    let line = output.stdout.lines().find_map(|line| line.trim_start().strip_prefix(name));
    line.unwrap_or_default().split_whitespace().take(2).map(str::to_owned).collect()
}

fn scenes(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

#[test]
fn training_scenes_cause_a_warning_and_are_reported_separately() {
    let dir = setup();
    train(&dir, &["--test-share", "0.5", "--out", "out"]);
    let show = ["model", "show", "model", "--prompts", "out/prompts.safetensors"];
    let shown = dir.run(&show).exits_with(0);
    assert!(shown.stdout.contains("trained on    not recorded\n"), "the weights: {}", shown.stdout);
    assert!(shown.stdout.contains("trained on    haze: 6 scenes; split 1 of splits "), "{}", shown.stdout);
    let shown: Value = serde_json::from_str(&dir.run(&[&show[..], &["--format", "json"]].concat()).stdout).unwrap();
    assert_eq!(shown["trained_on"], Value::Null);
    assert_eq!(scenes(&shown["prompts"]["trained_on"]["datasets"][0]["train"]), 6);
    let trial = std::fs::read(dir.path("out/trial.json")).unwrap();
    let trial: Value = serde_json::from_slice(&trial).unwrap();
    assert_eq!(trial["trained_on"], shown["prompts"]["trained_on"]);

    let output = submit(&dir, "haze.toml", "out/prompts.safetensors", &["--name", "own"]);
    let leak =
        "the model or its prompts saw 6 of 12 scenes of data set haze in training: judge it by the 6 held-out scenes";
    assert!(output.stderr.contains(&format!("warning: {leak}")), "{}", output.stderr);
    assert!(one_line(&output.stdout).contains(&format!("NOTE: {leak}")), "{}", output.stdout);
    assert_eq!(counts_of(&output, "held out of training"), ["12", "6"], "{}", output.stdout);
    assert_eq!(counts_of(&output, "seen in training"), ["12", "6"], "{}", output.stdout);
    let seen = &record(&dir, "own")["spec"]["datasets"][0]["seen_in_training"];
    assert_eq!((scenes(&seen["train"]), &seen["scenes"], &seen["matched_by"]), (6, &12.into(), &"source".into()));
    let rows = dir.query(
        "SELECT group_kind, n, scenes, srcc FROM correlations WHERE group_kind IN ('all', 'held_out', 'seen') ORDER BY 1",
    );
    let counts: Vec<(&str, i64)> =
        rows.iter().map(|row| (row["group_kind"].as_str().unwrap(), row["n"].as_i64().unwrap())).collect();
    assert_eq!(counts, [("all", 24), ("held_out", 12), ("seen", 12)]);
    let board = dir.run(&["leaderboard"]).exits_with(0);
    assert!(one_line(&board.stdout).contains(&format!("NOTE: {leak}")), "{}", board.stdout);
    let again = submit(&dir, "haze.toml", "out/prompts.safetensors", &["--name", "own"]);
    assert!(again.stderr.contains("nothing to score") && again.stderr.contains(leak), "{}", again.stderr);

    // The same content in another place, and another definition of the same place.
    haze(&dir, "moved");
    let moved = submit(&dir, "moved.toml", "out/prompts.safetensors", &["--name", "moved", "--store", "elsewhere"]);
    assert!(
        moved.stderr.contains("saw 6 of 12 scenes") && moved.stderr.contains("the same name in another place"),
        "{}",
        moved.stderr
    );
    dir.file("other.toml", b"name = \"other\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n");
    let other = submit(&dir, "other.toml", "out/prompts.safetensors", &["--name", "other"]);
    assert!(other.stderr.contains("of data set other in training, where it was called haze"), "{}", other.stderr);
}

#[test]
fn training_scenes_accumulate_and_unrecorded_models_do_not_warn() {
    let dir = setup();
    // All scenes train; validation picks the epoch.
    train(&dir, &["--test-share", "0", "--select", "best-on-validation", "--validation-share", "0.25", "--out", "all"]);
    let output = submit(&dir, "haze.toml", "all/prompts.safetensors", &["--name", "all"]);
    assert!(
        output.stderr.contains("saw 12 of 12 scenes of data set haze in training (3 of them only chose the epoch)"),
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("no scene is held out"), "{}", output.stderr);
    assert!(
        !output.stdout.contains("held out of training") && output.stdout.contains("seen in training"),
        "{}",
        output.stdout
    );
    // A second training begins with the prompts of the first.
    let more = ["--prompts", "all/prompts.safetensors", "--tune", "text", "--test-share", "0.5", "--out", "more"];
    train(&dir, &more);
    let output = submit(&dir, "haze.toml", "more/prompts.safetensors", &["--name", "more"]);
    assert!(output.stderr.contains("saw 12 of 12 scenes"), "what it began with has seen them: {}", output.stderr);
    // Handcrafted prompts and weights of others say nothing, and nothing is said of them.
    let output = dir.run(&["submit", "--datasets", "haze.toml", "--model", "model", "--handcrafted", "--name", "none"]);
    assert!(!output.exits_with(0).stderr.contains("warning"));
    assert_eq!(record(&dir, "none")["spec"]["datasets"][0]["seen_in_training"], Value::Null);
}

#[test]
fn a_coordinator_reads_training_scenes_from_the_model_files() {
    let mut cluster = Cluster::local(PROGRAMS);
    haze(&cluster.dir, "haze");
    train(&cluster.dir, &["--test-share", "0.5", "--out", "out"]);
    cluster.start_coordinator();
    cluster.start_worker(&[]);
    cluster.wait_for_workers(1);
    let submit = [
        "submit",
        "--datasets",
        "haze.toml",
        "--model",
        "model",
        "--prompts",
        "out/prompts.safetensors",
        "--name",
        "r",
    ];
    let output = cluster.run(&submit).exits_with(0);
    let leak =
        "the model or its prompts saw 6 of 12 scenes of data set haze in training: judge it by the 6 held-out scenes";
    assert!(output.stderr.contains(&format!("warning: {leak}")), "{}", output.stderr);
    assert!(
        one_line(&output.stdout).contains(&format!("NOTE: {leak}")) && output.stdout.contains("held out of training"),
        "{}",
        output.stdout
    );
    let rows = cluster.query("SELECT n FROM correlations WHERE group_kind = 'held_out'");
    assert_eq!(rows[0]["n"], 12);
}

#[test]
fn the_small_model_records_its_training_data() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let shown = dir.run(&["model", "show", "dqa:small", "--prompts", "dqa:small"]).exits_with(0);
    assert_eq!(shown.stdout.matches("demo-train: 1,800 scenes; split 1 of splits ").count(), 2, "{}", shown.stdout);
    assert!(
        one_line(&shown.stdout).contains("dqa-coord demo make demo-train --name demo-train --scenes 2000 --seed 2026")
    );
    let make = |name: &str| {
        dir.run(&["demo", "make", name, "--name", name, "--scenes", "2", "--seed", "2026"]).exits_with(0);
        let dataset = format!("{name}/{name}.toml");
        let small =
            ["submit", "--datasets", &dataset, "--model", "dqa:small", "--prompts", "dqa:small", "--name", name];
        dir.run(&small).exits_with(0)
    };
    let output = make("demo-train");
    assert!(
        output
            .stderr
            .contains("saw 2 of 2 scenes of data set demo-train in training; it is the same name in another place")
    );
    assert!(!make("demo").stderr.contains("warning"));
}
