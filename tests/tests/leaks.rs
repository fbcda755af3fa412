//! What a model was trained on, as a user meets it: recorded in what was trained, shown, warned of when it is scored, and
//! kept apart in reports.

#![allow(clippy::unwrap_used)] // helpers too

use dqa_tests::cluster::{Cluster, Programs};
use dqa_tests::{Said, TestDir};
use serde_json::Value;

const PROGRAMS: Programs = Programs { coordinator: env!("CARGO_BIN_EXE_coord"), worker: env!("CARGO_BIN_EXE_worker") };

/// `haze` of six scenes, with labels that have a range.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    haze(&place, "haze");
    place
}

/// A data set in `folder` with the definition `FOLDER.toml`.
fn haze(place: &TestDir, folder: &str) {
    let mut labels = "image,mos\n".to_owned();
    for (algorithm, name) in ["dcp", "aod"].iter().enumerate() {
        for scene in 0..SCENES {
            let picture = dqa_testkit::Picture::synthetic((scene * 2 + algorithm) as u64, 240, 250);
            place.file(&format!("{folder}/{name}/s{scene}.png"), &picture.png());
            labels += &format!("{name}/s{scene}.png,{}\n", 20 + 30 * algorithm + scene * scene % 7);
        }
    }
    place.file(&format!("{folder}/labels.csv"), labels.as_bytes());
    let definition = format!(
        "name = \"haze\"\nroot = \"{folder}\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\n\
         [labels]\nfile = \"labels.csv\"\nrange = [0, 100]\n"
    );
    place.file(&format!("{folder}.toml"), definition.as_bytes());
}

const SCENES: usize = 12;

fn train(place: &TestDir, more: &[&str]) -> Said {
    let usual = [
        "train",
        "--dataset",
        "haze.toml",
        "--model",
        "model",
        "--split",
        "1",
        "--epochs",
        "1",
        "--lr",
        "1e-3",
        "--batch-size",
        "8",
    ];
    place.run(&[&usual[..], more].concat()).ends_with(0)
}

fn submit(place: &TestDir, dataset: &str, prompts: &str, more: &[&str]) -> Said {
    let usual = ["submit", "--datasets", dataset, "--model", "model", "--prompts", prompts];
    place.run(&[&usual[..], more].concat()).ends_with(0)
}

fn record(place: &TestDir, run: &str) -> Value {
    serde_json::from_slice(&std::fs::read(place.path(&format!("store/runs/{run}/run.json"))).unwrap()).unwrap()
}

/// Pictures and scenes of a line of the agreement with labels.
fn counts_of(said: &Said, name: &str) -> Vec<String> {
    let line = said.out.lines().find_map(|line| line.trim_start().strip_prefix(name));
    line.unwrap_or_default().split_whitespace().take(2).map(str::to_owned).collect()
}

fn scenes(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

#[test]
fn scenes_that_trained_are_warned_of_and_reported_apart() {
    let place = place();
    train(&place, &["--test-share", "0.5", "--out", "out"]);
    let show = ["model", "show", "model", "--prompts", "out/prompts.safetensors"];
    let shown = place.run(&show).ends_with(0);
    assert!(shown.out.contains("trained on    not recorded\n"), "the weights: {}", shown.out);
    assert!(shown.out.contains("trained on    haze: 6 scenes; split 1 of splits "), "{}", shown.out);
    let shown: Value = serde_json::from_str(&place.run(&[&show[..], &["--format", "json"]].concat()).out).unwrap();
    assert_eq!(shown["trained_on"], Value::Null);
    assert_eq!(scenes(&shown["prompts"]["trained_on"]["datasets"][0]["train"]), 6);
    let trial = std::fs::read(place.path("out/trial.json")).unwrap();
    let trial: Value = serde_json::from_slice(&trial).unwrap();
    assert_eq!(trial["trained_on"], shown["prompts"]["trained_on"]);

    let said = submit(&place, "haze.toml", "out/prompts.safetensors", &["--name", "own"]);
    let leak =
        "the model or its prompts saw 6 of 12 scenes of data set haze in training: judge it by the 6 held-out scenes";
    assert!(said.err.contains(&format!("warning: {leak}")), "{}", said.err);
    assert!(said.out.contains(&format!("NOTE: {leak}")), "{}", said.out);
    assert_eq!(counts_of(&said, "held out of training"), ["12", "6"], "{}", said.out);
    assert_eq!(counts_of(&said, "seen in training"), ["12", "6"], "{}", said.out);
    let seen = &record(&place, "own")["spec"]["datasets"][0]["seen_in_training"];
    assert_eq!((scenes(&seen["train"]), &seen["scenes"], &seen["matched_by"]), (6, &12.into(), &"source".into()));
    let rows = place.query(
        "SELECT group_kind, n, scenes, srcc FROM correlations WHERE group_kind IN ('all', 'held_out', 'seen') ORDER BY 1",
    );
    let counts: Vec<(&str, i64)> =
        rows.iter().map(|row| (row["group_kind"].as_str().unwrap(), row["n"].as_i64().unwrap())).collect();
    assert_eq!(counts, [("all", 24), ("held_out", 12), ("seen", 12)]);
    let board = place.run(&["leaderboard"]).ends_with(0);
    assert!(board.out.contains(&format!("NOTE: {leak}")), "{}", board.out);
    let again = submit(&place, "haze.toml", "out/prompts.safetensors", &["--name", "own"]);
    assert!(again.err.contains("nothing to score") && again.err.contains(leak), "{}", again.err);

    // The same content in another place, and another definition of the same place.
    haze(&place, "moved");
    let moved = submit(&place, "moved.toml", "out/prompts.safetensors", &["--name", "moved", "--store", "elsewhere"]);
    assert!(
        moved.err.contains("saw 6 of 12 scenes") && moved.err.contains("the same name in another place"),
        "{}",
        moved.err
    );
    place.file("other.toml", b"name = \"other\"\nroot = \"haze\"\nlayout = \"{algorithm}/{scene}.png\"\n");
    let other = submit(&place, "other.toml", "out/prompts.safetensors", &["--name", "other"]);
    assert!(other.err.contains("of data set other in training, where it was called haze"), "{}", other.err);
}

#[test]
fn what_is_learned_on_remembers_and_what_others_made_is_no_leak() {
    let place = place();
    // All scenes train; validation picks the epoch.
    train(
        &place,
        &["--test-share", "0", "--select", "best-on-validation", "--validation-share", "0.25", "--out", "all"],
    );
    let said = submit(&place, "haze.toml", "all/prompts.safetensors", &["--name", "all"]);
    assert!(
        said.err.contains("saw 12 of 12 scenes of data set haze in training (3 of them only chose the epoch)"),
        "{}",
        said.err
    );
    assert!(said.err.contains("no scene is held out"), "{}", said.err);
    assert!(!said.out.contains("held out of training") && said.out.contains("seen in training"), "{}", said.out);
    // A second training begins with the prompts of the first.
    let more = ["--prompts", "all/prompts.safetensors", "--tune", "text", "--test-share", "0.5", "--out", "more"];
    train(&place, &more);
    let said = submit(&place, "haze.toml", "more/prompts.safetensors", &["--name", "more"]);
    assert!(said.err.contains("saw 12 of 12 scenes"), "what it began with has seen them: {}", said.err);
    // Handcrafted prompts and weights of others say nothing, and nothing is said of them.
    let said = place.run(&["submit", "--datasets", "haze.toml", "--model", "model", "--handcrafted", "--name", "none"]);
    assert!(!said.ends_with(0).err.contains("warning"));
    assert_eq!(record(&place, "none")["spec"]["datasets"][0]["seen_in_training"], Value::Null);
}

#[test]
fn a_coordinator_reads_what_was_seen_from_the_models_files() {
    let mut cluster = Cluster::local(PROGRAMS);
    haze(&cluster.place, "haze");
    train(&cluster.place, &["--test-share", "0.5", "--out", "out"]);
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
    let said = cluster.user(&submit).ends_with(0);
    let leak =
        "the model or its prompts saw 6 of 12 scenes of data set haze in training: judge it by the 6 held-out scenes";
    assert!(said.err.contains(&format!("warning: {leak}")), "{}", said.err);
    assert!(said.out.contains(&format!("NOTE: {leak}")) && said.out.contains("held out of training"), "{}", said.out);
    let rows = cluster.query("SELECT n FROM correlations WHERE group_kind = 'held_out'");
    assert_eq!(rows[0]["n"], 12);
}

#[test]
fn the_small_model_says_what_it_learned_from() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let shown = place.run(&["model", "show", "dqa:small", "--prompts", "dqa:small"]).ends_with(0);
    assert_eq!(shown.out.matches("demo-train: 1,800 scenes; split 1 of splits ").count(), 2, "{}", shown.out);
    assert!(shown.out.contains("dqa-coord demo make demo-train --name demo-train --scenes 2000 --seed 2026"));
    let make = |name: &str| {
        place.run(&["demo", "make", name, "--name", name, "--scenes", "2", "--seed", "2026"]).ends_with(0);
        let dataset = format!("{name}/{name}.toml");
        let small =
            ["submit", "--datasets", &dataset, "--model", "dqa:small", "--prompts", "dqa:small", "--name", name];
        place.run(&small).ends_with(0)
    };
    let said = make("demo-train");
    assert!(
        said.err.contains("saw 2 of 2 scenes of data set demo-train in training; it is the same name in another place")
    );
    assert!(!make("demo").err.contains("warning"));
}
