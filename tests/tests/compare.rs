//! `dqa-coord compare`: runs side by side on the same pictures, and what cannot be compared.

#![allow(clippy::unwrap_used)] // helpers too

use dqa_testkit::Picture;
use dqa_tests::{Said, TestDir};
use serde_json::Value;

const SCENES: u32 = 8;

/// `haze` of eight scenes in two groups, scored with two choices of views.
fn place() -> TestDir {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let mut labels = "image,mos\n".to_owned();
    for (number, algorithm) in ["dcp", "aod"].iter().enumerate() {
        for scene in 0..SCENES {
            let group = ["indoor", "outdoor"][scene as usize % 2];
            let name = format!("{algorithm}/{group}/s{scene}.png");
            let seed = u64::from(scene) * 10 + number as u64;
            place.file(&format!("haze/{name}"), &Picture::synthetic(seed, 230, 250).png());
            labels += &format!("{name},{}\n", (scene * 37 + 11 * number as u32) % 50);
        }
    }
    place.file("haze/labels.csv", labels.as_bytes());
    let definition = "name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{group}/{scene}.png\"\n\
                      [labels]\nfile = \"labels.csv\"\n";
    place.file("haze.toml", definition.as_bytes());
    submit(&place, "both", &[]);
    submit(&place, "local", &["--views", "sees=local"]);
    place
}

fn submit(place: &TestDir, run: &str, more: &[&str]) -> Said {
    place.run(&place.submit("haze.toml", &[&["--name", run][..], more].concat())).ends_with(0)
}

fn compare(place: &TestDir, more: &[&str]) -> Said {
    place.run(&[&["compare"][..], more].concat())
}

fn rows(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn runs_are_side_by_side_with_paired_differences() {
    let place = place();
    let said = compare(&place, &["both", "local"]).ends_with(0);
    assert!(said.out.starts_with("A  both   model model, prompts model/prompts.safetensors, views "), "{}", said.out);
    assert!(said.out.contains("Agreement with labels, on the pictures that all runs scored"), "{}", said.out);
    assert!(said.out.contains("Do the runs rank the algorithms alike?"), "{}", said.out);
    assert!(!said.out.contains("left out of") && said.err.is_empty(), "{}{}", said.out, said.err);
    let found = rows(&compare(&place, &["both", "local", "--format", "json"]).ends_with(0));
    let groups: Vec<(&str, &str, i64, i64)> = found
        .iter()
        .filter(|row| row["measure"] == "srcc")
        .map(|row| {
            let name = row["group_name"].as_str().unwrap_or("-");
            (row["group_kind"].as_str().unwrap(), name, row["n"].as_i64().unwrap(), row["scenes"].as_i64().unwrap())
        })
        .collect();
    let expected = [
        ("all", "-", 16, 8),
        ("algorithm", "aod", 8, 8),
        ("algorithm", "dcp", 8, 8),
        ("scene_group", "indoor", 8, 4),
        ("scene_group", "outdoor", 8, 4),
    ];
    assert_eq!(groups, expected);
    let reported = |run: &str| {
        let json = ["report", "--run", run, "--table", "correlations", "--format", "json"];
        rows(&place.run(&json).ends_with(0)).remove(0)
    };
    let number = |value: &Value| value.as_f64().unwrap();
    for (row, measure) in found.iter().zip(["srcc", "plcc", "krcc"]) {
        assert_eq!(row["measure"], measure);
        // As the run's own report has it, but for the rounding of sums in another order.
        assert!((number(&row["value_a"]) - number(&reported("both")[measure])).abs() < 1e-12);
        assert!((number(&row["value_b"]) - number(&reported("local")[measure])).abs() < 1e-12);
        let difference = number(&row["value_b"]) - number(&row["value_a"]);
        assert!((number(&row["difference"]) - difference).abs() < 1e-12);
        assert!(number(&row["difference_low"]) < difference && difference < number(&row["difference_high"]));
        assert!((0.0..=1.0).contains(&number(&row["p"])) && row["p"] == row["p_corrected"]);
    }
    let few = found.iter().find(|row| row["group_name"] == "indoor").unwrap();
    assert_eq!((&few["p"], &few["interval_missing"]), (&Value::Null, &"too_few_scenes".into()));
    let boards = ["both", "local", "--format", "json", "--table", "leaderboards"];
    let board = &rows(&compare(&place, &boards).ends_with(0))[0];
    assert_eq!((&board["algorithms"], &board["pairs"]), (&2.into(), &1.into()));
    assert!(board["reversed_significantly"].is_null(), "{board}");
    let csv = compare(&place, &["both", "local", "--format", "csv", "--output", "c.csv"]).ends_with(0);
    let written = std::fs::read_to_string(place.path("c.csv")).unwrap();
    assert!(csv.out.is_empty() && written.starts_with("dataset,group_kind,group_name,measure,n,scenes,run_a,value_a,"));
}

#[test]
fn three_runs_are_compared_in_pairs_and_one_fingerprint_is_said() {
    let place = place();
    submit(&place, "global", &["--views", "sees=global"]);
    let pairs = |said: Said| {
        let all = rows(&said.ends_with(0)).into_iter();
        let all = all.filter(|row| row["measure"] == "srcc" && row["group_kind"] == "all");
        all.map(|row| format!("{} {}", row["run_a"].as_str().unwrap(), row["run_b"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let three = ["both", "local", "global", "--format", "json"];
    assert_eq!(pairs(compare(&place, &three)), ["both local", "both global", "local global"]);
    assert_eq!(pairs(compare(&place, &[&three[..], &["--to-first"]].concat())), ["both local", "both global"]);
    let row = &rows(&compare(&place, &three).ends_with(0))[0];
    assert!(row["p_corrected"].as_f64().unwrap() >= row["p"].as_f64().unwrap());

    submit(&place, "again", &[]);
    let said = compare(&place, &["both", "again"]).ends_with(0);
    assert!(said.out.contains("NOTE: runs A and B are of one fingerprint"), "{}", said.out);
    assert!(said.err.contains("warning: runs A and B are of one fingerprint"), "{}", said.err);
    assert!(said.out.contains("+0.0000") && said.out.contains("equal"), "{}", said.out);
}

#[test]
fn pictures_that_are_not_the_same_are_left_out_or_refused() {
    let place = place();
    // Another file under a name that is there, and a picture that the first two have not.
    place.file("haze/dcp/indoor/s0.png", &Picture::synthetic(777, 230, 250).png());
    for algorithm in ["dcp", "aod"] {
        place.file(&format!("haze/{algorithm}/indoor/s98.png"), &Picture::synthetic(98, 230, 250).png());
    }
    submit(&place, "later", &["--views", "sees=global"]);
    let said = compare(&place, &["local", "later"]).ends_with(0);
    let left_out =
        "left out of haze: 2 pictures that are not in every run; 1 pictures of which some run has another file";
    assert!(said.out.contains(left_out) && said.err.contains(left_out), "{}\n{}", said.out, said.err);
    let row = &rows(&compare(&place, &["local", "later", "--format", "json"]).ends_with(0))[0];
    assert_eq!(row["n"], 15);

    let labels = std::fs::read_to_string(place.path("haze/labels.csv")).unwrap();
    place.file("haze/labels.csv", labels.replace("dcp/outdoor/s1.png,37", "dcp/outdoor/s1.png,12").as_bytes());
    submit(&place, "relabelled", &["--views", "sees=both,stride=32"]);
    let said = compare(&place, &["local", "relabelled"]).ends_with(2);
    assert!(
        said.err.contains("1 pictures of data set `haze` have another label in run `relabelled` than in run `local`"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("outdoor/s1.png of dcp has 12 instead of 37") && said.err.contains("hint: "),
        "{}",
        said.err
    );

    place.file("other/dcp/x.png", &Picture::synthetic(5, 230, 250).png());
    place.run(&place.submit("other", &["--name", "other"])).ends_with(0);
    let said = compare(&place, &["local", "other"]).ends_with(2);
    assert!(said.err.contains("no data set in common: `local` has haze; `other` has other"), "{}", said.err);
    let said = compare(&place, &["local", "local"]).ends_with(2);
    assert!(said.err.contains("run `local` is named twice"), "{}", said.err);
    let said = compare(&place, &["local", "nowhere"]).ends_with(2);
    assert!(said.err.contains("there is no run `nowhere`"), "{}", said.err);
    let said = compare(&place, &["local"]).ends_with(2);
    assert!(said.err.contains("expected 2 to 16 runs to compare, found 1"), "{}", said.err);
    let said = compare(&place, &["local", "later", "--coordinator", "http://127.0.0.1:1"]).ends_with(2);
    assert!(said.err.contains("without a coordinator"), "{}", said.err);
    assert!(said.err.contains("give the coordinator's store: --store"), "what to do: {}", said.err);
}
