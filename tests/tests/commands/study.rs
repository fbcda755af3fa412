//! `dqa-coord study`: every study from data to table, the reuse of trainings, and the errors of invalid studies.

use dqa_tests::{CommandOutput, TestDir, wide_lines};
use serde_json::Value;

const ALGORITHMS: [&str; 3] = ["dcp", "blur", "oracle"];

/// `one.toml` and `two.toml`: some algorithms of small demo data sets, 10 scenes each.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    for (name, seed) in [("one", "1"), ("two", "2")] {
        let made = ["demo", "make", name, "--scenes", "10", "--width", "288", "--height", "240", "--seed", seed];
        dir.run(&made).exits_with(0);
        let others = std::fs::read_dir(dir.path(name)).unwrap().map(|entry| entry.unwrap());
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
        dir.file(&format!("{name}.toml"), definition.as_bytes());
    }
    dir
}

fn study(dir: &TestDir, name: &str, more: &[&str]) -> CommandOutput {
    let quick = ["study", name, "--datasets", "one.toml", "--model", "model", "--new-splits", "2", "--epochs", "1"];
    let quick = if more.contains(&"--datasets") { [&quick[..2], &quick[4..]].concat() } else { quick.to_vec() };
    let quick = if more.contains(&"--model") {
        quick.into_iter().filter(|word| !["--model", "model"].contains(word)).collect()
    } else {
        quick
    };
    dir.run(&[&quick[..], &["--set", "lr=1e-3"], more].concat())
}

#[test]
fn every_study_ends_in_its_table_and_makes_nothing_twice() {
    let dir = setup();
    let ablation = study(&dir, "ablation", &[]).exits_with(0);
    assert!(ablation.stderr.contains("8 trainings, 0 kept from earlier; 1 tests"), "{}", ablation.stderr);
    assert_eq!(wide_lines(&ablation.stdout), Vec::<&str>::new());
    for output in ["kept: last epoch", "SRCC less that of the row before", "splits: splits/one-"] {
        assert!(ablation.stdout.contains(output), "{output} in\n{}", ablation.stdout);
    }
    let table = study(&dir, "ablation", &["--format", "json"]).exits_with(0).json_lines();
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

    let windows = study(&dir, "windows", &["--format", "json"]).exits_with(0);
    assert!(windows.stderr.contains("4 trainings, 2 kept from earlier"), "the ablation's last: {}", windows.stderr);
    let windows = windows.json_lines();
    assert_eq!(windows.len(), 22);
    let count = |variant: &str| windows.iter().find(|row| row["variant"] == variant).unwrap()["windows"].as_f64();
    assert_eq!((count("grid of 16"), count("4 at random, seed 2")), (Some(16.0), Some(4.0)));
    assert_eq!((count("the middle one"), count("fragments")), (Some(1.0), Some(1.0)));
    assert!(windows.iter().all(|row| row["seconds"].as_f64().unwrap() > 0.0 && row["srcc"].is_f64()));
    let pools: Vec<&Value> = windows.iter().filter(|row| row["views"] == windows[0]["views"]).collect();
    assert_eq!(pools.len(), 6, "the mean and five more pools of one test");

    let own = dir.query("SELECT srcc FROM studies WHERE study = 'ablation-one' AND variant = 'global and local'");
    assert_eq!(own[0]["srcc"], windows[0]["srcc"], "a training's own test is the test of its views");
    let looked = dir.query(
        "SELECT count(*) AS n, max(abs(a.mean - b.mean)) AS apart, count(DISTINCT a.attention) AS weighed FROM evaluations a \
         JOIN evaluations b USING (judge, views, image) WHERE a.attention IS NOT NULL AND b.attention IS NULL",
    );
    assert!(looked[0]["n"] == 12 && looked[0]["weighed"].as_u64() > Some(1), "{looked:?}");
    assert!(looked[0]["apart"].as_f64().unwrap() < 1e-5, "{looked:?}");

    let across = study(&dir, "cross-dataset", &["--datasets", "one.toml,two.toml"]).exits_with(0);
    assert!(across.stderr.contains("4 trainings, 2 kept from earlier; 4 tests"), "{}", across.stderr);
    assert!(across.stdout.contains("trained on \\ tested on"), "{}", across.stdout);

    let unseen = study(&dir, "unseen-algorithms", &["--format", "json"]).exits_with(0).json_lines();
    assert_eq!(unseen.len(), 2 * ALGORITHMS.len() + 2);
    assert_eq!(unseen[0]["algorithms"], "blur");
    assert!(unseen[1]["setup"].as_str().unwrap().contains("\"without\":[\"blur\"]"));
    assert_eq!((&unseen[7]["algorithms"], &unseen[7]["variant"]), (&"mean of 3".into(), &"prompts, unseen".into()));

    let models = ["--model", "model,new:model/config.json", "--format", "json"];
    let backbones = study(&dir, "backbones", &models).exits_with(0).json_lines();
    assert_eq!(
        backbones.iter().map(|row| row["model"].as_str().unwrap()).collect::<Vec<_>>(),
        models[1].split(',').collect::<Vec<_>>()
    );

    let begun = study(&dir, "initialisation", &["--format", "csv"]).exits_with(0);
    assert_eq!(begun.stdout.lines().count(), 1 + 6);

    let again = study(&dir, "ablation", &[]).exits_with(0);
    assert!(
        again.stderr.contains("8 trainings, 8 kept from earlier; 1 tests beside the trainings' own, 1 kept"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout, ablation.stdout);
    let mut kept = std::fs::read_dir(dir.path("store/splits")).unwrap().map(|entry| entry.unwrap().path());
    let of_one = kept.find(|path| path.to_str().unwrap().contains("/one-")).unwrap();
    let given =
        ["study", "ablation", "--datasets", "one.toml", "--model", "model", "--epochs", "1", "--set", "lr=1e-3"];
    let given = dir.run(&[&given[..], &["--splits-file", of_one.to_str().unwrap()]].concat()).exits_with(0);
    assert!(given.stderr.contains("8 trainings, 8 kept from earlier"), "the splits that were made: {}", given.stderr);
    let train =
        ["train", "--dataset", "one.toml", "--model", "model", "--epochs", "1", "--lr", "1e-3", "--only-splits", "1"];
    let trained = dir.run(&train).exits_with(0);
    assert!(trained.stderr.contains("it was trained before"), "a study's trial is any other's: {}", trained.stderr);
    let found = dir.query("SELECT count(DISTINCT study) AS studies, count(*) AS lines FROM studies");
    assert_eq!((&found[0]["studies"], &found[0]["lines"]), (&6.into(), &(5 + 22 + 4 + 8 + 2 + 6).into()));
    let splits = dir.query("SELECT count(*) AS n FROM study_splits s JOIN studies USING (study, line)");
    assert_eq!(splits[0]["n"], 2 * 47);
}

#[test]
fn what_cannot_be_studied_says_why_and_what_to_do() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp", "aod"]);
    dir.file("own.toml", b"title = \"t\"\n[[variant]]\nname = \"a\"\nset.epoch = 3\n");
    dir.file("of-nothing.toml", b"title = \"t\"\n[[variant]]\nname = \"a\"\n");
    dir.file("absent.csv", b"algorithm,uri,scene,mos\ndcp,haze/dcp/s0.png,s0,1\ndcp,haze/dcp/s7.png,s7,2\n");
    dir.file("absent.toml", b"name = \"absent\"\nroot = \".\"\nmanifest = \"absent.csv\"\n");
    let calls: &[(&[&str], &str)] = &[
        (&["ablation", "--datasets", "absent.toml"], "is not complete"),
        (&["ablations"], "there is no study `ablations`; similar names: ablation"),
        (&["own.toml"], "unknown field `epoch`"),
        (&["none.toml"], "cannot read the study none.toml"),
        (&["of-nothing.toml"], "give some with --datasets"),
        (&["ablation"], "cannot load data set `dhq`"),
        (&["ablation", "--datasets", "haze.toml", "--set", "sees=local"], "unknown field `sees`"),
        (&["cross-dataset", "--datasets", "haze.toml"], "at least two"),
        (&["ablation", "--datasets", "haze.toml"], "is unknown (labels seen: "),
        (&["ablation", "--datasets", "haze.toml", "--set", "views=zoom=2"], "invalid views `zoom=2` of `handcrafted`"),
        (&["ablation", "--datasets", "haze.toml,haze.toml"], "asked for twice"),
    ];
    for (arguments, why) in calls {
        let output = dir.run(&[&["study"], *arguments, &["--model", "model"]].concat()).exits_with(2);
        assert!(output.stderr.contains(why), "{arguments:?}: {}", output.stderr);
    }
}

#[test]
fn a_study_of_metrics_scores_and_sets_published_figures_beside() {
    let dir = setup();
    let arguments = ["study", "metrics", "--datasets", "one.toml"];
    let first = dir.run(&[&arguments[..], &["--format", "json"]].concat()).exits_with(0);
    assert!(
        first.stderr.contains("clip-dqa is left out: it needs --model, and --prompts unless the model is dqa:small"),
        "{}",
        first.stderr
    );
    let rows = first.json_lines();
    let (scored, published): (Vec<&Value>, Vec<&Value>) = rows.iter().partition(|row| !row["srcc"].is_null());
    let names =
        |rows: &[&Value]| rows.iter().map(|row| row["variant"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let mut computed = names(&scored);
    computed.sort();
    assert_eq!(computed, ["brisque", "entropy", "fade", "niqe", "piqe"], "the data set has no clear pictures");
    let srcc: Vec<f64> = scored.iter().map(|row| row["srcc"].as_f64().unwrap()).collect();
    assert!(srcc.is_sorted_by(|a, b| a >= b), "the best is first: {srcc:?}");
    assert!(scored[0]["srcc_more"].is_null() && scored[1]["srcc_more"].as_f64().unwrap() <= 0.0, "{scored:?}");
    let fade = scored.iter().find(|row| row["variant"] == "fade").unwrap();
    assert_eq!((fade["paper"].as_f64(), &fade["group"]), (Some(0.7675), &Value::from("one, pooled")));
    assert!(names(&published).contains(&"lpips".to_owned()), "{published:?}");

    let table = dir.run(&arguments).exits_with(0);
    assert!(table.stderr.contains("nothing to score"), "{}", table.stderr);
    for part in ["Which metric agrees with people?", "BeDDE-for-defogging", "one, pooled", "study metrics-one"] {
        assert!(table.stdout.contains(part), "{part} in\n{}", table.stdout);
    }
    let sql = "SELECT variant, srcc FROM studies WHERE srcc IS NOT NULL ORDER BY line";
    let stored = dir.run(&["query", sql, "--format", "json"]).exits_with(0).json_lines();
    let stored: Vec<f64> = stored.iter().map(|row| row["srcc"].as_f64().unwrap()).collect();
    assert_eq!(stored, srcc);
}
