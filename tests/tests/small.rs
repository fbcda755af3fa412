//! The model that is in the program: what it says of pictures that it has not learned from means something.

#![allow(clippy::unwrap_used)] // helpers too

use dqa_tests::TestDir;

#[test]
fn the_small_model_ranks_the_demos_algorithms() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.run(&["demo", "make", "demo", "--scenes", "10", "--seed", "77"]).ends_with(0);
    let small = ["submit", "--datasets", "demo/demo.toml", "--model", "dqa:small", "--prompts", "dqa:small"];
    let said = place.run(&small).ends_with(0);
    assert!(said.out.contains("it is for trying things out"), "{}", said.out);
    let agreement = &place.query("SELECT srcc(score, mos) AS srcc, count(*) AS n FROM scores")[0];
    assert_eq!(agreement["n"], 120);
    assert!(agreement["srcc"].as_f64().unwrap() > 0.7, "{agreement}");
    let ranks = place.query("SELECT algorithm FROM leaderboard ORDER BY rank");
    assert_eq!(ranks[0]["algorithm"], "oracle", "{ranks:?}");
}
