//! Tests that training follows the reference: it compares losses and first gradients of the golden runs, for both
//! models.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::sync::Arc;

use dqa_model::train::{Example, Trainable, Trainer, TrainerOptions};
use dqa_model::{ClipWeights, PromptMode, Prompts, Rgb8, ViewMode, Views, whole_view};
use dqa_testkit::{Goldens, hf};

/// The picture of the golden runs, which train on all its windows.
const PICTURE: &str = "400x300.png";

fn read(goldens: &Goldens) -> Rgb8 {
    let picture = image::open(goldens.picture(&format!("{}-{PICTURE}", goldens.salt))).unwrap().to_rgb8();
    Rgb8::new(picture.width(), picture.height(), picture.into_raw())
}

fn batch(picture: &Rgb8, targets: &[f64]) -> Vec<Example> {
    let whole = Arc::new(whole_view(picture, 224));
    let origins = Views::default().origins(picture.width(), picture.height());
    assert_eq!(origins.len(), targets.len());
    let example = |(origin, target): (dqa_model::Origin, &f64)| Example {
        local: Some(picture.crop(origin.x, origin.y, 224)),
        whole: Some(whole.clone()),
        target: *target as f32,
    };
    origins.into_iter().zip(targets).map(example).collect()
}

fn trainer(kind: &str, salt: &str, trainable: Trainable) -> Trainer {
    let dir = hf::cached(kind, salt);
    let weights = ClipWeights::open(&dir).unwrap();
    let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).unwrap();
    let options = TrainerOptions { trainable, sees: ViewMode::Both, ..TrainerOptions::default() };
    Trainer::new(&weights, &PromptMode::Learned(prompts), &options).unwrap()
}

fn check_training(kind: &str) {
    let goldens = Goldens::load();
    let golden = &goldens.model(kind).training;
    let batch = batch(&read(&goldens), &golden.targets);
    let mut trainer = trainer(kind, &goldens.salt, Trainable::Prompts);
    let (_, gradients) = trainer.gradients(&batch).unwrap();
    assert_eq!(gradients.len(), golden.gradient_norms.len());
    for (name, expected) in &golden.gradient_norms {
        let got = gradients[name].iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!((got / expected - 1.0).abs() < 1e-3, "{kind} {name}: a gradient of norm {got}, not {expected}");
    }
    for (i, expected) in golden.losses.iter().enumerate() {
        let loss = trainer.step(&batch, golden.lr).unwrap().loss;
        assert!((loss / expected - 1.0).abs() < 1e-3, "{kind}: loss {loss} in step {i}, not {expected}");
    }
}

#[test]
fn the_tiny_model_learns_as_the_reference_does() {
    check_training("tiny");
}

#[test]
fn vit_b_32_learns_as_the_reference_does() {
    check_training("vit-b-32");
}

#[test]
fn what_prompts_learn_does_not_depend_on_the_number_of_threads() {
    let goldens = Goldens::load();
    let golden = &goldens.model("tiny").training;
    let picture = read(&goldens);
    let batch: Vec<Example> = (0..3).flat_map(|_| batch(&picture, &golden.targets)).collect();
    let learned = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = trainer("tiny", &goldens.salt, Trainable::Prompts);
            for _ in 0..2 {
                trainer.step(&batch, golden.lr).unwrap();
            }
            trainer.save()
        })
    };
    assert!(batch.len() > 8, "several shares");
    let one = learned(1);
    assert!(one == learned(2) && one == learned(5));
}
