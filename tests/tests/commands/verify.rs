//! `dqa-coord verify` and `store check` as somebody meets them who does not trust a result or a disk.

use std::path::Path;

use dqa_tests::TestDir;
use serde_json::Value;

fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp", "aod", "mscnn"]);
    dir.run(&dir.submit("haze.toml", &["--name", "r", "--metrics", "clip-dqa,piqe"])).exits_with(0);
    dir
}

/// Returns all scores of the run.
fn scores(dir: &TestDir) -> Vec<Value> {
    dir.query("SELECT algorithm, image, metric, score FROM scores ORDER BY algorithm, image, metric")
}

fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 4;
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_result_is_computed_again_and_what_was_altered_is_found() {
    let dir = setup();
    let verified = dir.run(&["verify", "store", "--run", "r"]).exits_with(0);
    for line in ["parts   6 of run r", "computed again from the rows", "rows    18 of 18", "nothing differs"] {
        assert!(verified.stdout.contains(line), "{line}: {}", verified.stdout);
    }

    let picture = dir.path("haze/aod/s1.png");
    let (original, other) = (std::fs::read(&picture).unwrap(), std::fs::read(dir.path("haze/dcp/s1.png")).unwrap());
    std::fs::write(&picture, other).unwrap();
    let altered = dir.run(&["verify", "--run", "r", "--format", "json"]).exits_with(1).json_lines();
    assert_eq!(altered.len(), 2, "the row of each metric: {altered:?}");
    for row in altered {
        assert_eq!(row["check"], "row");
        assert!(row["subject"].as_str().unwrap().ends_with("haze/aod/s1.png"), "{row}");
        assert!(row["detail"].as_str().unwrap().contains("file is another one"), "{row}");
    }
    std::fs::write(&picture, original).unwrap();
    dir.run(&["verify", "--run", "r"]).exits_with(0);

    let table = dir.path("store/leaderboard/by_run=r/leaderboard.parquet");
    std::fs::copy(dir.path("store/comparisons/by_run=r/comparisons.parquet"), &table).unwrap();
    let altered = dir.run(&["verify", "--run", "r", "--sample", "0"]).exits_with(1);
    assert!(altered.stdout.contains("differs: table leaderboard/by_run=r/leaderboard.parquet"), "{}", altered.stdout);
    dir.run(&["report", "r"]).exits_with(0);
    dir.run(&["verify", "--run", "r", "--sample", "0"]).exits_with(0);
}

#[test]
fn a_damaged_store_is_found_and_repaired() {
    let dir = setup();
    let checked = dir.run(&["store", "check"]).exits_with(0);
    assert!(checked.stdout.contains("0 problems in 1 run and 6 parts"), "{}", checked.stdout);
    let (before, parts) = (scores(&dir), dir.parts());
    flip_a_bit(&parts[0]);
    std::fs::remove_file(&parts[1]).unwrap();
    dir.file("store/runs/half/run.json", b"{\"name\": \"half\", \"sta");
    let checked = dir.run(&["store", "check", "--format", "json"]).exits_with(1).json_lines();
    let kinds: Vec<&str> = checked.iter().map(|row| row["problem"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["unreadable", "damaged", "missing"]);
    let verified = dir.run(&["verify", "--run", "r", "--sample", "0"]).exits_with(1);
    assert!(verified.stdout.contains("2 differ"), "{}", verified.stdout);

    // The run with the record that cannot be read is reported, and hides no other.
    let listed = dir.run(&["runs"]).exits_with(0);
    assert!(listed.stdout.contains('r') && listed.stderr.contains("half"), "{}\n{}", listed.stdout, listed.stderr);
    std::fs::remove_dir_all(dir.path("store/runs/half")).unwrap();

    let repaired = dir.run(&["store", "check", "--repair"]).exits_with(1);
    assert!(repaired.stderr.contains("deleted, because it was damaged"), "{}", repaired.stderr);
    assert!(!parts[0].exists());
    dir.run(&dir.submit("haze.toml", &["--name", "r", "--metrics", "clip-dqa,piqe"])).exits_with(0);
    dir.run(&["store", "check"]).exits_with(0);
    assert_eq!((scores(&dir), dir.parts()), (before, parts));
    dir.run(&["verify", "--run", "r"]).exits_with(0);
}
