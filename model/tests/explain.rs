//! Tests the output of `Explainer`: its scores equal the scorer's, and its attention is correct where it is known in
//! advance.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

mod support;

use candle_core::Tensor;
use dqa_model::{AttentionMap, Explainer, Explanation, Prepared, Rgb8};
use dqa_testkit::{ClipShape, PromptShape};
use support::{Model, options, picture, scores};

fn explain(model: &Model, views: &str, picture: &Rgb8) -> Explanation {
    let explainer = Explainer::new(&model.clip(), &model.mode(), &options(views)).unwrap();
    let mut windows = 0;
    let prepared = Prepared::new(picture.clone(), explainer.scorer().views()).unwrap();
    let explained = explainer.explain(&prepared, |finished| windows += finished).unwrap();
    assert_eq!(windows, explained.windows.len());
    explained
}

/// Returns models with prompts of each depth: without prompts, with rows from some layer on, with keys and values in
/// all layers.
fn models() -> Vec<Model> {
    let shape = ClipShape::TINY;
    let shallow = |depth_v| PromptShape { depth_v, ..shape.prompts() };
    let mut models = vec![Model::handcrafted(shape), Model::learned(shape)];
    models.extend((1..shape.layers_v).map(|depth| Model::with_prompts(shape, shallow(depth))));
    models
}

fn attention_maps(explained: &Explanation) -> impl Iterator<Item = &AttentionMap> {
    explained.windows.iter().flat_map(|window| window.layers.iter().chain([&window.rollout]))
}

#[test]
fn scores_equal_the_scorers_and_attention_sums_to_one() {
    let picture = picture(5, 400, 300);
    for (number, model) in models().iter().enumerate() {
        for views in ["sees=both", "sees=local,grid=10", "sees=global", "window=200,stride=90", "fragments"] {
            let explained = explain(model, views, &picture);
            let expected = &scores(&model.scorer(&options(views)), std::slice::from_ref(&picture), 16)[0];
            assert_eq!(explained.windows.len(), expected.windows.len());
            let pairs = explained.score.windows.iter().zip(&expected.windows);
            let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-5, "model {number}, {views}: {difference}");
            assert!((explained.score.score - expected.score).abs() < 1e-5);
            let patches = explained.grid * explained.grid;
            for attention in attention_maps(&explained) {
                let sides = [attention.whole.len(), attention.window.len()];
                assert_eq!(
                    sides,
                    [usize::from(!views.contains("local")), usize::from(!views.contains("global"))]
                        .map(|n| n * patches)
                );
                let parts =
                    attention.whole.iter().chain(&attention.window).chain([&attention.class, &attention.prompts]);
                assert!(parts.clone().all(|part| *part >= 0.0));
                assert!((parts.sum::<f32>() - 1.0).abs() < 1e-5, "model {number}, {views}");
            }
        }
    }
}

/// Tests that with zero queries all keys get equal attention, from which the rollout follows.
#[test]
fn zero_queries_give_uniform_attention() {
    for model in models() {
        let depth = model
            .prompts
            .as_ref()
            .map_or(0, |prompts| prompts.keys().filter(|name| name.starts_with("prompts_vis.")).count());
        let model = model.scaled("self_attn.q_proj.weight", 0.0).scaled("self_attn.q_proj.bias", 0.0);
        let explained = explain(&model, "sees=both", &picture(6, 224, 224));
        let patches = explained.grid * explained.grid;
        let tokens = 1 + 2 * patches;
        let layers = model.shape.layers_v;
        for (l, layer) in explained.windows[0].layers.iter().enumerate() {
            // If prompts end before the layers do, the last prompts stay in the sequence.
            let expected = 1.0 / (tokens + if depth > 0 { 8 } else { 0 }) as f32;
            for attention in layer.whole.iter().chain(&layer.window).chain([&layer.class]) {
                assert!(
                    (attention - expected).abs() < 1e-6,
                    "layer {l} of {layers}, prompts in {depth}: {attention}, not {expected}"
                );
            }
        }
        // The rollout is a product of matrices. A row holds the shares of the tokens in one token; a prompt only
        // consists of itself.
        let rows = tokens + 8;
        let keys = if depth > 0 { rows } else { tokens };
        let layer = Tensor::from_vec(
            (0..rows * rows)
                .map(|index| {
                    let (row, column) = (index / rows, index % rows);
                    let own = f32::from(row == column);
                    if row >= tokens { own } else { 0.5 * own + if column < keys { 0.5 / keys as f32 } else { 0.0 } }
                })
                .collect(),
            (rows, rows),
            &candle_core::Device::Cpu,
        )
        .unwrap();
        if depth == 0 || depth == layers {
            let product = (1..layers).fold(layer.clone(), |product, _| product.matmul(&layer).unwrap());
            let class: Vec<f32> = product.get(0).unwrap().to_vec1().unwrap();
            let rollout = &explained.windows[0].rollout;
            assert!((rollout.class - class[0]).abs() < 1e-6);
            assert!(rollout.whole.iter().chain(&rollout.window).zip(&class[1..]).all(|(a, b)| (a - b).abs() < 1e-6));
            assert!((rollout.prompts - class[tokens..].iter().sum::<f32>()).abs() < 1e-5);
        }
    }
}

/// Tests that if a patch of the window changes, attention in the first layer changes most at that patch's position.
#[test]
fn patches_are_row_major_from_the_top_left() {
    let model = Model::learned(ClipShape::TINY).scaled("layers.0.self_attn.q_proj.weight", 8.0);
    let before = picture(7, 288, 224);
    let side = 224 / explain(&model, "sees=local", &before).grid;
    for (row, column) in [(0, 3), (2, 5), (6, 0)] {
        let mut pixels = before.pixels().to_vec();
        for y in row * side..(row + 1) * side {
            // The second window begins 64 pixels from the left.
            let left = 64 + column * side;
            pixels[(y * 288 + left) * 3..(y * 288 + left + side) * 3].fill(255);
        }
        let after = Rgb8::new(288, 224, pixels);
        let [before, after] = [&before, &after].map(|picture| explain(&model, "sees=local", picture));
        let changes = before.windows[1].layers[0].window.iter().zip(&after.windows[1].layers[0].window);
        let changes: Vec<f32> = changes.map(|(a, b)| (a - b).abs() / a).collect();
        let most = (0..changes.len()).max_by(|a, b| changes[*a].total_cmp(&changes[*b])).unwrap();
        assert_eq!((most / before.grid, most % before.grid), (row, column));
    }
}
