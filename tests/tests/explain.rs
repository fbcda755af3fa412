//! `dqa-coord explain` as a user meets it.

#![allow(clippy::unwrap_used)] // helpers too

use std::path::Path;

use dqa_tests::TestDir;
use serde_json::Value;

const MODEL: [&str; 4] = ["--model", "model", "--prompts", "model/prompts.safetensors"];

fn explain(more: &[&'static str]) -> Vec<&'static str> {
    [&["explain", "haze/dcp/s1.png", "--out", "out"], &MODEL, more].concat()
}

/// Width and height in a PNG file's header.
fn size(path: &Path) -> (u32, u32) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..4], b"\x89PNG");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn the_scores_are_those_of_a_run_and_the_maps_have_the_pictures_size() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp"]);
    place.run(&place.submit("haze.toml", &[])).ends_with(0);
    let scored = place.query("SELECT score, width, height FROM scores WHERE scene = 's1'");
    let said = place.run(&explain(&["--format", "json"])).ends_with(0);
    let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap();
    let mean = rows.iter().map(|row| number(row, "score")).sum::<f64>() / rows.len() as f64;
    assert!((mean - number(&scored[0], "score")).abs() < 1e-5, "{mean} {scored:?}");
    for row in &rows {
        let parts = ["on_window", "on_whole", "on_class", "on_prompts"].map(|part| number(row, part));
        assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{row}");
    }
    let picture = (number(&scored[0], "width") as u32, number(&scored[0], "height") as u32);
    for map in ["whole", "windows", "scores"] {
        assert_eq!(size(&place.path(&format!("out/{map}.png"))), picture, "{map}");
    }
    assert!(size(&place.path("out/sheet.png")).0 > picture.0);
    let csv = place.run(&explain(&["--format", "csv", "--layer", "1", "--views", "sees=global"])).ends_with(0).out;
    assert_eq!(csv.lines().next(), Some("window,x,y,width,height,score,on_window,on_whole,on_class,on_prompts"));
    assert_eq!(csv.lines().count(), 2);
}

#[test]
fn one_file_gets_the_sheet_and_mistakes_are_said() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    place.haze(&["dcp"]);
    let one = ["explain", "haze/dcp/s0.png", "--out", "deep/down/s0.png"];
    let said = place.run(&[&one, &MODEL[..]].concat()).ends_with(0);
    assert_eq!(said.err.lines().last(), Some("wrote deep/down/s0.png"));
    assert!(said.out.lines().last().unwrap().starts_with("score 0."));
    let layer = place.run(&explain(&["--layer", "99"])).ends_with(2);
    assert!(
        layer.err.contains("error: the model has no layer 99\n") && layer.err.contains("hint: its layers are 1 to ")
    );
    let window = place.run(&explain(&["--window", "99"])).ends_with(2);
    assert!(window.err.contains("error: the picture has no window 99\n"), "{}", window.err);
    place.run(&explain(&["--window", "1"])).ends_with(0);
    place.file("tiny.png", &dqa_testkit::Picture::synthetic(1, 100, 300).png());
    let small = place.run(&[&["explain", "tiny.png", "--out", "x.png"], &MODEL[..]].concat()).ends_with(2);
    assert!(small.err.contains("cannot score tiny.png") && small.err.contains("100x300"), "{}", small.err);
    assert!(!place.path("x.png").exists());
}
