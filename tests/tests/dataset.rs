//! `dqa-coord dataset` as a user meets it: exit code, standard output and standard error of each way to call it.

#![allow(clippy::unwrap_used)] // helpers too

use std::path::Path;

use dqa_testkit::Picture;
use dqa_tests::{Said, TestDir};
use insta::assert_snapshot;

/// `haze` with everything that can be wrong.
fn spoilt() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["aod", "dcp"]);
    std::fs::remove_file(place.path("haze/aod/s1.png")).unwrap();
    place.file("haze/dcp/s2.png", b"no picture");
    place.file("haze/dcp/deep/s2.png", b"of no layout");
    place.file("haze/hazy/s0.png", &Picture::synthetic(1, 300, 288).png());
    place.file("haze/hazy/s2.png", &Picture::synthetic(1, 352, 288).png());
    let text = std::fs::read_to_string(place.path("haze.toml")).unwrap();
    place.file("haze.toml", (text + "[hazy]\nlayout = \"hazy/{scene}.png\"\n").as_bytes());
    place
}

/// All that a command says, without where its folder is.
fn said(place: &TestDir, arguments: &[&str]) -> String {
    let said = place.run(arguments);
    let root = place.path("").canonicalize().unwrap().display().to_string();
    let text = format!("exit {}\n--- stdout\n{}--- stderr\n{}", said.code, said.out, said.err);
    text.replace(&root, "DIR")
}

#[test]
fn a_whole_data_set_is_checked() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["aod", "dcp"]);
    assert_snapshot!(said(&place, &["dataset", "check", "haze.toml"]));
}

#[test]
fn every_problem_is_shown_to_people_and_machines() {
    let place = spoilt();
    assert_snapshot!("table", said(&place, &["dataset", "check", "haze.toml"]));
    assert_snapshot!("csv", said(&place, &["dataset", "check", "haze.toml", "--format", "csv"]));
    let json = place.run(&["dataset", "check", "haze.toml", "--format", "json"]).ends_with(1).out;
    let check: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(check["counts"]["missing"], 1);
    assert_eq!(check["counts"]["unreadable"], 1);
    assert_eq!(check["counts"]["unlike_input"], 2);
    assert_eq!(check["faults"][0]["kind"], "unmatched");
    let fewer = place.run(&["dataset", "check", "haze.toml", "--algos", "dcp", "--no-headers", "--format", "json"]);
    let check: serde_json::Value = serde_json::from_str(&fewer.ends_with(1).out).unwrap();
    assert_eq!(check["counts"]["missing"].as_u64().unwrap() + check["counts"]["unreadable"].as_u64().unwrap(), 0);
}

#[test]
fn definitions_are_listed_and_shown() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["aod", "dcp"]);
    let text =
        std::fs::read_to_string(place.path("haze.toml")).unwrap().replace("\"haze\"\nlayout", "\"../../haze\"\nlayout");
    place.file("configs/datasets/haze.toml", text.as_bytes());
    place.file("configs/datasets/bad.toml", b"name = \"bad\"\n");
    assert_snapshot!("list", said(&place, &["dataset", "list"]));
    assert_snapshot!("show", said(&place, &["dataset", "show", "haze"]));
    assert_snapshot!("unknown", said(&place, &["dataset", "check", "hase"]));
    assert_snapshot!("no_name", said(&place, &["dataset", "check"]));
}

#[test]
fn the_ready_definitions_are_read() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let ready = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/datasets");
    for file in ready.read_dir().unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        place.file(&format!("configs/datasets/{name}"), &std::fs::read(file.path()).unwrap());
    }
    assert_snapshot!(said(&place, &["dataset", "list"]));
    assert_snapshot!("not_there", said(&place, &["dataset", "check", "dhq"]));
}

#[test]
fn a_demo_data_set_is_whole() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let make = ["demo", "make", "made", "--scenes", "2", "--width", "224", "--height", "224", "--name", "little"];
    let made = place.run(&make).ends_with(0);
    assert_eq!(
        (made.out.as_str(), made.err.lines().last()),
        ("made/little.toml\n", Some("2 scenes, 12 algorithms, 28 pictures; 32 files written"))
    );
    assert!(place.run(&make).ends_with(0).err.ends_with("28 pictures; 0 files written\n"));
    let check = place.run(&["dataset", "check", "made/little.toml", "--format", "json"]).ends_with(0).out;
    let check: serde_json::Value = serde_json::from_str(&check).unwrap();
    assert_eq!(check["counts"]["present"], 24);
    assert_eq!(check["counts"]["unlabelled"], 0);
    let fewer = ["demo", "make", "made", "--scenes", "1", "--width", "224", "--height", "224"];
    assert!(place.run(&fewer).ends_with(2).err.contains("s00001.png is not a picture of these 1 scenes"));
}

#[test]
fn an_old_name_of_a_variable_works_and_warns_once() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let make = ["demo", "make", "made", "--scenes", "1", "--width", "224", "--height", "224"];
    let run = |more: &[&str], variables: &[(&str, &str)]| {
        let mut command = place.command(&[&make[..], more].concat());
        command.envs(variables.iter().copied());
        Said::of(&command.output().unwrap()).ends_with(0)
    };
    let old = run(&[], &[("DQA_NAME", "little")]);
    assert_eq!(old.out, "made/little.toml\n");
    let warning = "warning: the environment variable DQA_NAME is now DQA_DATASET_NAME for --name of demo";
    assert_eq!(old.err.matches(warning).count(), 1, "{}", old.err);
    let new = run(&[], &[("DQA_NAME", "little"), ("DQA_DATASET_NAME", "other")]);
    assert_eq!(new.out, "made/other.toml\n");
    assert!(!new.err.contains("warning"), "{}", new.err);
    let flag = run(&["--name", "third"], &[("DQA_NAME", "little")]);
    assert_eq!(flag.out, "made/third.toml\n");
    assert!(!flag.err.contains("warning"), "{}", flag.err);
}
