//! The main job on a machine with nothing on it: makes a small CLIP of formula weights and some pictures under
//! thickening haze, and scores them with the program itself. It shows that and how the program runs. What it prints
//! says nothing of the pictures: the weights are a formula, never trained.

use std::process::ExitCode;

use dqa_testkit::{Picture, hf};

fn main() -> ExitCode {
    let model = hf::cached("tiny", "demo");
    let pictures = model.join("pictures");
    std::fs::create_dir_all(&pictures).expect("the build folder can be written");
    for (seed, (width, height)) in [(224, 224), (320, 240), (640, 480), (1280, 720)].into_iter().enumerate() {
        let picture = Picture::synthetic(seed as u64, width, height);
        std::fs::write(pictures.join(format!("scene-{seed}.png")), picture.png())
            .expect("the build folder can be written");
    }
    let prompts = model.join("prompts.safetensors");
    let arguments =
        ["dqa-worker".as_ref(), "score".as_ref(), pictures.as_os_str(), "--model".as_ref(), model.as_os_str()];
    let arguments = arguments.into_iter().chain(["--prompts".as_ref(), prompts.as_os_str()]);
    let arguments: Vec<_> = arguments.map(std::ffi::OsStr::to_os_string).collect();
    println!("$ {}", arguments.join(" ".as_ref()).to_string_lossy());
    println!("(weights made by a formula: the scores mean nothing)");
    dqa_worker::cli::run_arguments(arguments)
}
