//! The program's scores of the golden pictures are the reference's: through files, folders, decoding, batches and JSON.
//! `DQA_GOLDENS=DIR` takes another folder of the same form.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeMap;
use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use dqa_testkit::{Goldens, hf};
use serde::Deserialize;

/// What may differ in f32.
const WINDOW: f64 = 5e-5;
const IMAGE: f64 = 2e-5;

#[derive(Deserialize)]
struct Row {
    image: String,
    score: f64,
    windows: usize,
    window_scores: Vec<f64>,
}

#[test]
fn a_folder_of_goldens_has_the_reference_s_scores() {
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
    // The pictures that Pillow resized lie in the same folder and have no golden score.
    let rows: BTreeMap<String, Row> = rows.map(|row| (name(&row), row)).collect();
    assert!(!golden.scores.is_empty());
    for (name, want) in &golden.scores {
        let got = &rows[name];
        assert!((got.score - want.image).abs() <= IMAGE, "{name}: {}, not {}", got.score, want.image);
        assert_eq!(got.windows, want.crops.len(), "{name}");
        assert_eq!(got.window_scores.len(), want.crops.len(), "{name}");
        for (i, (got, want)) in got.window_scores.iter().zip(&want.crops).enumerate() {
            assert!((got - want).abs() <= WINDOW, "{name} window {i}: {got}, not {want}");
        }
    }
}
