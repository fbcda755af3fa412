//! Times training steps, for `tools/bench-tune`: `train_step MODEL_DIR BATCH STEPS prompts|all`, with
//! `prompts.safetensors` in the directory. Prints one JSON line.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dqa_model::train::{Example, Trainable, Trainer, TrainerOptions};
use dqa_model::{ClipWeights, PromptMode, Prompts, Rgb8, ViewMode};
use dqa_testkit::Picture;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, batch, steps, trainable] = &arguments[..] else { panic!("MODEL_DIR BATCH STEPS prompts|all") };
    let (batch, steps): (u64, u32) = (batch.parse().expect("a number"), steps.parse().expect("a number"));
    let dir = Path::new(dir);
    let weights = ClipWeights::open(dir).expect("a model");
    let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).expect("its prompts");
    let trainable = if trainable == "all" { Trainable::All } else { Trainable::Prompts };
    let options = TrainerOptions { trainable, sees: ViewMode::Both, ..TrainerOptions::default() };
    let mut trainer = Trainer::new(&weights, &PromptMode::Learned(prompts), &options).expect("a trainer");
    let picture = |seed| Rgb8::new(224, 224, Picture::synthetic(seed, 224, 224).rgb);
    let example = |i| Example { local: Some(picture(2 * i)), whole: Some(Arc::new(picture(2 * i + 1))), target: 0.5 };
    let examples: Vec<Example> = (0..batch).map(example).collect();
    trainer.step(&examples, 1e-4).expect("a first step, to warm up");
    let started = Instant::now();
    for _ in 0..steps {
        trainer.step(&examples, 1e-4).expect("a step");
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = batch as f64 * f64::from(steps) / seconds;
    println!("{{\"windows_per_s\": {rate:.3}, \"peak_mb\": {:.0}}}", peak_mb());
}

/// Returns the peak memory of this process in MB, as the system counts it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok())
        .map_or(f64::NAN, |kb| kb / 1024.0)
}
