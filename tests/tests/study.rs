//! `dqa-coord study` as a user meets it: every study from data to table, made once, shared, wrong.

#![allow(clippy::unwrap_used)] // helpers too

use dqa_tests::{Said, TestDir};
use serde_json::Value;

const ALGORITHMS: [&str; 3] = ["dcp", "blur", "oracle"];

/// `one.toml` and `two.toml`: some algorithms of small demo data sets, 10 scenes each.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    for (name, seed) in [("one", "1"), ("two", "2")] {
        let made = ["demo", "make", name, "--scenes", "10", "--width", "288", "--height", "240", "--seed", seed];
        place.run(&made).ends_with(0);
        let others = std::fs::read_dir(place.path(name)).unwrap().map(|entry| entry.unwrap());
        let others = others.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string().unwrap());
        let skip: Vec<String> = others
            .filter(|other| !ALGORITHMS.contains(&other.as_str()))
            .map(|other| format!("\"{other}/{{scene}}.png\""))
            .collect();
        let definition = format!(
            "name = \"{name}\"\nroot = \"{name}\"\nlayout = \"{{algorithm}}/{{scene}}.png\"\nskip = [{}]\n[labels]\n\
             file = \"pseudo-mos.csv\"\nmos = \"pseudo_mos\"\nrange = [0, 100]\n",
            skip.join(", ")
        );
        place.file(&format!("{name}.toml"), definition.as_bytes());
    }
    place
}

fn study(place: &TestDir, name: &str, more: &[&str]) -> Said {
    let quick = ["study", name, "--datasets", "one.toml", "--model", "model", "--split-count", "2", "--epochs", "1"];
    let quick = if more.contains(&"--datasets") { [&quick[..2], &quick[4..]].concat() } else { quick.to_vec() };
    let quick = if more.contains(&"--model") {
        quick.into_iter().filter(|word| !["--model", "model"].contains(word)).collect()
    } else {
        quick
    };
    place.run(&[&quick[..], &["--set", "lr=1e-3"], more].concat())
}

fn rows(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_study_ends_in_its_table_and_makes_nothing_twice() {
    let place = place();
    let ablation = study(&place, "ablation", &[]).ends_with(0);
    assert!(ablation.err.contains("8 trainings, 0 of them there; 1 tests"), "{}", ablation.err);
    for said in ["kept: last epoch", "SRCC less that of the row before", "splits: splits/one-"] {
        assert!(ablation.out.contains(said), "{said} in\n{}", ablation.out);
    }
    let table = rows(&study(&place, "ablation", &["--format", "json"]).ends_with(0));
    let papers: Vec<(&str, Option<f64>)> =
        table.iter().map(|row| (row["variant"].as_str().unwrap(), row["paper"].as_f64())).collect();
    let wanted = [
        ("handcrafted", Some(0.3630)),
        ("+ text prompts", Some(0.8392)),
        ("+ visual prompts", Some(0.8925)),
        ("global and local", Some(0.9179)),
        ("full fine-tuning", None),
    ];
    assert_eq!(papers, wanted);
    let more = |at: usize| table[at]["srcc_more"].as_f64().unwrap();
    let srcc = |at: usize| table[at]["srcc"].as_f64().unwrap();
    assert!((more(2) - (srcc(2) - srcc(1))).abs() < 1e-12, "each is compared with the one before");

    let windows = study(&place, "windows", &["--format", "json"]).ends_with(0);
    assert!(windows.err.contains("2 trainings, 2 of them there"), "the ablation's last: {}", windows.err);
    let windows = rows(&windows);
    assert_eq!(windows.len(), 20);
    let count = |variant: &str| windows.iter().find(|row| row["variant"] == variant).unwrap()["windows"].as_f64();
    assert_eq!((count("grid of 16"), count("4 at random, seed 2")), (Some(16.0), Some(4.0)));
    assert!(windows.iter().all(|row| row["seconds"].as_f64().unwrap() > 0.0 && row["srcc"].is_f64()));
    let pools: Vec<&Value> = windows.iter().filter(|row| row["views"] == windows[0]["views"]).collect();
    assert_eq!(pools.len(), 6, "the mean and five more pools of one test");

    let own = place.query("SELECT srcc FROM studies WHERE study = 'ablation-one' AND variant = 'global and local'");
    assert_eq!(own[0]["srcc"], windows[0]["srcc"], "a training's own test is the test of its views");
    let looked = place.query(
        "SELECT count(*) AS n, max(abs(a.mean - b.mean)) AS apart, count(DISTINCT a.attention) AS weighed FROM evaluations a \
         JOIN evaluations b USING (judge, views, image) WHERE a.attention IS NOT NULL AND b.attention IS NULL",
    );
    assert!(looked[0]["n"] == 12 && looked[0]["weighed"].as_u64() > Some(1), "{looked:?}");
    assert!(looked[0]["apart"].as_f64().unwrap() < 1e-5, "{looked:?}");

    let across = study(&place, "cross-dataset", &["--datasets", "one.toml,two.toml"]).ends_with(0);
    assert!(across.err.contains("4 trainings, 2 of them there; 4 tests"), "{}", across.err);
    assert!(across.out.contains("trained on \\ tested on"), "{}", across.out);

    let unseen = rows(&study(&place, "unseen-algorithms", &["--format", "json"]).ends_with(0));
    assert_eq!(unseen.len(), 2 * ALGORITHMS.len() + 2);
    assert_eq!(unseen[0]["algorithms"], "blur");
    assert!(unseen[1]["setup"].as_str().unwrap().contains("\"without\":[\"blur\"]"));
    assert_eq!((&unseen[7]["algorithms"], &unseen[7]["variant"]), (&"mean of 3".into(), &"prompts, unseen".into()));

    let models = ["--model", "model,new:model/config.json", "--format", "json"];
    let backbones = rows(&study(&place, "backbones", &models).ends_with(0));
    assert_eq!(
        backbones.iter().map(|row| row["model"].as_str().unwrap()).collect::<Vec<_>>(),
        models[1].split(',').collect::<Vec<_>>()
    );

    let begun = study(&place, "initialisation", &["--format", "csv"]).ends_with(0);
    assert_eq!(begun.out.lines().count(), 1 + 6);

    let again = study(&place, "ablation", &[]).ends_with(0);
    assert!(
        again.err.contains("8 trainings, 8 of them there; 1 tests beside the trainings' own, 1 of"),
        "{}",
        again.err
    );
    assert_eq!(again.out, ablation.out);
    let mut kept = std::fs::read_dir(place.path("store/splits")).unwrap().map(|entry| entry.unwrap().path());
    let of_one = kept.find(|path| path.to_str().unwrap().contains("/one-")).unwrap();
    let given =
        ["study", "ablation", "--datasets", "one.toml", "--model", "model", "--epochs", "1", "--set", "lr=1e-3"];
    let given = place.run(&[&given[..], &["--splits", of_one.to_str().unwrap()]].concat()).ends_with(0);
    assert!(given.err.contains("8 trainings, 8 of them there"), "the splits that were made: {}", given.err);
    let train = ["train", "--dataset", "one.toml", "--model", "model", "--epochs", "1", "--lr", "1e-3", "--split", "1"];
    let trained = place.run(&train).ends_with(0);
    assert!(trained.err.contains("it was trained before"), "a study's trial is any other's: {}", trained.err);
    let found = place.query("SELECT count(DISTINCT study) AS studies, count(*) AS lines FROM studies");
    assert_eq!((&found[0]["studies"], &found[0]["lines"]), (&6.into(), &(5 + 20 + 4 + 8 + 2 + 6).into()));
    let splits = place.query("SELECT count(*) AS n FROM study_splits s JOIN studies USING (study, line)");
    assert_eq!(splits[0]["n"], 2 * 45);
}

#[test]
fn what_cannot_be_studied_says_why_and_what_to_do() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp", "aod"]);
    place.file("own.toml", b"title = \"t\"\n[[variant]]\nname = \"a\"\nset.epoch = 3\n");
    place.file("of-nothing.toml", b"title = \"t\"\n[[variant]]\nname = \"a\"\n");
    place.file("absent.csv", b"algorithm,uri,scene,mos\ndcp,haze/dcp/s0.png,s0,1\ndcp,haze/dcp/s7.png,s7,2\n");
    place.file("absent.toml", b"name = \"absent\"\nroot = \".\"\nmanifest = \"absent.csv\"\n");
    let calls: &[(&[&str], &str)] = &[
        (&["ablation", "--datasets", "absent.toml"], "is not complete"),
        (&["ablations"], "there is no study `ablations`; similar names: ablation"),
        (&["own.toml"], "unknown field `epoch`"),
        (&["none.toml"], "cannot read the study none.toml"),
        (&["of-nothing.toml"], "give some with --datasets"),
        (&["ablation"], "there is no data set `dhq`"),
        (&["ablation", "--datasets", "haze.toml", "--set", "sees=local"], "unknown field `sees`"),
        (&["cross-dataset", "--datasets", "haze.toml"], "at least two"),
        (&["ablation", "--datasets", "haze.toml"], "does not define the range of its labels"),
        (&["ablation", "--datasets", "haze.toml", "--set", "views=zoom=2"], "invalid views `zoom=2` of `handcrafted`"),
        (&["ablation", "--datasets", "haze.toml,haze.toml"], "asked for twice"),
    ];
    for (arguments, why) in calls {
        let said = place.run(&[&["study"], *arguments, &["--model", "model"]].concat()).ends_with(2);
        assert!(said.err.contains(why), "{arguments:?}: {}", said.err);
    }
}
