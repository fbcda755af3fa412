//! `dqa-coord train` as a user meets it: planned, shown, killed, gone on, wrong.

#![allow(clippy::unwrap_used)] // helpers too

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use dqa_tests::{Said, TestDir};
use insta::assert_snapshot;

/// `haze` with labels that have a range.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp", "aod"]);
    let text = std::fs::read_to_string(place.path("haze.toml")).unwrap();
    place.file("haze.toml", (text + "range = [0, 100]\n").as_bytes());
    place
}

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["train", "--dataset", "haze.toml", "--model", "model", "--test-share", "0.34", "--lr", "1e-3"];
    [&usual, more].concat()
}

fn train(place: &TestDir, more: &[&str]) -> Said {
    place.run(&arguments(more))
}

/// What was said, without digests of what is elsewhere each time.
fn plain(said: &Said) -> String {
    let text = format!("exit {}\n--- stdout\n{}--- stderr\n{}", said.code, said.out, said.err);
    let hex = |word: &str| word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit());
    let line = |line: &str| {
        let words = line.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        let plain = words.map(|word| {
            let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
            if hex(&word[..end]) { format!("DIGEST{}", &word[end..]) } else { word.to_owned() }
        });
        plain.collect::<String>()
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

#[test]
fn a_plan_is_shown_and_nothing_is_trained() {
    let place = place();
    let said = train(&place, &["--dry-run", "--select", "best-on-test", "--split", "1,3"]).ends_with(0);
    assert_snapshot!(plain(&said));
    assert_eq!(std::fs::read_dir(place.path("store")).unwrap().count(), 0);
}

#[test]
fn a_training_ends_in_prompts_that_score() {
    let place = place();
    let said = train(&place, &["--epochs", "2", "--split", "1,2", "--out", "out", "--format", "json"]).ends_with(0);
    let rows: Vec<serde_json::Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(names, ["1", "2", "mean", "deviation", "interval_low", "interval_high"]);
    assert_eq!((&rows[0]["select"], &rows[0]["epoch"], &rows[0]["pictures"]), (&"last".into(), &2.into(), &2.into()));
    assert_eq!(said.err.matches("epoch 2/2  loss").count(), 2, "{}", said.err);
    let submit =
        ["submit", "--datasets", "haze.toml", "--model", "model", "--prompts", "out/split-2/prompts.safetensors"];
    place.run(&submit).ends_with(0);
    let prompts = ["--prompts", "out/split-2/prompts.safetensors", "--tune", "visual", "--epochs", "1", "--split", "3"];
    let on = train(&place, &prompts).ends_with(0);
    assert!(on.err.contains("numbers of model with out/split-2/prompts.safetensors"), "{}", on.err);
    let again = train(&place, &["--epochs", "2", "--split", "1,2", "--out", "other", "--format", "json"]).ends_with(0);
    assert_eq!(again.out, said.out);
    assert_eq!(again.err.matches("it was trained before").count(), 2, "{}", again.err);
    assert!(place.path("other/split-1/prompts.safetensors").exists());
    let splits = std::fs::read_dir(place.path("store/splits")).unwrap().next().unwrap().unwrap().path();
    let kept = ["train", "--dataset", "haze.toml", "--model", "model", "--lr", "1e-3", "--epochs", "2", "--split", "2"];
    let again = place.run(&[&kept[..], &["--splits", splits.to_str().unwrap()]].concat()).ends_with(0);
    assert!(again.err.contains("it was trained before"), "the splits that were made are used again: {}", again.err);
    let table = train(&place, &["--epochs", "2", "--split", "2", "--select", "best-on-test"]).ends_with(0);
    assert!(table.out.contains("optimistic"), "{}", table.out);
}

#[test]
fn a_new_model_learns_and_is_a_model() {
    let place = place();
    std::fs::copy(place.path("model/config.json"), place.path("tiny.json")).unwrap();
    let new = ["--model", "new:tiny.json", "--tune", "all", "--no-prompts", "--epochs", "1", "--split", "1"];
    let more = [&["train", "--dataset", "haze.toml", "--test-share", "0.34", "--out", "mine"][..], &new].concat();
    place.run(&more).ends_with(0);
    place.run(&["submit", "--datasets", "haze.toml", "--model", "mine", "--handcrafted"]).ends_with(0);
    assert!(!place.path("mine/prompts.safetensors").exists());
    let prompts = ["--model", "mine", "--epochs", "1", "--split", "1", "--tune", "text"];
    place.run(&[&["train", "--dataset", "haze.toml", "--test-share", "0.34"][..], &prompts].concat()).ends_with(0);
}

#[test]
fn a_training_that_is_killed_goes_on_to_the_same_prompts() {
    let place = place();
    let setup = ["--epochs", "30", "--batch-size", "2", "--split", "1", "--test-every", "30"];
    let mut child = place.command(&arguments(&setup)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("epoch 3/30")));
    child.kill().unwrap();
    assert!(child.wait().unwrap().signal().is_some(), "it was killed while it trained");
    let on = train(&place, &[&setup[..], &["--out", "on"]].concat()).ends_with(0);
    assert!(on.err.contains("goes on after epoch"), "{}", on.err);
    train(&place, &[&setup[..], &["--out", "whole", "--store", "other"]].concat()).ends_with(0);
    let prompts = |folder: &str| std::fs::read(place.path(folder).join("prompts.safetensors")).unwrap();
    assert!(prompts("on") == prompts("whole"));
}

#[test]
fn what_cannot_be_trained_says_why_and_what_to_do() {
    let place = place();
    let labels = std::fs::read_to_string(place.path("haze/labels.csv")).unwrap();
    place.file("haze/labels.csv", labels.replace("dcp/s1.png", "dcp/s9.png").as_bytes());
    let said = train(&place, &["--epochs", "1", "--split", "1"]).ends_with(2);
    assert!(said.err.contains("dcp/s1.png") && said.err.contains("--skip-unreadable"), "{}", said.err);
    place.file("haze/aod/s0.png", b"no picture");
    let skipped = train(&place, &["--epochs", "1", "--split", "1", "--skip-unreadable"]).ends_with(0);
    assert!(skipped.err.contains("aod/s0.png") && skipped.out.contains("2 pictures were left out"), "{}", skipped.err);
    place.file("haze/labels.csv", labels.as_bytes());
    let said = train(&place, &["--epochs", "1"]).ends_with(2);
    assert!(said.err.contains("1 of 6 pictures") && said.err.contains("aod/s0.png"), "{}", said.err);

    for (more, why) in [
        (&["--split", "11"][..], "1 to 10"),
        (&["--epochs", "0"], "epochs"),
        (&["--without", "dpcc"], "similar names: dcp"),
        (&["--tune", "promts"], "[possible values: text, visual, prompts, vision, all]"),
        (&["--words", "bad."], "two values"),
    ] {
        let said = train(&place, more).ends_with(2);
        assert!(said.err.contains(why), "{more:?}: {}", said.err);
    }
    place.file("both.json", br#"{"dataset": "haze", "splits": [{"train": ["s0", "s1"], "test": ["s1"]}]}"#);
    let both = ["train", "--dataset", "haze.toml", "--model", "model", "--splits", "both.json"];
    let said = place.run(&both).ends_with(2);
    assert!(said.err.contains("has the scene `s1` twice"), "{}", said.err);
}
