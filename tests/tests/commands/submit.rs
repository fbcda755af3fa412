//! `dqa-coord submit` as a user meets it: resumed, extended, with bad pictures, killed.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use dqa_tests::{CommandOutput, TestDir, shared};

fn setup() -> TestDir {
    TestDir::new(env!("CARGO_BIN_EXE_coord"))
}

fn submit(dir: &TestDir, more: &[&str]) -> CommandOutput {
    dir.run(&dir.submit("haze.toml", more))
}

#[test]
fn a_finished_run_submitted_again_scores_nothing() {
    let dir = setup();
    dir.haze(&["dcp", "aod", "dehazeformer"]);
    let first = submit(&dir, &["--algos", "dcp,aod,dehazeformer"]).exits_with(0);
    assert!(first.stderr.contains("scored 9 pictures (0 failed)"), "{}", first.stderr);
    for algorithm in ["dcp", "aod", "dehazeformer"] {
        assert!(first.stdout.contains(algorithm), "the leaderboard has {algorithm}:\n{}", first.stdout);
    }
    let (scores, parts) = (dir.scores(), dir.parts());
    assert_eq!(scores.len(), 9);
    let again = submit(&dir, &["--algos", "dcp,aod,dehazeformer"]).exits_with(0);
    assert!(again.stderr.contains("nothing to score"), "{}", again.stderr);
    assert_eq!(again.stdout, first.stdout);
    assert_eq!((dir.scores(), dir.parts()), (scores, parts));
}

#[test]
fn only_what_is_new_is_scored() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    submit(&dir, &["--name", "r"]).exits_with(0);
    let before = dir.scores();

    dir.haze(&["dcp", "aod", "mscnn"]);
    let more = submit(&dir, &["--name", "r"]).exits_with(0);
    assert!(more.stderr.contains("scored 3 pictures"), "an algorithm more: {}", more.stderr);

    for algorithm in ["dcp", "aod", "mscnn"] {
        dir.picture(algorithm, 3);
    }
    let more = submit(&dir, &["--name", "r"]).exits_with(0);
    assert!(more.stderr.contains("scored 3 pictures"), "a scene more: {}", more.stderr);
    let after = dir.scores();
    assert_eq!(after.len(), 12);
    assert!(before.iter().all(|(picture, score)| after[picture] == *score));
    assert_eq!(dir.parts().len(), 3, "what was replaced is gone: whoever reads the files sees each row once");

    let labels = std::fs::read_to_string(dir.path("haze/labels.csv")).unwrap();
    dir.file("haze/labels.csv", (labels + "dcp/s3.png,1\naod/s3.png,2\nmscnn/s3.png,3\n").as_bytes());
    let more = submit(&dir, &["--name", "r"]).exits_with(0);
    assert!(more.stderr.contains("scored 0 pictures"), "labels more: {}", more.stderr);
    assert_eq!(dir.scores(), after);
    let labelled = dir.query("SELECT count(mos) AS n FROM scores");
    assert_eq!(labelled[0]["n"], 12);
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_as_if_it_was_not() {
    let dir = setup();
    dir.haze(&["dcp", "aod", "mscnn", "cap", "gfn"]);
    let arguments = dir.submit("haze.toml", &["--shard-windows", "1"]);
    // Killed again and again, each time with two parts more than before.
    let mut kills = 0;
    loop {
        let there = dir.parts().len();
        let mut child = dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while dir.parts().len() < there + 2 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        if child.wait().unwrap().signal().is_none() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 2, "{kills}");
    dir.run(&arguments).exits_with(0);
    let whole = self::setup();
    whole.haze(&["dcp", "aod", "mscnn", "cap", "gfn"]);
    whole.run(&whole.submit("haze.toml", &[])).exits_with(0);
    assert_eq!(dir.scores(), whole.scores(), "every row once, equal to the bit, however it was cut");
}

#[test]
fn a_damaged_part_is_made_again() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    submit(&dir, &[]).exits_with(0);
    let (scores, parts) = (dir.scores(), dir.parts());
    let bytes = std::fs::read(&parts[0]).unwrap();
    std::fs::write(&parts[0], &bytes[..bytes.len() / 2]).unwrap();
    let again = submit(&dir, &[]).exits_with(0);
    assert!(again.stderr.contains("scored 3 pictures"), "{}", again.stderr);
    assert_eq!((dir.scores(), dir.parts()), (scores, parts));
}

#[test]
fn what_cannot_run_says_why_and_what_to_do() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    std::fs::remove_file(dir.path("haze/dcp/s1.png")).unwrap();
    let output = submit(&dir, &[]).exits_with(2);
    assert!(output.stderr.contains("--allow-missing") && output.stderr.contains("s1"), "{}", output.stderr);
    submit(&dir, &["--allow-missing"]).exits_with(0);
    assert_eq!(dir.scores().len(), 5);

    let output = submit(&dir, &["--algos", "dcp,adо"]).exits_with(2);
    assert!(output.stderr.contains("adо"), "{}", output.stderr);
    let output = submit(&dir, &["--algos", "aod,dpc"]).exits_with(2);
    assert!(output.stderr.contains("`dpc`") && output.stderr.contains("dcp"), "near names: {}", output.stderr);
    let output = dir.run(&dir.submit("hase.toml", &[])).exits_with(2);
    assert!(output.stderr.contains("hase"), "{}", output.stderr);

    submit(&dir, &["--allow-missing", "--name", "r"]).exits_with(0);
    let output = submit(&dir, &["--allow-missing", "--name", "r", "--views", "sees=global"]).exits_with(2);
    assert!(output.stderr.contains("views") && output.stderr.contains("--name"), "{}", output.stderr);
}

#[test]
fn odd_pictures_are_rows_with_their_codes() {
    let dir = setup();
    dir.haze(&["dcp"]);
    let Some(odd) = shared("data/odd-images") else { return };
    let mut count = 0;
    for folder in ["image-rs", "pillow"] {
        for entry in std::fs::read_dir(odd.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with("LICENSE")) {
                let name = path.file_name().unwrap().to_str().unwrap();
                dir.file(&format!("haze/odd/{folder}-{name}"), &std::fs::read(&path).unwrap());
                count += 1;
            }
        }
    }
    dir.file("haze.toml", b"name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{image}\"\n");
    std::fs::remove_file(dir.path("haze/labels.csv")).unwrap();
    submit(&dir, &["--allow-missing"]).exits_with(1);
    let rows = dir.query("SELECT image, score, windows, error_code, error_message FROM scores ORDER BY image");
    assert_eq!(rows.len(), 3 + count);
    assert!(rows.iter().all(|row| row["score"].is_null() != row["error_code"].is_null()));
    assert!(rows.iter().all(|row| row["error_code"].is_null() == row["error_message"].is_null()));
    let codes: BTreeSet<&str> = rows.iter().filter_map(|row| row["error_code"].as_str()).collect();
    for code in ["corrupt", "too_large", "too_small", "truncated", "unsupported_format"] {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
    assert!(
        rows.iter().filter(|row| row["image"].as_str().unwrap().starts_with("dcp/")).all(|row| !row["score"].is_null())
    );
    // The same command again: nothing is tried again unless that is asked for.
    let again = submit(&dir, &["--allow-missing"]).exits_with(1);
    assert!(again.stderr.contains("nothing to score"), "{}", again.stderr);
    let again = submit(&dir, &["--allow-missing", "--retry-failed"]).exits_with(1);
    let failed = rows.iter().filter(|row| row["score"].is_null()).count();
    assert!(again.stderr.contains(&format!("scored {failed} pictures ({failed} failed)")), "{}", again.stderr);
    assert_eq!(dir.query("SELECT count(*) AS n FROM scores")[0]["n"], 3 + count);
}

#[test]
fn a_dry_run_scores_nothing() {
    let dir = setup();
    dir.haze(&["dcp", "aod"]);
    let output = submit(&dir, &["--dry-run"]).exits_with(0);
    assert!(output.stderr.contains("6 pictures") && output.stderr.contains("2 shards"), "{}", output.stderr);
    assert!(dir.parts().is_empty());
    assert_eq!(dir.run(&["runs"]).exits_with(0).stdout.lines().count(), 1, "only the header");
}
