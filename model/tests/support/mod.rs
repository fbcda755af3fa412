//! Helpers for tests of the whole model: models with formula weights, their scorers, and the difference between the
//! product and CLIP-DQA in its [`plain`] form.

#![allow(dead_code)] // each test binary uses a part of them
#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

pub(crate) mod plain;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use dqa_model::{
    Batcher, ClipConfig, ClipWeights, Isa, Options, PictureScore, Prepared, PromptMode, Prompts, Rgb8, Scorer, Views,
    Words,
};
use dqa_testkit::spec::{clip_spec, prompt_spec};
use dqa_testkit::{ClipShape, NamedTensor, Picture, PromptShape, formula, hf};

use plain::{Oddities, PlainForm};

/// The salt of these tests' formula weights. It differs from the goldens' salt, which `DQA_GOLDENS` may change.
const SALT: &str = "plain form";

/// A model as plain tensors, by the names in its files.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) shape: ClipShape,
    pub(crate) weights: HashMap<String, Tensor>,
    /// `None` for handcrafted prompts.
    pub(crate) prompts: Option<HashMap<String, Tensor>>,
    /// The words of learned prompts.
    pub(crate) words: Words,
}

impl Model {
    /// Returns a model with 8 learned prompts in each layer of both towers.
    pub(crate) fn learned(shape: ClipShape) -> Model {
        Model::with_prompts(shape, shape.prompts())
    }

    pub(crate) fn with_prompts(shape: ClipShape, prompts: PromptShape) -> Model {
        Model { prompts: Some(tensors(formula::weights(SALT, &prompt_spec(&prompts)))), ..Model::handcrafted(shape) }
    }

    pub(crate) fn handcrafted(shape: ClipShape) -> Model {
        let weights = tensors(formula::weights(SALT, &clip_spec(&shape)));
        Model { shape, weights, prompts: None, words: Words::default() }
    }

    /// Multiplies every tensor of `weights` whose name ends with `name_end` by `factor`.
    pub(crate) fn scaled(mut self, name_end: &str, factor: f64) -> Model {
        let mut found = false;
        for (_, tensor) in self.weights.iter_mut().filter(|(name, _)| name.ends_with(name_end)) {
            *tensor = (&*tensor * factor).unwrap();
            found = true;
        }
        assert!(found, "no tensor ends in {name_end}");
        self
    }

    pub(crate) fn clip(&self) -> ClipWeights {
        ClipWeights::from_tensors(config(&self.shape), self.weights.clone()).unwrap()
    }

    pub(crate) fn mode(&self) -> PromptMode {
        self.prompts.as_ref().map_or(PromptMode::Handcrafted, |prompts| {
            let words = self.words.clone();
            PromptMode::Learned(Prompts::from_tensors(prompts.clone(), words, &config(&self.shape)).unwrap())
        })
    }

    pub(crate) fn scorer(&self, options: &Options) -> Arc<Scorer> {
        Arc::new(Scorer::new(&self.clip(), &self.mode(), options).unwrap())
    }
}

pub(crate) fn config(shape: &ClipShape) -> ClipConfig {
    ClipConfig::parse(&hf::config_json(shape), Path::new("config.json")).unwrap()
}

fn tensors(named: Vec<NamedTensor>) -> HashMap<String, Tensor> {
    let tensor = |t: NamedTensor| (t.name, Tensor::from_vec(t.values, t.shape, &Device::Cpu).unwrap());
    named.into_iter().map(tensor).collect()
}

/// Returns the synthetic picture of this seed and size.
pub(crate) fn picture(seed: u64, width: usize, height: usize) -> Rgb8 {
    Rgb8::new(width as u32, height as u32, Picture::synthetic(seed, width, height).rgb)
}

pub(crate) fn views(text: &str) -> Views {
    text.parse().unwrap()
}

pub(crate) fn options(views_text: &str) -> Options {
    Options { views: views(views_text), ..Options::default() }
}

/// Scores the pictures, in their order, `batch` windows at a time.
pub(crate) fn scores(scorer: &Arc<Scorer>, pictures: &[Rgb8], batch: usize) -> Vec<PictureScore> {
    let mut batcher = Batcher::new(scorer.clone(), batch).unwrap();
    let mut finished = Vec::new();
    for (i, picture) in pictures.iter().enumerate() {
        let prepared = Prepared::new(picture.clone(), scorer.views()).unwrap();
        batcher.push(i, &prepared).unwrap();
        finished.extend(std::iter::from_fn(|| batcher.pop()));
    }
    batcher.flush().unwrap();
    finished.extend(std::iter::from_fn(|| batcher.pop()));
    let order = finished.iter().map(|(i, _)| *i);
    assert!(order.eq(0..pictures.len()), "every picture is returned once, in order");
    finished.into_iter().map(|(_, score)| score).collect()
}

/// Largest absolute differences between the product and the plain form; infinite if the numbers of values differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    /// The largest difference of a value of the sentences' features.
    pub(crate) text: f64,
    /// The largest difference of a value of a window's features.
    pub(crate) feature: f64,
    /// The largest difference of a window's score.
    pub(crate) window: f64,
    /// The difference of the picture's score.
    pub(crate) picture: f64,
}

/// The differences that f32 rounding may cause.
pub(crate) const F32: Difference = Difference { text: 1e-6, feature: 1e-6, window: 1e-5, picture: 5e-6 };

impl Difference {
    pub(crate) fn between(model: &Model, options: &Options, oddities: &Oddities, picture: &Rgb8) -> Difference {
        let plain = PlainForm { model, sees: options.views.sees, oddities };
        let expected = plain.picture(picture, &options.views);
        let scorer = model.scorer(options);
        let prepared = Prepared::new(picture.clone(), &options.views).unwrap();
        let features = scorer.picture_features(&prepared).unwrap();
        let got = &scores(&scorer, std::slice::from_ref(picture), 3)[0];
        Difference {
            text: largest_difference(&scorer.text_features().concat(), &expected.text),
            feature: largest_difference(&features.concat(), &expected.features),
            window: largest_difference(&got.windows, &expected.windows),
            picture: (got.score - expected.score).abs(),
        }
    }

    /// Returns the differences in units of [`F32`].
    pub(crate) fn in_tolerances(&self) -> [f64; 4] {
        let in_units = |part: fn(&Difference) -> f64| part(self) / part(&F32);
        [in_units(|d| d.text), in_units(|d| d.feature), in_units(|d| d.window), in_units(|d| d.picture)]
    }
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return f64::INFINITY;
    }
    let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs();
    a.iter().zip(b).map(difference).fold(0.0, f64::max)
}

/// Runs the tests of this binary whose name contains `filter`, of which there must be `tests`, in each instruction set
/// that this CPU has. Each set runs in its own process, because a process only uses one.
pub(crate) fn in_each_instruction_set(filter: &str, tests: usize) {
    for name in ["portable", "avx2", "avx512", "avx512-bf16", "amx"] {
        let isa = Isa::from_str(name).unwrap();
        if !Isa::available().any(|available| available == isa) {
            println!("skipped: this CPU has no {name}");
            continue;
        }
        let child =
            Command::new(std::env::current_exe().unwrap()).arg(filter).env("DQA_CPU_ISA", name).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        assert!(child.status.success(), "{name}: {out}{err}");
        assert!(out.contains(&format!("ok. {tests} passed")), "{name}: {out}");
    }
}
