//! Tests that the optimisations of `dqa-model` are exact: its features and scores equal those of the plain form
//! ([`support::plain`]), up to f32 rounding, for every kind of model and views. Each optimisation is also tested by
//! itself, on weights that would reveal a mistake in it.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

mod support;

use dqa_model::{Arithmetic, KernelSet, Options, Prepared, Rgb8, Words};
use dqa_testkit::{ClipShape, PromptShape};
use support::plain::Oddities;
use support::{Difference, Model, options, picture, scores, views};

const TINY: ClipShape = ClipShape::TINY;

/// Returns a picture of four windows at the paper's stride, with pixels left over on both sides.
fn four_windows() -> Rgb8 {
    picture(1, 300, 310)
}

/// Asserts that all backends agree with the plain form on this picture.
fn assert_agrees(model: &Model, views_text: &str, picture: &Rgb8) {
    for kernels in [KernelSet::Native, KernelSet::Candle] {
        let options = Options { kernels, ..options(views_text) };
        let difference = Difference::between(model, &options, &Oddities::AUTHORS, picture);
        assert!(
            difference.in_tolerances().iter().all(|d| *d <= 1.0),
            "{:?} with {views_text}, {kernels:?}: {difference:?}",
            model.shape
        );
    }
    let reference = Options { kernels: KernelSet::Reference, arithmetic: Arithmetic::F16, ..options(views_text) };
    let Difference { feature, window, .. } = Difference::between(model, &reference, &Oddities::AUTHORS, picture);
    assert!(feature <= 1e-3 && window <= 3e-3, "{:?} with {views_text}, reference: {feature}, {window}", model.shape);
}

#[test]
fn learned_and_handcrafted_prompts_in_each_view_mode() {
    for model in [Model::learned(TINY), Model::handcrafted(TINY)] {
        for sees in ["sees=both", "sees=local", "sees=global"] {
            assert_agrees(&model, sees, &four_windows());
        }
    }
}

/// Tests towers such as those of ViT-L/14, which have 24 and 12 layers.
#[test]
fn towers_of_unequal_depth() {
    for (layers_v, layers_t) in [(5, 2), (2, 4)] {
        let shape = ClipShape { layers_v, layers_t, ..TINY };
        assert_agrees(&Model::handcrafted(shape), "sees=both", &four_windows());
        assert_agrees(&Model::learned(shape), "sees=both", &four_windows());
    }
}

#[test]
fn every_window_placement() {
    let model = Model::learned(TINY);
    for placement in ["stride=64", "stride=32", "stride=17", "grid=6", "random=5,seed=3"] {
        assert_agrees(&model, placement, &picture(2, 275, 260));
    }
    for fragments in ["fragments", "sees=local,fragments=8"] {
        assert_agrees(&model, fragments, &picture(2, 275, 260));
    }
}

#[test]
fn windows_of_another_size_are_resized() {
    let model = Model::learned(TINY);
    for window in ["window=256", "window=256,stride=17", "window=100,grid=3"] {
        assert_agrees(&model, window, &picture(3, 290, 270));
    }
}

#[test]
fn prompts_of_any_length_in_either_tower() {
    for (len_v, len_t) in [(1, 1), (3, 5), (21, 2), (60, 60)] {
        let prompts = PromptShape { len_v, len_t, ..TINY.prompts() };
        assert_agrees(&Model::with_prompts(TINY, prompts), "grid=2", &picture(4, 240, 230));
    }
}

/// Tests prompts that end before the layers do, so that the last prompts continue as rows: from the first layer, from a
/// middle one or from the last but one. The other tower has prompts in all layers or in none.
#[test]
fn prompts_of_any_depth_in_either_tower() {
    let shape = ClipShape { layers_v: 4, layers_t: 4, ..TINY };
    for (depth_v, depth_t) in [(1, 4), (2, 1), (3, 0), (4, 3), (0, 2)] {
        let prompts = PromptShape { depth_v, depth_t, ..shape.prompts() };
        for sees in ["sees=both,grid=2", "sees=local,grid=2", "sees=global"] {
            assert_agrees(&Model::with_prompts(shape, prompts), sees, &picture(13, 250, 240));
        }
    }
    let long = PromptShape { depth_v: 2, len_v: 60, ..shape.prompts() };
    assert_agrees(&Model::with_prompts(shape, long), "sees=local", &picture(14, 230, 230));
}

#[test]
fn other_words_of_any_length() {
    let model = Model::learned(TINY);
    for (bad, good) in [("good photo.", "bad photo."), ("bad bad bad photo.", "good."), ("bad", "bad good photo.")] {
        let words = Words { bad: bad.to_owned(), good: good.to_owned() };
        assert_agrees(&Model { words, ..model.clone() }, "sees=global", &picture(15, 30, 20));
    }
}

#[test]
fn patches_of_16_and_of_14_pixels() {
    for patch in [16, 14] {
        let model = Model::learned(ClipShape { patch, ..TINY });
        assert_agrees(&model, "stride=64", &picture(5, 290, 224));
        assert_agrees(&model, "stride=28,sees=local", &picture(5, 260, 224));
    }
}

#[test]
fn other_heads_and_widths() {
    let shapes = [
        ClipShape { heads_t: 4, ..TINY },
        ClipShape { heads_v: 8, ..TINY },
        // Neither width is a multiple of the kernels' panels.
        ClipShape { width_v: 72, heads_v: 3, width_t: 40, heads_t: 5, embed_dim: 50, ..TINY },
    ];
    for shape in shapes {
        assert_agrees(&Model::learned(shape), "grid=2", &picture(6, 240, 230));
    }
}

#[test]
fn vit_b_32() {
    let model = Model::learned(ClipShape::VIT_B_32);
    let difference = Difference::between(&model, &Options::default(), &Oddities::AUTHORS, &picture(7, 290, 240));
    assert!(difference.in_tolerances().iter().all(|d| *d <= 1.0), "{difference:?}");
}

#[test]
fn sentence_padding_is_skipped() {
    // The sentences have 65 and 5 tokens. The plain form pads both to 77.
    let long = PromptShape { len_t: 60, ..TINY.prompts() };
    for model in [Model::with_prompts(TINY, long), Model::handcrafted(TINY)] {
        // With large position embeddings, tokens past the end would change the features.
        let model = model.scaled("text_model.embeddings.position_embedding.weight", 30.0);
        assert_agrees(&model, "sees=global", &picture(8, 30, 20));
    }
}

#[test]
fn prompts_are_constant_keys_and_values() {
    // There are more prompts than image tokens.
    let many = PromptShape { len_v: 60, ..TINY.prompts() };
    assert_agrees(&Model::with_prompts(TINY, many), "sees=local", &picture(9, 230, 230));
}

/// The formula's biases are at most 0.02. Times 50, they are as large as the activations.
const BIAS_FACTOR: f64 = 50.0;

#[test]
fn dropping_the_key_bias_is_exact() {
    assert_agrees(&Model::learned(TINY).scaled("k_proj.bias", BIAS_FACTOR), "grid=2", &four_windows());
}

#[test]
fn folding_the_value_bias_into_the_output_is_exact() {
    assert_agrees(&Model::learned(TINY).scaled("v_proj.bias", BIAS_FACTOR), "grid=2", &four_windows());
}

#[test]
fn folding_the_query_scale_into_the_weights_is_exact() {
    assert_agrees(&Model::learned(TINY).scaled("q_proj.bias", BIAS_FACTOR), "grid=2", &four_windows());
}

#[test]
fn quick_gelu_as_silu_with_folded_factor_is_exact() {
    let model = Model::learned(TINY).scaled("fc1.bias", BIAS_FACTOR).scaled("fc2.bias", BIAS_FACTOR);
    assert_agrees(&model, "grid=2", &four_windows());
}

#[test]
fn computing_only_the_class_token_in_the_last_layer_is_exact() {
    // With two layers there are only the first and the last one. Six layers add middle ones.
    for layers in [2, 6] {
        let shape = ClipShape { layers_v: layers, layers_t: layers, ..TINY };
        assert_agrees(&Model::learned(shape), "grid=2", &four_windows());
    }
}

#[test]
fn windows_share_the_whole_views_first_layer_only_within_a_picture() {
    let model = Model::learned(TINY);
    let options = options("stride=64");
    let pictures = [four_windows(), picture(10, 300, 224), picture(11, 224, 400)];
    let scorer = model.scorer(&options);
    // Three windows per batch, so that pictures share batches.
    for (picture, together) in pictures.iter().zip(scores(&scorer, &pictures, 3)) {
        let alone = &scores(&scorer, std::slice::from_ref(picture), 100)[0];
        assert_eq!(alone, &together);
        assert_agrees(&model, "stride=64", picture);
    }
}

#[test]
fn sharing_patch_embeddings_between_windows_is_exact() {
    let model = Model::learned(TINY);
    let picture = picture(12, 330, 300);
    for placement in ["stride=64", "stride=32", "stride=17"] {
        // With `sees=local`, a window equals a picture of its own, which shares no patches.
        let views = views(&format!("sees=local,{placement}"));
        let scorer = model.scorer(&Options { views, ..Options::default() });
        let windows: Vec<Rgb8> =
            views.origins(picture.width(), picture.height()).iter().map(|o| picture.crop(o.x, o.y, 224)).collect();
        let alone = scores(&scorer, &windows, 5).iter().map(|s| s.windows[0]).collect::<Vec<_>>();
        assert_eq!(scores(&scorer, std::slice::from_ref(&picture), 5)[0].windows, alone);
        let features = scorer.picture_features(&Prepared::new(picture.clone(), &views).unwrap()).unwrap();
        for (window, features) in windows.iter().zip(features) {
            let alone = Prepared::new(window.clone(), &views).unwrap();
            assert_eq!(scorer.picture_features(&alone).unwrap()[0], features, "{placement}");
        }
    }
}
