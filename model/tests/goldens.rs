//! Scores equal those of the reference: the numbers in `model/testkit/goldens`, or in `DQA_GOLDENS=DIR`, a folder of
//! the same format with another salt and other pictures.

#![allow(clippy::unwrap_used)] // helpers too

mod support;

use std::path::Path;
use std::sync::Arc;

use dqa_model::{Arithmetic, ClipWeights, KernelSet, Options, Prepared, PromptMode, Prompts, Rgb8, Scorer, Views};
use dqa_testkit::{Goldens, hf};
use support::{in_each_instruction_set, scores};

/// Tolerances by class of arithmetic: (a window's score, a picture's score).
const F32: (f64, f64) = (5e-5, 2e-5);
const LOW: (f64, f64) = (5e-3, 5e-3);

struct Model {
    weights: ClipWeights,
    prompts: PromptMode,
}

impl Model {
    fn formula(kind: &str, salt: &str) -> Model {
        let dir = hf::cached(kind, salt);
        let weights = ClipWeights::open(&dir).unwrap();
        let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config()).unwrap();
        Model { weights, prompts: PromptMode::Learned(prompts) }
    }

    fn scorer(&self, options: Options) -> Arc<Scorer> {
        Arc::new(Scorer::new(&self.weights, &self.prompts, &options).unwrap())
    }
}

fn read(path: &Path) -> Rgb8 {
    let picture = image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8();
    Rgb8::new(picture.width(), picture.height(), picture.into_raw())
}

fn check(kind: &str, options: Options, (window, image): (f64, f64)) {
    let goldens = Goldens::load();
    let model = Model::formula(kind, &goldens.salt);
    let scorer = model.scorer(options);
    let golden = goldens.model(kind);
    let names: Vec<&String> = golden.scores.keys().collect();
    let pictures: Vec<Rgb8> = names.iter().map(|name| read(&goldens.picture(name))).collect();
    for (name, got) in names.iter().zip(scores(&scorer, &pictures, 5)) {
        let want = &golden.scores[*name];
        assert_eq!(got.windows.len(), want.crops.len(), "{name}");
        for (i, (got, want)) in got.windows.iter().zip(&want.crops).enumerate() {
            let difference = (f64::from(*got) - want).abs();
            assert!(difference <= window, "{kind} {name} window {i}: {got}, not {want}");
        }
        assert!((got.score - want.image).abs() <= image, "{kind} {name}: {}, not {}", got.score, want.image);
    }
}

fn low(arithmetic: Arithmetic) -> Options {
    Options { arithmetic, ..Options::default() }
}

fn plain(arithmetic: Arithmetic) -> Options {
    Options { kernels: KernelSet::Candle, ..low(arithmetic) }
}

fn reference(arithmetic: Arithmetic) -> Options {
    Options { kernels: KernelSet::Reference, ..low(arithmetic) }
}

#[test]
fn vit_b_32_in_f32() {
    check("vit-b-32", Options::default(), F32);
}

#[test]
fn tiny_in_f32() {
    check("tiny", Options::default(), F32);
}

#[test]
fn vit_b_32_in_bf16() {
    check("vit-b-32", low(Arithmetic::Bf16), LOW);
}

#[test]
fn tiny_in_bf16_and_f16() {
    check("tiny", low(Arithmetic::Bf16), LOW);
    check("tiny", low(Arithmetic::F16), LOW);
}

#[test]
fn every_instruction_set_gives_the_same() {
    in_each_instruction_set("tiny_in", 2);
}

#[test]
fn candles_operations_give_the_same() {
    check("tiny", plain(Arithmetic::F32), F32);
    check("tiny", plain(Arithmetic::F16), LOW);
    check("tiny", plain(Arithmetic::Bf16), (2e-2, 2e-2)); // activations too are bf16 here
    check("vit-b-32", plain(Arithmetic::F32), F32);
}

#[test]
fn what_a_gpus_kernels_compute_gives_the_same() {
    for kind in ["tiny", "vit-b-32"] {
        check(kind, reference(Arithmetic::F16), (3e-3, 3e-3));
        check(kind, reference(Arithmetic::Bf16), (1e-2, 1e-2));
    }
}

#[test]
fn features_are_the_references() {
    let goldens = Goldens::load();
    for kind in ["tiny", "vit-b-32"] {
        let scorer = Model::formula(kind, &goldens.salt).scorer(Options::default());
        let golden = goldens.model(kind);
        let text = scorer.text_features().concat();
        golden.text_features.check("text features", &[2, text.len() / 2], &text, 2e-6);
        let name = golden.scores.keys().find(|name| name.contains("-320x240")).unwrap();
        let picture = Prepared::new(read(&goldens.picture(name)), &Views::default()).unwrap();
        let image = scorer.picture_features(&picture).unwrap();
        golden.image_features.check("image features", &[2, image[0].len()], &image.concat(), 2e-6);
    }
}
