//! Tests that the program's scores of the golden pictures equal the reference's, through files, folders, decoding,
//! batches and JSON. `DQA_GOLDENS` names another folder of the same format.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use dqa_testkit::{Goldens, hf};
use serde::Deserialize;

/// Tolerance of the score of a window in f32.
const WINDOW_TOLERANCE: f64 = 5e-5;
/// Tolerance of the score of a picture in f32.
const IMAGE_TOLERANCE: f64 = 2e-5;

#[derive(Deserialize)]
struct Row {
    image: String,
    score: f64,
    windows: usize,
    window_scores: Vec<f64>,
}

#[test]
fn scores_of_the_golden_pictures_equal_the_references() {
    let goldens = Goldens::load();
    let golden = goldens.model("vit-b-32");
    let model = hf::cached("vit-b-32", &goldens.salt);
    let mut program = cargo_bin_cmd!("dqa-worker");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DQA_")) {
        program.env_remove(name);
    }
    program.arg("score").arg(goldens.folder.join("pictures")).args(["--format", "json", "--windows"]);
    program.arg("--model").arg(&model).arg("--prompts").arg(model.join("prompts.safetensors"));
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let rows = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Row>().map(Result::unwrap);
    let name = |row: &Row| Path::new(&row.image).file_name().unwrap().to_str().unwrap().to_owned();
    // The pictures that Pillow resized are in the same folder and have no golden scores.
    let rows: BTreeMap<String, Row> = rows.map(|row| (name(&row), row)).collect();
    assert!(!golden.scores.is_empty());
    for (name, expected) in &golden.scores {
        let got = &rows[name];
        assert!((got.score - expected.image).abs() <= IMAGE_TOLERANCE, "{name}: {}, not {}", got.score, expected.image);
        assert_eq!(got.windows, expected.crops.len(), "{name}");
        assert_eq!(got.window_scores.len(), expected.crops.len(), "{name}");
        for (i, (got, expected)) in got.window_scores.iter().zip(&expected.crops).enumerate() {
            assert!((got - expected).abs() <= WINDOW_TOLERANCE, "{name} window {i}: {got}, not {expected}");
        }
    }
}
