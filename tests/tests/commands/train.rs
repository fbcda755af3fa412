//! `dqa-coord train`: dry runs, results, resuming after a kill, and the errors of invalid trainings.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use dqa_tests::{CommandOutput, TestDir, wide_lines};
use insta::assert_snapshot;

/// `haze` with labels that have a range.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze_for_training();
    dir
}

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["train", "--dataset", "haze.toml", "--model", "model", "--test-share", "0.34", "--lr", "1e-3"];
    [&usual, more].concat()
}

fn train(dir: &TestDir, more: &[&str]) -> CommandOutput {
    dir.run(&arguments(more))
}

/// What was said, without digests of what is elsewhere each time.
fn mask_digests(output: &CommandOutput) -> String {
    let text = format!("exit {}\n--- stdout\n{}--- stderr\n{}", output.code, output.stdout, output.stderr);
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
    let dir = setup();
    let output = train(&dir, &["--dry-run", "--select", "best-on-test", "--only-splits", "1,3"]).exits_with(0);
    assert_snapshot!(mask_digests(&output));
    assert_eq!(std::fs::read_dir(dir.path("store")).unwrap().count(), 0);
}

#[test]
fn a_training_ends_in_prompts_that_score() {
    let dir = setup();
    let output =
        train(&dir, &["--epochs", "2", "--only-splits", "1,2", "--out", "out", "--format", "json"]).exits_with(0);
    let rows: Vec<serde_json::Value> = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row["row"].as_str().unwrap()).collect();
    assert_eq!(names, ["1", "2", "mean", "deviation", "interval_low", "interval_high"]);
    assert_eq!((&rows[0]["select"], &rows[0]["epoch"], &rows[0]["pictures"]), (&"last".into(), &2.into(), &2.into()));
    assert_eq!(output.stderr.matches("epoch 2/2: loss").count(), 2, "{}", output.stderr);
    let submit =
        ["submit", "--datasets", "haze.toml", "--model", "model", "--prompts", "out/split-2/prompts.safetensors"];
    dir.run(&submit).exits_with(0);
    let prompts =
        ["--prompts", "out/split-2/prompts.safetensors", "--tune", "visual", "--epochs", "1", "--only-splits", "3"];
    let on = train(&dir, &prompts).exits_with(0);
    assert_eq!(wide_lines(&on.stdout), Vec::<&str>::new());
    assert!(on.stderr.contains("numbers of model with out/split-2/prompts.safetensors"), "{}", on.stderr);
    let again =
        train(&dir, &["--epochs", "2", "--only-splits", "1,2", "--out", "other", "--format", "json"]).exits_with(0);
    assert_eq!(again.stdout, output.stdout);
    assert_eq!(again.stderr.matches("it was trained before").count(), 2, "{}", again.stderr);
    assert!(dir.path("other/split-1/prompts.safetensors").exists());
    let splits = std::fs::read_dir(dir.path("store/splits")).unwrap().next().unwrap().unwrap().path();
    let kept =
        ["train", "--dataset", "haze.toml", "--model", "model", "--lr", "1e-3", "--epochs", "2", "--only-splits", "2"];
    let again = dir.run(&[&kept[..], &["--splits-file", splits.to_str().unwrap()]].concat()).exits_with(0);
    assert!(
        again.stderr.contains("it was trained before"),
        "the splits that were made are used again: {}",
        again.stderr
    );
    let table = train(&dir, &["--epochs", "2", "--only-splits", "2", "--select", "best-on-test"]).exits_with(0);
    assert!(table.stdout.contains("optimistic"), "{}", table.stdout);
}

#[test]
fn a_new_model_learns_and_is_a_model() {
    let dir = setup();
    std::fs::copy(dir.path("model/config.json"), dir.path("tiny.json")).unwrap();
    let new = ["--model", "new:tiny.json", "--tune", "all", "--no-prompts", "--epochs", "1", "--only-splits", "1"];
    let more = [&["train", "--dataset", "haze.toml", "--test-share", "0.34", "--out", "mine"][..], &new].concat();
    dir.run(&more).exits_with(0);
    dir.run(&["submit", "--datasets", "haze.toml", "--model", "mine", "--handcrafted"]).exits_with(0);
    assert!(!dir.path("mine/prompts.safetensors").exists());
    let prompts = ["--model", "mine", "--epochs", "1", "--only-splits", "1", "--tune", "text"];
    dir.run(&[&["train", "--dataset", "haze.toml", "--test-share", "0.34"][..], &prompts].concat()).exits_with(0);
}

#[test]
fn a_killed_training_resumes_to_the_same_prompts() {
    let dir = setup();
    let setup = ["--epochs", "30", "--batch-size", "2", "--only-splits", "1", "--test-every", "30"];
    let mut child = dir.command(&arguments(&setup)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("epoch 3/30")));
    child.kill().unwrap();
    assert!(child.wait().unwrap().signal().is_some(), "it was killed while it trained");
    let on = train(&dir, &[&setup[..], &["--out", "on"]].concat()).exits_with(0);
    assert!(on.stderr.contains("goes on after epoch"), "{}", on.stderr);
    train(&dir, &[&setup[..], &["--out", "whole", "--store", "other"]].concat()).exits_with(0);
    let prompts = |folder: &str| std::fs::read(dir.path(folder).join("prompts.safetensors")).unwrap();
    assert!(prompts("on") == prompts("whole"));
}

#[test]
fn invalid_trainings_are_refused_with_a_hint() {
    let dir = setup();
    let labels = std::fs::read_to_string(dir.path("haze/labels.csv")).unwrap();
    dir.file("haze/labels.csv", labels.replace("dcp/s1.png", "dcp/s9.png").as_bytes());
    let output = train(&dir, &["--epochs", "1", "--only-splits", "1"]).exits_with(2);
    assert!(output.stderr.contains("dcp/s1.png") && output.stderr.contains("--skip-unreadable"), "{}", output.stderr);
    dir.file("haze/aod/s0.png", b"no picture");
    let skipped = train(&dir, &["--epochs", "1", "--only-splits", "1", "--skip-unreadable"]).exits_with(0);
    assert!(
        skipped.stderr.contains("aod/s0.png") && skipped.stdout.contains("2 pictures were left out"),
        "{}",
        skipped.stderr
    );
    dir.file("haze/labels.csv", labels.as_bytes());
    let output = train(&dir, &["--epochs", "1"]).exits_with(2);
    assert!(output.stderr.contains("1 of 6 pictures") && output.stderr.contains("aod/s0.png"), "{}", output.stderr);

    for (more, why) in [
        (&["--only-splits", "11"][..], "1 to 10"),
        (&["--epochs", "0"], "epochs"),
        (&["--without", "dpcc"], "similar names: dcp"),
        (&["--tune", "promts"], "[possible values: text, visual, prompts, vision, all]"),
        (&["--words", "bad."], "two values"),
    ] {
        let output = train(&dir, more).exits_with(2);
        assert!(output.stderr.contains(why), "{more:?}: {}", output.stderr);
    }
    dir.file("both.json", br#"{"dataset": "haze", "splits": [{"train": ["s0", "s1"], "test": ["s1"]}]}"#);
    let both = ["train", "--dataset", "haze.toml", "--model", "model", "--splits-file", "both.json"];
    let output = dir.run(&both).exits_with(2);
    assert!(output.stderr.contains("has the scene `s1` twice"), "{}", output.stderr);
}
