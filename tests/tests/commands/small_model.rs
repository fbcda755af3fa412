//! The built-in small model ranks pictures that it was not trained on.

use dqa_tests::{TestDir, one_line};

#[test]
fn the_small_model_ranks_the_demos_algorithms() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    dir.run(&["demo", "make", "demo", "--scenes", "10", "--seed", "77"]).exits_with(0);
    let small = ["submit", "--datasets", "demo/demo.toml", "--model", "dqa:small", "--prompts", "dqa:small"];
    let output = dir.run(&small).exits_with(0);
    let shown = one_line(&output.stdout);
    assert!(shown.contains("it is for trying things out"), "{}", output.stdout);
    let agreement = &dir.query("SELECT srcc(score, mos) AS srcc, count(*) AS n FROM scores")[0];
    assert_eq!(agreement["n"], 120);
    assert!(agreement["srcc"].as_f64().unwrap() > 0.7, "{agreement}");
    let ranks = dir.query("SELECT algorithm FROM leaderboard ORDER BY rank");
    assert_eq!(ranks[0]["algorithm"], "oracle", "{ranks:?}");
}
