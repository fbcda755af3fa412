//! Tests that scores equal those of the reference: the numbers in `model/testkit/goldens`, or in the folder that
//! `DQA_GOLDENS` names, which has the same format with another salt and other pictures.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

mod support;

use std::path::Path;
use std::sync::Arc;

use dqa_model::{Arithmetic, ClipWeights, KernelSet, Options, Prepared, PromptMode, Prompts, Rgb8, Scorer, Views};
use dqa_testkit::{Goldens, hf};
use support::{in_each_instruction_set, scores};

/// Tolerances in f32: (of a window's score, of a picture's score).
const F32_TOLERANCES: (f64, f64) = (5e-5, 2e-5);
/// The same tolerances in bf16 and f16.
const HALF_TOLERANCES: (f64, f64) = (5e-3, 5e-3);

struct Model {
    weights: ClipWeights,
    prompts: PromptMode,
}

impl Model {
    fn load(kind: &str, salt: &str) -> Model {
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

fn check_scores(kind: &str, options: Options, (window, image): (f64, f64)) {
    let goldens = Goldens::load();
    let model = Model::load(kind, &goldens.salt);
    let scorer = model.scorer(options);
    let golden = goldens.model(kind);
    let names: Vec<&String> = golden.scores.keys().collect();
    let pictures: Vec<Rgb8> = names.iter().map(|name| read(&goldens.picture(name))).collect();
    for (name, got) in names.iter().zip(scores(&scorer, &pictures, 5)) {
        let expected = &golden.scores[*name];
        assert_eq!(got.windows.len(), expected.crops.len(), "{name}");
        for (i, (got, expected)) in got.windows.iter().zip(&expected.crops).enumerate() {
            let difference = (f64::from(*got) - expected).abs();
            assert!(difference <= window, "{kind} {name} window {i}: {got}, not {expected}");
        }
        assert!((got.score - expected.image).abs() <= image, "{kind} {name}: {}, not {}", got.score, expected.image);
    }
}

fn native_options(arithmetic: Arithmetic) -> Options {
    Options { arithmetic, ..Options::default() }
}

fn candle_options(arithmetic: Arithmetic) -> Options {
    Options { kernels: KernelSet::Candle, ..native_options(arithmetic) }
}

fn reference_options(arithmetic: Arithmetic) -> Options {
    Options { kernels: KernelSet::Reference, ..native_options(arithmetic) }
}

#[test]
fn vit_b_32_in_f32() {
    check_scores("vit-b-32", Options::default(), F32_TOLERANCES);
}

#[test]
fn tiny_in_f32() {
    check_scores("tiny", Options::default(), F32_TOLERANCES);
}

#[test]
fn vit_b_32_in_bf16() {
    check_scores("vit-b-32", native_options(Arithmetic::Bf16), HALF_TOLERANCES);
}

#[test]
fn tiny_in_bf16_and_f16() {
    check_scores("tiny", native_options(Arithmetic::Bf16), HALF_TOLERANCES);
    check_scores("tiny", native_options(Arithmetic::F16), HALF_TOLERANCES);
}

#[test]
fn every_instruction_set_matches() {
    in_each_instruction_set("tiny_in", 2);
}

#[test]
fn candle_kernels_match() {
    check_scores("tiny", candle_options(Arithmetic::F32), F32_TOLERANCES);
    check_scores("tiny", candle_options(Arithmetic::F16), HALF_TOLERANCES);
    check_scores("tiny", candle_options(Arithmetic::Bf16), (2e-2, 2e-2)); // activations are bf16, too
    check_scores("vit-b-32", candle_options(Arithmetic::F32), F32_TOLERANCES);
}

#[test]
fn the_reference_of_gpu_kernels_matches() {
    for kind in ["tiny", "vit-b-32"] {
        check_scores(kind, reference_options(Arithmetic::F16), (3e-3, 3e-3));
        check_scores(kind, reference_options(Arithmetic::Bf16), (1e-2, 1e-2));
    }
}

#[test]
fn features_equal_the_references() {
    let goldens = Goldens::load();
    for kind in ["tiny", "vit-b-32"] {
        let scorer = Model::load(kind, &goldens.salt).scorer(Options::default());
        let golden = goldens.model(kind);
        let text = scorer.text_features().concat();
        golden.text_features.check("text features", &[2, text.len() / 2], &text, 2e-6);
        let name = golden.scores.keys().find(|name| name.contains("-320x240")).unwrap();
        let picture = Prepared::new(read(&goldens.picture(name)), &Views::default()).unwrap();
        let image = scorer.picture_features(&picture).unwrap();
        golden.image_features.check("image features", &[2, image[0].len()], &image.concat(), 2e-6);
    }
}
