//! `dqa-coord dataset`: exit code, standard output and standard error of each way to call it.

use std::path::Path;

use dqa_testkit::Picture;
use dqa_tests::{CommandOutput, TestDir};
use insta::assert_snapshot;

/// `haze` with everything that can be wrong.
fn spoilt() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    std::fs::remove_file(dir.path("haze/aod/s1.png")).unwrap();
    dir.file("haze/dcp/s2.png", b"no picture");
    dir.file("haze/dcp/deep/s2.png", b"of no layout");
    dir.file("haze/hazy/s0.png", &Picture::synthetic(1, 300, 288).png());
    dir.file("haze/hazy/s2.png", &Picture::synthetic(1, 352, 288).png());
    let text = std::fs::read_to_string(dir.path("haze.toml")).unwrap();
    dir.file("haze.toml", (text + "[hazy]\nlayout = \"hazy/{scene}.png\"\n").as_bytes());
    dir
}

/// All that a command says, without where its folder is.
fn output(dir: &TestDir, arguments: &[&str]) -> String {
    let output = dir.run(arguments);
    let root = dir.path("").canonicalize().unwrap().display().to_string();
    let text = format!("exit {}\n--- stdout\n{}--- stderr\n{}", output.code, output.stdout, output.stderr);
    text.replace(&root, "DIR")
}

#[test]
fn a_whole_data_set_is_checked() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    assert_snapshot!(output(&dir, &["dataset", "check", "haze.toml"]));
}

#[test]
fn every_problem_is_shown_to_people_and_machines() {
    let dir = spoilt();
    assert_snapshot!("table", output(&dir, &["dataset", "check", "haze.toml"]));
    assert_snapshot!("csv", output(&dir, &["dataset", "check", "haze.toml", "--format", "csv"]));
    let json = dir.run(&["dataset", "check", "haze.toml", "--format", "json"]).exits_with(1).stdout;
    let check: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(check["counts"]["missing"], 1);
    assert_eq!(check["counts"]["unreadable"], 1);
    assert_eq!(check["counts"]["unlike_input"], 2);
    assert_eq!(check["faults"][0]["kind"], "unmatched");
    let fewer = dir.run(&["dataset", "check", "haze.toml", "--algos", "dcp", "--no-headers", "--format", "json"]);
    let check: serde_json::Value = serde_json::from_str(&fewer.exits_with(1).stdout).unwrap();
    assert_eq!(check["counts"]["missing"].as_u64().unwrap() + check["counts"]["unreadable"].as_u64().unwrap(), 0);
}

#[test]
fn definitions_are_listed_and_shown() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["aod", "dcp"]);
    let text =
        std::fs::read_to_string(dir.path("haze.toml")).unwrap().replace("\"haze\"\nlayout", "\"../../haze\"\nlayout");
    dir.file("configs/datasets/haze.toml", text.as_bytes());
    dir.file("configs/datasets/bad.toml", b"name = \"bad\"\n");
    assert_snapshot!("list", output(&dir, &["dataset", "list"]));
    assert_snapshot!("show", output(&dir, &["dataset", "show", "haze"]));
    assert_snapshot!("unknown", output(&dir, &["dataset", "check", "hase"]));
    assert_snapshot!("no_name", output(&dir, &["dataset", "check"]));
}

#[test]
fn the_ready_definitions_are_read() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let ready = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets");
    for file in ready.read_dir().unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        dir.file(&format!("configs/datasets/{name}"), &std::fs::read(file.path()).unwrap());
    }
    assert_snapshot!(output(&dir, &["dataset", "list"]));
    assert_snapshot!("not_there", output(&dir, &["dataset", "check", "dhq"]));
}

#[test]
fn a_demo_data_set_is_whole() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let make = ["demo", "make", "made", "--scenes", "2", "--width", "224", "--height", "224", "--name", "little"];
    let made = dir.run(&make).exits_with(0);
    assert_eq!(made.stdout, "made/little.toml\n");
    let next = "next: `dqa-coord submit --datasets made/little.toml --model dqa:small`\n";
    let written = "2 scenes, 12 algorithms, 28 pictures; 32 files written\n";
    assert!(made.stderr.ends_with(&format!("{written}{next}")), "{}", made.stderr);
    let again = dir.run(&make).exits_with(0).stderr;
    assert!(again.contains("28 pictures; 0 files written\n"), "{again}");
    let check = dir.run(&["dataset", "check", "made/little.toml", "--format", "json"]).exits_with(0).stdout;
    let check: serde_json::Value = serde_json::from_str(&check).unwrap();
    assert_eq!(check["counts"]["present"], 24);
    assert_eq!(check["counts"]["unlabelled"], 0);
    assert_eq!((&check["without_clear"], &check["unlike_clear"]), (&0.into(), &0.into()));
    let shown = dir.run(&["dataset", "show", "made/little.toml"]).exits_with(0).stdout;
    assert!(shown.contains("of 2 scenes, 2 hazy pictures, 2 clear pictures\n"), "{shown}");
    let fewer = ["demo", "make", "made", "--scenes", "1", "--width", "224", "--height", "224"];
    assert!(dir.run(&fewer).exits_with(2).stderr.contains("s00001.png is not a picture of these 1 scenes"));
}

#[test]
fn an_old_name_of_a_variable_works_and_warns_once() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let make = ["demo", "make", "made", "--scenes", "1", "--width", "224", "--height", "224"];
    let run = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = dir.command(&[&make[..], more].concat());
        command.envs(variables.iter().copied());
        CommandOutput::new(&command.output().unwrap()).exits_with(0)
    };
    let old = run(&[], &[("DQA_NAME", "little")]);
    assert_eq!(old.stdout, "made/little.toml\n");
    let warning = "warning: the environment variable DQA_NAME is now DQA_DATASET_NAME for --name of demo";
    assert_eq!(old.stderr.matches(warning).count(), 1, "{}", old.stderr);
    let new = run(&[], &[("DQA_NAME", "little"), ("DQA_DATASET_NAME", "other")]);
    assert_eq!(new.stdout, "made/other.toml\n");
    assert!(!new.stderr.contains("warning"), "{}", new.stderr);
    let flag = run(&["--name", "third"], &[("DQA_NAME", "little")]);
    assert_eq!(flag.stdout, "made/third.toml\n");
    assert!(!flag.stderr.contains("warning"), "{}", flag.stderr);
}
