//! `dqa-coord submit` as a user meets it: resumed, extended, with bad pictures, killed.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use dqa_tests::{Said, TestDir, shared};

fn place() -> TestDir {
    TestDir::new(env!("CARGO_BIN_EXE_coord"))
}

fn submit(place: &TestDir, more: &[&str]) -> Said {
    place.run(&place.submit("haze.toml", more))
}

#[test]
fn a_finished_run_submitted_again_scores_nothing() {
    let place = place();
    place.haze(&["dcp", "aod", "dehazeformer"]);
    let first = submit(&place, &["--algos", "dcp,aod,dehazeformer"]).ends_with(0);
    assert!(first.err.contains("scored 9 pictures (0 failed)"), "{}", first.err);
    for algorithm in ["dcp", "aod", "dehazeformer"] {
        assert!(first.out.contains(algorithm), "the leaderboard has {algorithm}:\n{}", first.out);
    }
    let (scores, parts) = (place.scores(), place.parts());
    assert_eq!(scores.len(), 9);
    let again = submit(&place, &["--algos", "dcp,aod,dehazeformer"]).ends_with(0);
    assert!(again.err.contains("nothing to score"), "{}", again.err);
    assert_eq!(again.out, first.out);
    assert_eq!((place.scores(), place.parts()), (scores, parts));
}

#[test]
fn only_what_is_new_is_scored() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    submit(&place, &["--name", "r"]).ends_with(0);
    let before = place.scores();

    place.haze(&["dcp", "aod", "mscnn"]);
    let more = submit(&place, &["--name", "r"]).ends_with(0);
    assert!(more.err.contains("scored 3 pictures"), "an algorithm more: {}", more.err);

    for algorithm in ["dcp", "aod", "mscnn"] {
        place.picture(algorithm, 3);
    }
    let more = submit(&place, &["--name", "r"]).ends_with(0);
    assert!(more.err.contains("scored 3 pictures"), "a scene more: {}", more.err);
    let after = place.scores();
    assert_eq!(after.len(), 12);
    assert!(before.iter().all(|(picture, score)| after[picture] == *score));
    assert_eq!(place.parts().len(), 3, "what was replaced is gone: whoever reads the files sees each row once");

    let labels = std::fs::read_to_string(place.path("haze/labels.csv")).unwrap();
    place.file("haze/labels.csv", (labels + "dcp/s3.png,1\naod/s3.png,2\nmscnn/s3.png,3\n").as_bytes());
    let more = submit(&place, &["--name", "r"]).ends_with(0);
    assert!(more.err.contains("scored 0 pictures"), "labels more: {}", more.err);
    assert_eq!(place.scores(), after);
    let labelled = place.query("SELECT count(mos) AS n FROM scores");
    assert_eq!(labelled[0]["n"], 12);
}

#[test]
fn a_run_that_is_killed_goes_on_and_ends_as_if_it_was_not() {
    let place = place();
    place.haze(&["dcp", "aod", "mscnn", "cap", "gfn"]);
    let arguments = place.submit("haze.toml", &["--shard-windows", "1"]);
    // Killed again and again, each time with two parts more than before.
    let mut kills = 0;
    loop {
        let there = place.parts().len();
        let mut child = place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while place.parts().len() < there + 2 && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        if child.wait().unwrap().signal().is_none() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 2, "{kills}");
    place.run(&arguments).ends_with(0);
    let whole = self::place();
    whole.haze(&["dcp", "aod", "mscnn", "cap", "gfn"]);
    whole.run(&whole.submit("haze.toml", &[])).ends_with(0);
    assert_eq!(place.scores(), whole.scores(), "every row once, equal to the bit, however it was cut");
}

#[test]
fn a_damaged_part_is_made_again() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    submit(&place, &[]).ends_with(0);
    let (scores, parts) = (place.scores(), place.parts());
    let bytes = std::fs::read(&parts[0]).unwrap();
    std::fs::write(&parts[0], &bytes[..bytes.len() / 2]).unwrap();
    let again = submit(&place, &[]).ends_with(0);
    assert!(again.err.contains("scored 3 pictures"), "{}", again.err);
    assert_eq!((place.scores(), place.parts()), (scores, parts));
}

#[test]
fn what_cannot_run_says_why_and_what_to_do() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    std::fs::remove_file(place.path("haze/dcp/s1.png")).unwrap();
    let said = submit(&place, &[]).ends_with(2);
    assert!(said.err.contains("--allow-missing") && said.err.contains("s1"), "{}", said.err);
    submit(&place, &["--allow-missing"]).ends_with(0);
    assert_eq!(place.scores().len(), 5);

    let said = submit(&place, &["--algos", "dcp,adо"]).ends_with(2);
    assert!(said.err.contains("adо"), "{}", said.err);
    let said = submit(&place, &["--algos", "aod,dpc"]).ends_with(2);
    assert!(said.err.contains("`dpc`") && said.err.contains("dcp"), "near names: {}", said.err);
    let said = place.run(&place.submit("hase.toml", &[])).ends_with(2);
    assert!(said.err.contains("hase"), "{}", said.err);

    submit(&place, &["--allow-missing", "--name", "r"]).ends_with(0);
    let said = submit(&place, &["--allow-missing", "--name", "r", "--views", "sees=global"]).ends_with(2);
    assert!(said.err.contains("views") && said.err.contains("--name"), "{}", said.err);
}

#[test]
fn odd_pictures_are_rows_with_their_codes() {
    let place = place();
    place.haze(&["dcp"]);
    let Some(odd) = shared("data/odd-images") else { return };
    let mut count = 0;
    for folder in ["image-rs", "pillow"] {
        for entry in std::fs::read_dir(odd.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with("LICENSE")) {
                let name = path.file_name().unwrap().to_str().unwrap();
                place.file(&format!("haze/odd/{folder}-{name}"), &std::fs::read(&path).unwrap());
                count += 1;
            }
        }
    }
    place.file("haze.toml", b"name = \"haze\"\nroot = \"haze\"\nlayout = \"{algorithm}/{image}\"\n");
    std::fs::remove_file(place.path("haze/labels.csv")).unwrap();
    submit(&place, &["--allow-missing"]).ends_with(1);
    let rows = place.query("SELECT image, score, windows, error_code, error_message FROM scores ORDER BY image");
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
    let again = submit(&place, &["--allow-missing"]).ends_with(1);
    assert!(again.err.contains("nothing to score"), "{}", again.err);
    let again = submit(&place, &["--allow-missing", "--retry-failed"]).ends_with(1);
    let failed = rows.iter().filter(|row| row["score"].is_null()).count();
    assert!(again.err.contains(&format!("scored {failed} pictures ({failed} failed)")), "{}", again.err);
    assert_eq!(place.query("SELECT count(*) AS n FROM scores")[0]["n"], 3 + count);
}

#[test]
fn a_dry_run_scores_nothing() {
    let place = place();
    place.haze(&["dcp", "aod"]);
    let said = submit(&place, &["--dry-run"]).ends_with(0);
    assert!(said.err.contains("6 pictures") && said.err.contains("2 shards"), "{}", said.err);
    assert!(place.parts().is_empty());
    assert_eq!(place.run(&["runs"]).ends_with(0).out.lines().count(), 1, "only the header");
}
