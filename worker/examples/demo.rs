//! The main job on a machine with nothing on it: makes a small CLIP of formula weights and some pictures under
//! thickening haze, and scores them with the program itself. It shows that and how the program runs. What it prints
//! says nothing of the pictures: the weights are a formula, never trained.

use std::path::Path;
use std::process::ExitCode;

use dqa_testkit::{ClipShape, HfDir, Picture};

const MODEL: &str = "target/demo/model";
const PICTURES: &str = "target/demo/pictures";

fn main() -> ExitCode {
    HfDir { salt: "demo", shape: ClipShape::TINY, shards: 1 }.write(Path::new(MODEL));
    std::fs::create_dir_all(PICTURES).expect("the build folder can be written");
    for (seed, (width, height)) in [(224, 224), (320, 240), (640, 480), (1280, 720)].into_iter().enumerate() {
        let file = format!("{PICTURES}/scene-{seed}.png");
        std::fs::write(file, Picture::synthetic(seed as u64, width, height).png()).expect("and so can files in it");
    }
    let prompts = format!("{MODEL}/prompts.safetensors");
    let arguments = ["dqa-worker", "score", PICTURES, "--model", MODEL, "--prompts", &prompts];
    println!("$ {}", arguments.join(" "));
    println!("(weights made by a formula: the scores mean nothing)");
    dqa_worker::cli::run_arguments(arguments.map(Into::into).to_vec())
}
