//! Compares each trained tensor's gradient with the change of the loss along it. `training.rs` tests the loss itself.

#![allow(clippy::unwrap_used)] // also in helper functions, which clippy does not treat as tests

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use dqa_model::train::{Example, Trainable, Trainer, TrainerOptions};
use dqa_model::{
    Activation, ClipConfig, ClipWeights, PromptInit, PromptMode, PromptShape, Prompts, Rgb8, ViewMode, Words,
};
use dqa_testkit::{HfDir, Picture, hf};

const TOKENS: &str = "text_model.embeddings.token_embedding.weight";

/// Everything that determines a loss.
#[derive(Clone)]
struct Model {
    config: ClipConfig,
    weights: HashMap<String, Tensor>,
    prompts: HashMap<String, Tensor>,
    options: TrainerOptions,
}

impl Model {
    fn tiny(trainable: Trainable, sees: ViewMode) -> Model {
        let shape = dqa_testkit::ClipShape::TINY;
        let dir = HfDir { salt: "gradients", shape, shards: 1 };
        let tensors = |named: Vec<dqa_testkit::NamedTensor>| {
            let tensor = |t: dqa_testkit::NamedTensor| {
                let values = Tensor::from_vec(t.values, t.shape.as_slice(), &Device::Cpu).unwrap();
                (t.name, values)
            };
            named.into_iter().map(tensor).collect::<HashMap<_, _>>()
        };
        let config = ClipConfig::read(&hf::cached("tiny", "gradients").join("config.json")).unwrap();
        let options = TrainerOptions { trainable, sees, ..TrainerOptions::default() };
        let mut weights = tensors(dir.weights());
        // With CLIP's scale of 100, the scores of these weights are near 0 and 1, where gradients vanish.
        weights.insert("logit_scale".into(), Tensor::new(2.0f32, &Device::Cpu).unwrap());
        Model { config, weights, prompts: tensors(dir.prompts()), options }
    }

    fn with_activation(mut self, activation: Activation) -> Model {
        (self.config.vision.activation, self.config.text.activation) = (activation, activation);
        self
    }

    fn trainer(&self) -> Trainer {
        let weights = ClipWeights::from_tensors(self.config.clone(), self.weights.clone()).unwrap();
        let mode = if self.prompts.is_empty() {
            PromptMode::Handcrafted
        } else {
            PromptMode::Learned(Prompts::from_tensors(self.prompts.clone(), Words::default(), &self.config).unwrap())
        };
        Trainer::new(&weights, &mode, &self.options).unwrap()
    }

    /// Returns the model with `direction * distance` added to the tensor `name`.
    fn moved(&self, name: &str, direction: &Tensor, distance: f64) -> Model {
        let mut model = self.clone();
        let tensors = if model.prompts.contains_key(name) { &mut model.prompts } else { &mut model.weights };
        let tensor = tensors.get_mut(name).unwrap();
        *tensor = (&*tensor + (direction * distance).unwrap()).unwrap();
        model
    }
}

fn batch(sees: ViewMode) -> Vec<Example> {
    let picture = |seed| {
        let picture = Picture::synthetic(seed, 224, 224);
        Rgb8::new(224, 224, picture.rgb)
    };
    let example = |i: u64| Example {
        local: (sees != ViewMode::Global).then(|| picture(2 * i)),
        whole: (sees != ViewMode::Local).then(|| Arc::new(picture(2 * i + 1))),
        target: 0.1 + 0.2 * i as f32,
    };
    (0..5).map(example).collect()
}

/// Compares the gradient of each tensor that `filter` selects with the slope of the loss along it.
fn check_slopes(model: &Model, filter: impl Fn(&str) -> bool) {
    let batch = batch(model.options.sees);
    let (_, gradients) = model.trainer().gradients(&batch).unwrap();
    for (name, gradient) in gradients.iter().filter(|(name, _)| filter(name)) {
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let is_key_bias = name.ends_with("k_proj.bias");
        assert!(norm > 0.0, "{name} gets a gradient");
        if is_key_bias {
            // It moves all scores of a query equally, which softmax ignores, so its gradient is only rounding.
            assert!(norm < 1e-6, "{name}: {norm}");
            continue;
        }
        if name == TOKENS {
            continue; // only the rows of tokens that occur get a gradient, and it has the shape of the positions
        }
        let tensors = if model.prompts.contains_key(name) { &model.prompts } else { &model.weights };
        let direction = Tensor::from_slice(gradient, tensors[name].dims(), &Device::Cpu).unwrap();
        let direction = (direction / norm).unwrap();
        // The loss moves by about 1e-3, far more than its rounding and the f16 steps of prompts. Combining two
        // differences cancels the third derivative.
        let step = (1e-3 / norm).min(0.2);
        let loss = |distance: f64| model.moved(name, &direction, distance).trainer().gradients(&batch).unwrap().0.loss;
        let difference = |step: f64| (loss(step) - loss(-step)) / (2.0 * step);
        let slope = (4.0 * difference(step / 2.0) - difference(step)) / 3.0;
        assert!((slope / norm - 1.0).abs() < 0.02, "{name}: slope {slope}, gradient {norm}, step {step}");
    }
}

#[test]
fn gradients_of_prompts_equal_slopes() {
    check_slopes(&Model::tiny(Trainable::Prompts, ViewMode::Both), |_| true);
}

#[test]
fn gradients_of_all_of_clip_equal_slopes() {
    check_slopes(&Model::tiny(Trainable::All, ViewMode::Both), |name| !name.starts_with("prompt"));
}

#[test]
fn gradients_without_prompts_and_with_one_view_equal_slopes() {
    for sees in [ViewMode::Local, ViewMode::Global] {
        let mut model = Model::tiny(Trainable::All, sees);
        model.prompts.clear();
        check_slopes(&model, |name| name.contains("embedding") || name.contains("pre_layrnorm"));
    }
}

#[test]
fn gradients_of_gelu_equal_slopes() {
    let model = Model::tiny(Trainable::All, ViewMode::Global).with_activation(Activation::Gelu);
    check_slopes(&model, |name| name.contains("layers.1.mlp.fc1"));
}

/// Returns the norm of the difference divided by the norm of the expected values.
fn relative_difference(values: &[f32], expected: &[f32]) -> f64 {
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let difference = square(&mut values.iter().zip(expected).map(|(a, b)| a - b));
    (difference / square(&mut expected.iter().copied())).sqrt()
}

#[test]
fn cpu_engine_gradients_equal_candles_for_every_prompt_shape() {
    let words = Words { bad: "a hazy photo.".into(), good: "a clear photo of a scene.".into() };
    let shapes = [(8, 3, 8, 3), (4, 1, 6, 2), (0, 0, 5, 1), (3, 2, 0, 0)];
    let (quick, gelu) = (Activation::QuickGelu, Activation::Gelu);
    let models = [(ViewMode::Both, quick), (ViewMode::Local, gelu), (ViewMode::Both, gelu), (ViewMode::Global, quick)];
    for ((text_len, text_depth, visual_len, visual_depth), (sees, activation)) in shapes.into_iter().zip(models) {
        let mut model = Model::tiny(Trainable::All, sees).with_activation(activation);
        let weights = ClipWeights::from_tensors(model.config.clone(), model.weights.clone()).unwrap();
        let shape = PromptShape { text_len, text_depth, visual_len, visual_depth };
        let prompts = Prompts::initial(&weights, shape, words.clone(), &PromptInit::Random, 5).unwrap();
        let batch = batch(sees);
        let mut gradients = |use_candle| {
            model.options.use_candle = use_candle;
            let mode = PromptMode::Learned(prompts.clone());
            Trainer::new(&weights, &mode, &model.options).unwrap().gradients(&batch).unwrap()
        };
        let ((cpu, cpu_gradients), (candle, candle_gradients)) = (gradients(false), gradients(true));
        assert!((cpu.loss / candle.loss - 1.0).abs() < 1e-5, "{} {}", cpu.loss, candle.loss);
        for (name, gradient) in cpu_gradients.iter().filter(|(name, _)| !name.ends_with("k_proj.bias")) {
            let difference = relative_difference(gradient, &candle_gradients[name]);
            assert!(difference < 1e-3, "{shape:?} {name}: {difference}");
        }
    }
}

#[test]
fn trained_tensors_have_the_same_gradients_as_when_all_are_trained() {
    let batch = batch(ViewMode::Both);
    let (_, all) = Model::tiny(Trainable::All, ViewMode::Both).trainer().gradients(&batch).unwrap();
    let text = |name: &str| name.starts_with("prompts_text.") || name.starts_with("prompt_txt_");
    let visual = |name: &str| name.starts_with("prompts_vis.") || name.starts_with("prompt_vis_");
    let tower =
        |name: &str| name.starts_with("vision_model.") || ["visual_projection.weight", "logit_scale"].contains(&name);
    type IsTrained<'a> = &'a dyn Fn(&str) -> bool;
    let kinds: [(Trainable, IsTrained<'_>); 3] = [
        (Trainable::Text, &text),
        (Trainable::Visual, &visual),
        (Trainable::Vision, &|name| visual(name) || tower(name)),
    ];
    for ((trainable, is_trained), use_candle) in kinds.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let mut model = Model::tiny(trainable, ViewMode::Both);
        model.options.use_candle = use_candle;
        let (_, gradients) = model.trainer().gradients(&batch).unwrap();
        let expected: Vec<&String> = all.keys().filter(|name| is_trained(name)).collect();
        assert_eq!(gradients.keys().collect::<Vec<_>>(), expected, "{trainable:?}");
        for (name, gradient) in gradients.iter().filter(|(name, _)| !name.ends_with("k_proj.bias")) {
            let difference = relative_difference(gradient, &all[name]);
            assert!(difference < 1e-3, "{trainable:?} {name}: {difference}");
        }
    }
}

#[test]
fn the_patch_embedding_has_its_own_learning_rate() {
    const PATCHES: &str = "vision_model.embeddings.patch_embedding.weight";
    let mut model = Model::tiny(Trainable::All, ViewMode::Both);
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let before = values(&model.weights[PATCHES]);
    let mut moved = |patch_lr| {
        model.options.patch_lr = patch_lr;
        let mut trainer = model.trainer();
        trainer.step(&batch(ViewMode::Both), 1e-3).unwrap();
        let after = values(&trainer.weights().get(PATCHES).unwrap());
        before.iter().zip(after).map(|(before, after)| f64::from(after - before).abs()).sum::<f64>()
    };
    let [none, part, whole] = [0.0, 0.25, 1.0].map(&mut moved);
    assert_eq!(none, 0.0);
    assert!((part / whole - 0.25).abs() < 1e-3, "{part} of {whole}");
}

#[test]
fn gradients_are_finite_for_large_activations_in_both_engines() {
    // exp(1.702 * 60) is infinite in f32. A gradient that is computed from it would not be finite.
    let mut model = Model::tiny(Trainable::Prompts, ViewMode::Both);
    let bias = "vision_model.encoder.layers.1.mlp.fc1.bias";
    let shifted = (&model.weights[bias] - 60.0).unwrap();
    model.weights.insert(bias.into(), shifted);
    for use_candle in [false, true] {
        model.options.use_candle = use_candle;
        model.trainer().step(&batch(ViewMode::Both), 1e-3).unwrap();
    }
}

#[test]
fn a_resumed_training_is_bit_identical() {
    let model = Model::tiny(Trainable::Prompts, ViewMode::Both);
    let batch = batch(ViewMode::Both);
    let mut uninterrupted = model.trainer();
    uninterrupted.step(&batch, 1e-3).unwrap();
    let saved = uninterrupted.save();
    uninterrupted.step(&batch, 1e-3).unwrap();
    let mut resumed = model.trainer();
    resumed.restore(&saved).unwrap();
    assert_eq!(resumed.steps(), 1);
    resumed.step(&batch, 1e-3).unwrap();
    assert_eq!(resumed.save(), uninterrupted.save());
    let other = Model::tiny(Trainable::Text, ViewMode::Both);
    let error = other.trainer().restore(&saved).unwrap_err();
    assert!(error.to_string().starts_with("the saved state belongs to another training"), "{error}");
}

#[test]
fn a_nan_label_fails_the_step_and_changes_nothing() {
    let model = Model::tiny(Trainable::Prompts, ViewMode::Both);
    let mut trainer = model.trainer();
    let mut batch = batch(ViewMode::Both);
    batch[2].target = f32::NAN;
    let before = trainer.save();
    let error = trainer.step(&batch, 1e-3).unwrap_err();
    assert_eq!(error.to_string(), "step 1: the loss is not finite; a lower learning rate may help");
    assert_eq!(trainer.save(), before);
}
