//! Tests that new prompts match their options, and are equal for equal seeds.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

mod support;

use std::sync::LazyLock;

use candle_core::Tensor;
use dqa_model::{ClipWeights, PromptInit, PromptShape, Prompts, Words};
use dqa_testkit::ClipShape;
use proptest::prelude::*;
use support::Model;

/// A model whose towers have 3 layers and widths of 64 and 128.
static CLIP: LazyLock<ClipWeights> = LazyLock::new(|| Model::handcrafted(ClipShape::TINY).clip());

fn new_prompts(shape: PromptShape, init: &PromptInit, seed: u64) -> Result<Prompts, String> {
    Prompts::initial(&CLIP, shape, Words::default(), init, seed).map_err(|error| dqa_testkit::chain(&error))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn shape() -> impl Strategy<Value = PromptShape> {
    (1..=60usize, 0..=3usize, 1..=60usize, 0..=3usize)
        .prop_map(|(text_len, text_depth, visual_len, visual_depth)| PromptShape {
            text_len: if text_depth == 0 { 0 } else { text_len },
            text_depth,
            visual_len: if visual_depth == 0 { 0 } else { visual_len },
            visual_depth,
        })
        .prop_filter("prompts somewhere", |shape| shape.text_depth + shape.visual_depth > 0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn prompts_have_the_requested_shape(shape in shape(), seed: u64, from_words: bool) {
        let init = if from_words { PromptInit::Words("a clear photo".to_owned()) } else { PromptInit::Random };
        let prompts = new_prompts(shape, &init, seed).unwrap();
        prop_assert_eq!(prompts.shape(), &shape);
        prop_assert_eq!(prompts.digest().unwrap(), new_prompts(shape, &init, seed).unwrap().digest().unwrap());
    }

    #[test]
    fn prompts_do_not_depend_on_those_of_other_layers(shape in shape(), seed: u64) {
        let all = PromptShape { text_depth: 3, visual_depth: 3, text_len: shape.text_len.max(1), visual_len: shape.visual_len.max(1) };
        let all = new_prompts(all, &PromptInit::Random, seed).unwrap();
        for (name, tensor) in new_prompts(shape, &PromptInit::Random, seed).unwrap().tensors() {
            prop_assert_eq!(values(tensor), values(&all.tensors()[name]), "{}", name);
        }
    }
}

const FULL: PromptShape = PromptShape { text_len: 60, text_depth: 3, visual_len: 60, visual_depth: 3 };

#[test]
fn random_prompts_have_the_authors_distribution() {
    let prompts = new_prompts(FULL, &PromptInit::Random, 1).unwrap();
    for (kind, linear, width) in [("text", "txt", 64.0f32), ("vis", "vis", 128.0)] {
        let drawn: Vec<f32> = (0..3).flat_map(|i| values(&prompts.tensors()[&format!("prompts_{kind}.{i}")])).collect();
        let n = drawn.len() as f32;
        let mean = drawn.iter().sum::<f32>() / n;
        let deviation = (drawn.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
        // There are at least 11,520 values, so the standard error of the mean is 2e-4 and that of the deviation 1.3e-4.
        assert!(mean.abs() < 1e-3 && (deviation - 0.02).abs() < 7e-4, "{kind}: {mean} +- {deviation}");
        for part in ["weight", "bias"] {
            let layer = |i: usize| values(&prompts.tensors()[&format!("prompt_{linear}_projections.{i}.{part}")]);
            assert!(layer(0) == layer(1) && layer(0) == layer(2), "all layers start as copies of one");
            let largest = layer(0).iter().fold(0f32, |largest, x| largest.max(x.abs())) * width.sqrt();
            assert!((0.9..=1.0).contains(&largest), "{kind} {part}: {largest}");
        }
    }
    let other = new_prompts(FULL, &PromptInit::Random, 2).unwrap();
    for (name, tensor) in prompts.tensors() {
        assert_ne!(values(tensor), values(&other.tensors()[name]), "{name}");
    }
}

#[test]
fn prompts_from_words_equal_the_words_embeddings() {
    let prompts =
        new_prompts(PromptShape { text_len: 5, ..FULL }, &PromptInit::Words("bad photo.".to_owned()), 1).unwrap();
    let embedded = CLIP.rows("text_model.embeddings.token_embedding.weight", &[2103, 1125, 269, 2103, 1125]);
    for i in 0..3 {
        assert_eq!(values(&prompts.text(i).unwrap()), values(&embedded));
    }
    let random = new_prompts(FULL, &PromptInit::Random, 1).unwrap();
    assert_eq!(values(&prompts.visual(2).unwrap()), values(&random.visual(2).unwrap()));
}

#[test]
fn invalid_shapes_and_words_are_refused() {
    let error = |shape| new_prompts(shape, &PromptInit::Random, 1).unwrap_err();
    assert_eq!(
        error(PromptShape { text_depth: 0, visual_depth: 0, ..FULL }),
        "the new set has prompts in no layer: the depth in one of the towers must be 1 or more"
    );
    assert_eq!(
        error(PromptShape { text_depth: 4, ..FULL }),
        "the new set has `prompts_text` for 4 layers, but the model has only 3 there"
    );
    assert_eq!(
        error(PromptShape { visual_len: 0, ..FULL }),
        "the new set has 0 prompts in a layer of `prompts_vis`; there may be 1 to 60"
    );
    assert_eq!(
        new_prompts(FULL, &PromptInit::Words(" ".to_owned()), 1).unwrap_err(),
        "the words in the new set cannot be used: the sentence ` ` has no word in it"
    );
}
