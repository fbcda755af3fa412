//! `dqa-coord export`: what it writes can be read, and has the run's own numbers.

use dqa_tests::TestDir;
use serde_json::Value;

fn setup() -> TestDir {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.haze(&["dcp", "aod"]);
    dir.run(&dir.submit("haze.toml", &["--name", "r", "--metrics", "clip-dqa,entropy"])).exits_with(0);
    dir
}

fn export(dir: &TestDir, format: &str) -> Vec<String> {
    dir.run(&["export", format, "r", "--format", format]).exits_with(0);
    let files = std::fs::read_dir(dir.path(format)).unwrap();
    let mut files: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    files
}

#[test]
fn a_run_is_exported_in_each_format() {
    let dir = setup();
    let tables = ["comparisons", "correlations", "leaderboard"].map(|table| format!("{table}.parquet"));
    let files = export(&dir, "hf-dataset");
    assert_eq!(
        files,
        [&["README.md".to_owned()][..], &tables, &["run.json", "scores.parquet"].map(str::to_owned)].concat()
    );
    assert!(std::fs::read(dir.path("hf-dataset/scores.parquet")).unwrap().starts_with(b"PAR1"));
    let card = std::fs::read_to_string(dir.path("hf-dataset/README.md")).unwrap();
    assert!(
        card.starts_with("---\nconfigs:\n- config_name: scores\n  data_files: scores.parquet\n  default: true\n"),
        "{card}"
    );
    assert!(card.contains("12 rows of haze") && card.contains("- `entropy`: higher values are good"), "{card}");

    export(&dir, "csv");
    let scores = std::fs::read_to_string(dir.path("csv/scores.csv")).unwrap();
    assert_eq!(scores.lines().count(), 1 + 12);

    export(&dir, "every-eval-ever");
    let folder = dir.path("every-eval-ever/data/haze/unknown/aod");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let record: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&record["schema_version"], &record["model_info"]["name"]), (&"0.2.1".into(), &"aod".into()));
    let results = record["evaluation_results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "one for each metric");
    let board = dir.query(
        "SELECT adjusted_score FROM leaderboard WHERE algorithm = 'aod' AND metric = 'clip-dqa' AND dataset = 'haze'",
    );
    let clip_dqa = results.iter().find(|result| result["evaluation_name"] == "haze: clip-dqa").unwrap();
    assert_eq!(clip_dqa["score_details"]["score"], board[0]["adjusted_score"]);
    assert_eq!(clip_dqa["metric_config"]["max_score"], 1.0);
}

#[test]
fn nothing_is_written_among_other_files() {
    let dir = setup();
    dir.file("out/mine.txt", b"mine");
    let refused = dir.run(&["export", "out", "r", "--format", "csv"]).exits_with(2);
    assert!(refused.stderr.contains("out is not empty") && refused.stderr.contains("hint: give a new folder"));
}
