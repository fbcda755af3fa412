//! `dqa-coord compare`: compares runs on the same pictures, and refuses runs that cannot be compared.

use dqa_testkit::Picture;
use dqa_tests::{CommandOutput, TestDir, one_line};
use serde_json::Value;

const SCENES: u32 = 8;

/// `haze` of eight scenes in two groups, scored with two choices of views.
fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let mut labels = "image,mos\n".to_owned();
    for (number, algorithm) in ["dcp", "aod"].iter().enumerate() {
        for scene in 0..SCENES {
            let group = ["indoor", "outdoor"][scene as usize % 2];
            let name = format!("{algorithm}/{group}/s{scene}.png");
            let seed = u64::from(scene) * 10 + number as u64;
            dir.file(&format!("haze/{name}"), &Picture::synthetic(seed, 230, 250).png());
            labels += &format!("{name},{}\n", (scene * 37 + 11 * number as u32) % 50);
        }
    }
    dir.file("haze/labels.csv", labels.as_bytes());
    let definition = "name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{group}/{scene}.png\"\n\
                      [labels]\nfile = \"labels.csv\"\n";
    dir.file("haze.toml", definition.as_bytes());
    submit(&dir, "both", &[]);
    submit(&dir, "local", &["--views", "sees=local"]);
    dir
}

fn submit(dir: &TestDir, run: &str, more: &[&str]) -> CommandOutput {
    dir.run(&dir.submit("haze.toml", &[&["--name", run][..], more].concat())).exits_with(0)
}

fn compare(dir: &TestDir, more: &[&str]) -> CommandOutput {
    dir.run(&[&["compare"][..], more].concat())
}

#[test]
fn runs_are_side_by_side_with_paired_differences() {
    let dir = setup();
    let output = compare(&dir, &["both", "local"]).exits_with(0);
    assert!(
        output.stdout.starts_with("A  both   model model, prompts model/prompts.safetensors, views\n          sees="),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains("Agreement with labels, on the pictures that all runs scored"), "{}", output.stdout);
    assert!(output.stdout.contains("Do the runs rank the algorithms alike?"), "{}", output.stdout);
    assert!(!output.stdout.contains("left out of") && output.stderr.is_empty(), "{}{}", output.stdout, output.stderr);
    let found = compare(&dir, &["both", "local", "--format", "json"]).exits_with(0).json_lines();
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
        dir.run(&json).exits_with(0).json_lines().remove(0)
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
    let board = &compare(&dir, &boards).exits_with(0).json_lines()[0];
    assert_eq!((&board["algorithms"], &board["pairs"]), (&2.into(), &1.into()));
    assert!(board["reversed_significantly"].is_null(), "{board}");
    let csv = compare(&dir, &["both", "local", "--format", "csv", "--output", "c.csv"]).exits_with(0);
    let written = std::fs::read_to_string(dir.path("c.csv")).unwrap();
    assert!(
        csv.stdout.is_empty() && written.starts_with("dataset,group_kind,group_name,measure,n,scenes,run_a,value_a,")
    );
}

#[test]
fn three_runs_are_compared_in_pairs_and_equal_fingerprints_are_noted() {
    let dir = setup();
    submit(&dir, "global", &["--views", "sees=global"]);
    let pairs = |output: CommandOutput| {
        let all = output.exits_with(0).json_lines().into_iter();
        let all = all.filter(|row| row["measure"] == "srcc" && row["group_kind"] == "all");
        all.map(|row| format!("{} {}", row["run_a"].as_str().unwrap(), row["run_b"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let three = ["both", "local", "global", "--format", "json"];
    assert_eq!(pairs(compare(&dir, &three)), ["both local", "both global", "local global"]);
    assert_eq!(pairs(compare(&dir, &[&three[..], &["--to-first"]].concat())), ["both local", "both global"]);
    let row = &compare(&dir, &three).exits_with(0).json_lines()[0];
    assert!(row["p_corrected"].as_f64().unwrap() >= row["p"].as_f64().unwrap());

    submit(&dir, "again", &[]);
    let output = compare(&dir, &["both", "again"]).exits_with(0);
    assert!(output.stdout.contains("NOTE: runs A and B are of one fingerprint"), "{}", output.stdout);
    assert!(output.stderr.contains("warning: runs A and B are of one fingerprint"), "{}", output.stderr);
    assert!(output.stdout.contains("+0.0000") && output.stdout.contains("equal"), "{}", output.stdout);
}

#[test]
fn differing_pictures_are_left_out_or_refused() {
    let dir = setup();
    // Another file under a name that is there, and a picture that the first two have not.
    dir.file("haze/dcp/indoor/s0.png", &Picture::synthetic(777, 230, 250).png());
    for algorithm in ["dcp", "aod"] {
        dir.file(&format!("haze/{algorithm}/indoor/s98.png"), &Picture::synthetic(98, 230, 250).png());
    }
    submit(&dir, "later", &["--views", "sees=global"]);
    let output = compare(&dir, &["local", "later"]).exits_with(0);
    let left_out = "left out of haze: 2 pictures not in every run; 1 picture of which some run has another file";
    let shown = one_line(&output.stdout);
    assert!(shown.contains(left_out) && output.stderr.contains(left_out), "{}\n{}", output.stdout, output.stderr);
    let row = &compare(&dir, &["local", "later", "--format", "json"]).exits_with(0).json_lines()[0];
    assert_eq!(row["n"], 15);

    let labels = std::fs::read_to_string(dir.path("haze/labels.csv")).unwrap();
    dir.file("haze/labels.csv", labels.replace("dcp/outdoor/s1.png,37", "dcp/outdoor/s1.png,12").as_bytes());
    submit(&dir, "relabelled", &["--views", "sees=both,stride=32"]);
    let output = compare(&dir, &["local", "relabelled"]).exits_with(2);
    assert!(
        output
            .stderr
            .contains("1 pictures of data set `haze` have another label in run `relabelled` than in run `local`"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains("outdoor/s1.png of dcp has 12 instead of 37") && output.stderr.contains("hint: "),
        "{}",
        output.stderr
    );

    dir.file("other/dcp/x.png", &Picture::synthetic(5, 230, 250).png());
    dir.run(&dir.submit("other", &["--name", "other"])).exits_with(0);
    let output = compare(&dir, &["local", "other"]).exits_with(2);
    assert!(output.stderr.contains("no data set in common: `local` has haze; `other` has other"), "{}", output.stderr);
    let output = compare(&dir, &["local", "local"]).exits_with(2);
    assert!(output.stderr.contains("run `local` is named twice"), "{}", output.stderr);
    let output = compare(&dir, &["local", "nowhere"]).exits_with(2);
    assert!(output.stderr.contains("there is no run `nowhere`"), "{}", output.stderr);
    let output = compare(&dir, &["local"]).exits_with(2);
    assert!(output.stderr.contains("expected 2 to 16 runs to compare, found 1"), "{}", output.stderr);
    let output = compare(&dir, &["local", "later", "--coordinator", "http://127.0.0.1:1"]).exits_with(2);
    assert!(output.stderr.contains("without a coordinator"), "{}", output.stderr);
    assert!(output.stderr.contains("give the coordinator's store: --store"), "{}", output.stderr);
}
