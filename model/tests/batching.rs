//! Tests that a picture's scores depend only on the picture: they are bit-identical in any batch, on any number of
//! threads, in every instruction set. Also tests that the fingerprint covers exactly what determines scores.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use dqa_model::{
    Arithmetic, ClipWeights, Isa, KernelSet, ModelError, Options, PictureScore, PromptMode, Prompts, Rgb8, Scorer,
    Words,
};
use dqa_testkit::{ClipShape, HfDir, PromptShape};
use proptest::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use support::{Model, in_each_instruction_set, options, picture, scores};

const TINY: ClipShape = ClipShape::TINY;

/// A scorer, and its scores of each picture when scored by itself, with one window per batch on one thread.
struct SingleScores {
    scorer: Arc<Scorer>,
    scores: Vec<PictureScore>,
}

/// Pictures with 1, 2, 1, 6, 4 and 2 windows.
static PICTURES: LazyLock<Vec<Rgb8>> = LazyLock::new(|| {
    let sizes = [(224, 224), (300, 240), (250, 280), (352, 288), (290, 300), (230, 310)];
    let picture = |(i, (width, height)): (usize, (usize, usize))| picture(30 + i as u64, width, height);
    sizes.into_iter().enumerate().map(picture).collect()
});

/// Scores of models with prompts in all layers, in two classes of arithmetic, and of one whose prompts continue as rows
/// from the second layer.
static SINGLE_SCORES: LazyLock<[SingleScores; 3]> = LazyLock::new(|| {
    let shallow = Model::with_prompts(TINY, PromptShape { depth_v: 2, ..TINY.prompts() });
    let models =
        [(Model::learned(TINY), Arithmetic::F32), (Model::learned(TINY), Arithmetic::Bf16), (shallow, Arithmetic::F32)];
    models.map(|(model, arithmetic)| {
        let scorer = model.scorer(&Options { arithmetic, ..Options::default() });
        let scores = POOLS[0].install(|| {
            let alone = |picture: &Rgb8| scores(&scorer, std::slice::from_ref(picture), 1).remove(0);
            PICTURES.iter().map(alone).collect()
        });
        SingleScores { scorer, scores }
    })
});

/// Thread pools of 1 and of 3 threads.
static POOLS: LazyLock<[ThreadPool; 2]> =
    LazyLock::new(|| [1, 3].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap()));

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn scores_are_bit_identical_in_any_batch(
        order in proptest::collection::vec(0..6usize, 1..8), batch in 1..=17usize, threads in 0..2usize, model in 0..3usize,
    ) {
        let SingleScores { scorer, scores: alone } = &SINGLE_SCORES[model];
        let pictures: Vec<Rgb8> = order.iter().map(|i| PICTURES[*i].clone()).collect();
        let together = POOLS[threads].install(|| scores(scorer, &pictures, batch));
        for (i, got) in order.iter().zip(together) {
            prop_assert_eq!(&got, &alone[*i], "picture {}", i);
        }
    }
}

#[test]
fn scores_are_batch_independent_in_every_instruction_set() {
    in_each_instruction_set("bit_identical_in_any_batch", 1);
}

#[test]
fn features_of_vit_b_32s_width_are_equal_in_batches_of_any_size() {
    // The width makes products split into blocks, and there are more windows than a block has rows.
    let shape = ClipShape { width_v: 768, heads_v: 12, embed_dim: 512, layers_v: 2, layers_t: 2, ..TINY };
    let scorer = Model::learned(shape).scorer(&options("sees=global"));
    let pictures: Vec<Rgb8> = (0..120).map(|i| picture(50 + i, 24, 16)).collect();
    let alone = scores(&scorer, &pictures, 1);
    for batch in [2, 15, 113, 120] {
        let together = scores(&scorer, &pictures, batch);
        let differ = alone.iter().zip(&together).filter(|(a, b)| a != b).count();
        assert_eq!(differ, 0, "scores differ, of {} pictures in batches of {batch}", pictures.len());
    }
}

/// Returns the fingerprint of a model with these options.
fn fingerprint(weights: &ClipWeights, prompts: &PromptMode, options: &Options) -> String {
    Scorer::new(weights, prompts, options).unwrap().fingerprint().to_string()
}

#[test]
fn the_fingerprint_changes_with_everything_that_determines_scores() {
    let model = Model::learned(TINY);
    let (clip, prompts) = (model.clip(), model.mode());
    let mut seen = BTreeSet::new();
    let mut assert_new = |change: &str, fingerprint: String| {
        assert!(seen.insert(fingerprint), "{change} does not change the fingerprint")
    };
    assert_new("the model", fingerprint(&clip, &prompts, &Options::default()));
    for name in ["logit_scale", "layers.1.mlp.fc1.bias"] {
        let other = model.clone().scaled(name, 1.001).clip();
        assert_new(name, fingerprint(&other, &prompts, &Options::default()));
    }
    let other_heads = Model { shape: ClipShape { heads_v: 4, ..TINY }, ..model.clone() };
    assert_new("heads", fingerprint(&other_heads.clip(), &prompts, &Options::default()));
    assert_new("no prompts", fingerprint(&clip, &PromptMode::Handcrafted, &Options::default()));
    let mut other = model.clone();
    for (name, tensor) in other.prompts.iter_mut().flatten() {
        if name == "prompts_vis.2" {
            *tensor = (&*tensor * 1.001).unwrap();
        }
    }
    assert_new("prompts", fingerprint(&clip, &other.mode(), &Options::default()));
    let other = Model { words: Words { bad: "bad.".to_owned(), ..Words::default() }, ..model.clone() };
    assert_new("words", fingerprint(&clip, &other.mode(), &Options::default()));
    for views in ["stride=32", "grid=4", "random=4", "random=4,seed=1", "window=256", "sees=local", "sees=global"] {
        assert_new(views, fingerprint(&clip, &prompts, &options(views)));
    }
    for arithmetic in [Arithmetic::Bf16, Arithmetic::F16] {
        let options = Options { arithmetic, ..Options::default() };
        assert_new(arithmetic.as_str(), fingerprint(&clip, &prompts, &options));
    }
}

#[test]
fn the_fingerprint_does_not_depend_on_files_or_backend() {
    let dir = tempfile::tempdir().unwrap();
    let mut prints = BTreeSet::new();
    for shards in [1, 3] {
        let dir = dir.path().join(shards.to_string());
        let (salt, shape) = ("fingerprint", TINY);
        HfDir { salt, shape, shards }.write(&dir);
        let clip = ClipWeights::open(&dir).unwrap();
        let prompts = PromptMode::Learned(Prompts::open(&dir.join("prompts.safetensors"), clip.config()).unwrap());
        for kernels in [KernelSet::Native, KernelSet::Candle] {
            let options = Options { kernels, ..options("stride=64,window=224") };
            prints.insert(fingerprint(&clip, &prompts, &options));
        }
        // The placement of windows does not matter if the model only sees the whole picture.
        let global = ["sees=global", "sees=global,stride=32"].map(|v| fingerprint(&clip, &prompts, &options(v)));
        assert_eq!(global[0], global[1]);
    }
    assert_eq!(prints.len(), 1, "shards and backends do not change the fingerprint");
}

/// Returns the error for a scorer with these prompts and a model of this shape.
fn scorer_error(shape: ClipShape, prompts: &PromptMode) -> ModelError {
    Scorer::new(&Model::handcrafted(shape).clip(), prompts, &Options::default()).err().unwrap()
}

#[test]
fn prompts_of_another_model_are_refused() {
    let prompts = Model::learned(TINY).mode();
    let text = |shape| dqa_testkit::chain(&scorer_error(shape, &prompts));
    assert_eq!(
        text(ClipShape { layers_v: 2, ..TINY }),
        "cannot read the prompts: memory has `prompts_vis` for 3 layers, but the model has only 2 there"
    );
    let other = text(ClipShape { width_t: 128, ..TINY });
    assert!(other.contains("prompts_text.0 is (8, 64), not (8, 128)"), "{other}");
}

#[test]
fn one_layer_is_too_few() {
    let error = scorer_error(ClipShape { layers_v: 1, ..TINY }, &PromptMode::Handcrafted);
    assert!(matches!(error, ModelError::TooFewLayers { layers: 1 }));
}

#[test]
fn the_requested_instruction_set_is_used() {
    // The children of `in_each_instruction_set` rely on this.
    if let Ok(name) = std::env::var("DQA_CPU_ISA") {
        assert_eq!(Isa::current().to_string(), name);
    }
    assert!(Isa::available().any(|isa| isa == Isa::current()));
}
