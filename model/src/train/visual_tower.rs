//! The visual tower with gradients: groups of windows run on one thread each; the caller adds up their sums.

use super::attention::{MultiHeadAttention, WindowGroup};
use super::layer::{BackwardOutputs, Layer, LayerScratch, LayerSpec, SavedActivations, resized, zeros};
use super::linear::{Source, TrainedLinear, TrainedNorm};
use super::loss::{LossSums, ScoreLoss};
use super::parameters::{Gradients, ParameterId, add};
use super::prompt_projection::ProjectedPrompts;
use super::step_types::Example;
use crate::Rgb8;
use crate::cpu::Epilogue;
use crate::picture::patches::PixelNormalizer;
use crate::picture::{INPUT_SIDE, Origin, ViewMode};

/// The tower's tensors, ready for a step.
pub(super) struct TrainedVisualTower {
    sees: ViewMode,
    width: usize,
    grid: usize,
    patch: usize,
    pixels: PixelNormalizer,
    embedding: TrainedLinear,
    class: Vec<f32>,
    /// (1 + patches, d)
    positions: Vec<f32>,
    /// The ids of class and positions, if they are trained.
    parameter_ids: Option<[ParameterId; 2]>,
    pre_norm: TrainedNorm,
    layers: Vec<Layer>,
    post_norm: TrainedNorm,
    projection: TrainedLinear,
}

/// The prompts in the layers' form in one step.
pub(super) struct LayerPrompts {
    /// For layers that replace their prompts: the rows (p, d) and their projections (p, 3 d); otherwise empty.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
    /// The prompts that join the rows at this layer and stay: (layer, (p, d)).
    joining: Option<(usize, Vec<f32>)>,
}

/// Sums of gradients over windows.
pub(super) struct GradientSums {
    pub(super) own: Gradients,
    pub(super) head: LossSums,
    /// Gradients at the projections of the prompts that are keys, by layer, and at the rows that join.
    keys: Vec<Vec<f32>>,
    joining: Vec<f32>,
}

/// Buffers of one thread: the activations that a group's forward pass saves, and scratch.
#[derive(Default)]
pub(super) struct ThreadBuffers {
    patches: Vec<f32>,
    /// (windows tokens, d): before the first norm.
    embedded: Vec<f32>,
    saved: Vec<SavedActivations>,
    class: Vec<f32>,
    features: Vec<f32>,
    gradients: [Vec<f32>; 2],
    scratch: LayerScratch,
}

impl TrainedVisualTower {
    pub(super) fn new(source: Source<'_>, sees: ViewMode) -> TrainedVisualTower {
        let config = &source.weights.config().vision;
        let heads = MultiHeadAttention { count: config.heads, width: config.width, is_causal: false };
        let layer = |layer| {
            Layer::new(
                source,
                &LayerSpec { tower: "vision_model", layer, eps: config.eps, activation: config.activation, heads },
            )
        };
        let [class, positions] =
            ["class_embedding", "position_embedding.weight"].map(|name| format!("vision_model.embeddings.{name}"));
        TrainedVisualTower {
            sees,
            width: config.width,
            grid: config.grid(),
            patch: config.patch,
            pixels: PixelNormalizer::new(),
            embedding: TrainedLinear::unbiased(source, "vision_model.embeddings.patch_embedding.weight"),
            parameter_ids: source.find(&class).zip(source.find(&positions)).map(Into::into),
            class: source.get(&class),
            positions: source.get(&positions),
            pre_norm: TrainedNorm::new(source, "vision_model.pre_layrnorm", config.eps),
            layers: (0..config.layers).map(layer).collect(),
            post_norm: TrainedNorm::new(source, "vision_model.post_layernorm", config.eps),
            projection: TrainedLinear::unbiased(source, "visual_projection.weight"),
        }
    }

    fn parts(&self) -> usize {
        if self.sees == ViewMode::Both { 2 } else { 1 }
    }

    /// Returns the number of rows before prompts join.
    fn tokens(&self) -> usize {
        1 + self.parts() * self.grid * self.grid
    }

    /// Passes the prompts of the first layers through the norm and the projections of their layers.
    pub(super) fn keys(&self, prompts: &ProjectedPrompts) -> LayerPrompts {
        let depth = prompts.layers.len();
        let joins = (depth > 0 && depth < self.layers.len()).then(|| depth - 1);
        let mut scratch = LayerScratch::default();
        let mut keys = LayerPrompts { layers: Vec::new(), joining: None };
        for (l, layer) in self.layers.iter().enumerate() {
            let mut pair = (Vec::new(), Vec::new());
            if let Some(entering) = prompts.layers.get(l) {
                let rows = self.before_layer(l, entering);
                if joins == Some(l) {
                    keys.joining = Some((l, rows));
                } else {
                    layer.project(&rows, &mut pair.1, &mut scratch);
                    pair.0 = rows;
                }
            }
            keys.layers.push(pair);
        }
        keys
    }

    // REFERENCE: prompts before the first layer pass the norm there, those of later layers do not.
    fn before_layer(&self, layer: usize, entering: &[f32]) -> Vec<f32> {
        let mut rows = entering.to_vec();
        if layer == 0 {
            self.pre_norm.forward(entering, &mut rows);
        }
        rows
    }

    /// Turns the sums over all windows into the gradients at the prompts as they entered, and adds those of the tower's
    /// tensors on that path.
    pub(super) fn keys_backward(
        &self,
        prompts: &ProjectedPrompts,
        keys: &LayerPrompts,
        sums: &mut GradientSums,
    ) -> Vec<Vec<f32>> {
        let mut scratch = LayerScratch::default();
        let mut gradients = Vec::new();
        for (l, entering) in prompts.layers.iter().enumerate() {
            let mut gradient = vec![0.0; entering.len()];
            match &keys.joining {
                Some((joining_layer, _)) if *joining_layer == l => gradient.copy_from_slice(&sums.joining),
                _ => {
                    let (rows, _) = &keys.layers[l];
                    self.layers[l].project_backward(rows, &sums.keys[l], &mut gradient, &mut sums.own, &mut scratch);
                }
            }
            if l == 0 {
                let normed_gradient = std::mem::replace(&mut gradient, vec![0.0; entering.len()]);
                self.pre_norm.backward(entering, &normed_gradient, &mut gradient, &mut sums.own);
            }
            gradients.push(gradient);
        }
        gradients
    }

    /// Returns the group's shape at a layer.
    fn group(&self, windows: usize, layer: usize, keys: &LayerPrompts) -> WindowGroup {
        let joined = keys
            .joining
            .as_ref()
            .filter(|(joining_layer, _)| layer >= *joining_layer)
            .map_or(0, |(_, rows)| rows.len() / self.width);
        let tokens = self.tokens() + joined;
        let is_last = layer + 1 == self.layers.len();
        WindowGroup { windows, tokens, queries: if is_last { 1 } else { tokens } }
    }

    /// Runs a group's windows forward and, if `learns`, backward; adds everything to `sums`.
    pub(super) fn run(
        &self,
        examples: &[Example],
        keys: &LayerPrompts,
        loss: ScoreLoss<'_>,
        learns: bool,
        (sums, memory): (&mut GradientSums, &mut ThreadBuffers),
    ) {
        self.embed(examples, memory);
        self.forward(examples.len(), keys, memory);
        let embed = self.projection.outputs();
        for (features, example) in memory.features.chunks_exact_mut(embed).zip(examples) {
            loss.window(features, example.target, &mut sums.head);
        }
        if learns {
            self.backward(examples.len(), keys, sums, memory);
        }
    }

    fn pictures<'a>(&self, example: &'a Example) -> impl Iterator<Item = &'a Rgb8> {
        let sees = self.sees;
        let local = example.local.as_ref().filter(|_| sees != ViewMode::Global);
        local.into_iter().chain(example.whole.as_deref().filter(|_| sees != ViewMode::Local))
    }

    /// Computes the rows before the first layer, into `memory.saved[0].x`.
    fn embed(&self, examples: &[Example], memory: &mut ThreadBuffers) {
        let (d, patches) = (self.width, self.grid * self.grid);
        let corner =
            |i: usize| Origin { x: (i % self.grid * self.patch) as u32, y: (i / self.grid * self.patch) as u32 };
        let corners: Vec<Origin> = (0..patches).map(corner).collect();
        memory.patches.clear();
        for picture in examples.iter().flat_map(|example| self.pictures(example)) {
            assert!(picture.width() == INPUT_SIDE && picture.height() == INPUT_SIDE, "views have the model's size");
            memory.patches.extend(self.pixels.gather(picture, &corners, self.patch));
        }
        let rows = examples.len() * self.parts() * patches;
        let inputs = 3 * self.patch * self.patch;
        assert_eq!(memory.patches.len(), rows * inputs, "every example has the views that the model looks at");
        let embedded = resized(&mut memory.features, rows * d);
        self.embedding.forward(&memory.patches, Epilogue::Store, embedded, &mut memory.scratch.gemm);
        let sums = zeros(&mut memory.embedded, examples.len() * self.tokens() * d);
        let windows = sums.chunks_exact_mut(self.tokens() * d).zip(embedded.chunks_exact(self.parts() * patches * d));
        for (sums, embedded) in windows {
            sums[..d].copy_from_slice(&self.class);
            add(&mut sums[..d], &self.positions[..d]);
            sums[d..].copy_from_slice(embedded);
            sums[d..].chunks_exact_mut(patches * d).for_each(|part| add(part, &self.positions[d..]));
        }
        memory.saved.resize_with(self.layers.len(), SavedActivations::default);
        self.pre_norm.forward(&memory.embedded, resized(&mut memory.saved[0].x, memory.embedded.len()));
    }

    /// Computes features (windows, embed), of any length, into `memory.features`.
    fn forward(&self, windows: usize, keys: &LayerPrompts, memory: &mut ThreadBuffers) {
        let ThreadBuffers { saved, class, features, scratch, .. } = memory;
        let mut x = std::mem::take(&mut saved[0].x);
        for (l, (layer, saved)) in self.layers.iter().zip(saved.iter_mut()).enumerate() {
            let group = self.group(windows, l, keys);
            match &keys.joining {
                Some((joining_layer, rows)) if *joining_layer == l => self.join(&x, rows, &mut saved.x),
                _ => std::mem::swap(&mut saved.x, &mut x),
            }
            layer.forward(group, &keys.layers[l].1, saved, &mut x, scratch);
        }
        std::mem::swap(class, &mut x);
        let mut normed = vec![0.0; class.len()];
        self.post_norm.forward(class, &mut normed);
        let features = resized(features, windows * self.projection.outputs());
        self.projection.forward(&normed, Epilogue::Store, features, &mut scratch.gemm);
    }

    /// Appends the prompts' rows to each window's rows.
    fn join(&self, x: &[f32], rows: &[f32], out: &mut Vec<f32>) {
        out.clear();
        for window in x.chunks_exact(self.tokens() * self.width) {
            out.extend_from_slice(window);
            out.extend_from_slice(rows);
        }
    }

    /// Runs backward from the gradient at the features, in `memory.features`.
    fn backward(&self, windows: usize, keys: &LayerPrompts, sums: &mut GradientSums, memory: &mut ThreadBuffers) {
        let ThreadBuffers { saved, class, features, gradients: [gradient, input_gradient], scratch, .. } = memory;
        let mut normed = vec![0.0; class.len()];
        self.post_norm.forward(class, &mut normed);
        self.projection.accumulate_gradients(&normed, features, &mut sums.own);
        self.projection.backward(features, Epilogue::Store, &mut normed, &mut scratch.gemm);
        self.post_norm.backward(class, &normed, zeros(gradient, class.len()), &mut sums.own);
        let first = if self.parameter_ids.is_some() { 0 } else { self.first_with_prompts(keys) };
        for l in (first..self.layers.len()).rev() {
            let joins = keys.joining.as_ref().is_some_and(|(joining_layer, _)| *joining_layer == l);
            let wanted = self.parameter_ids.is_some() || l > first || joins;
            let to = BackwardOutputs {
                input: wanted.then_some(&mut *input_gradient),
                prompts: &mut sums.keys[l],
                sums: &mut sums.own,
            };
            let forward = (keys.layers[l].1.as_slice(), &saved[l]);
            self.layers[l].backward(self.group(windows, l, keys), forward, gradient, to, scratch);
            if joins {
                self.join_backward(input_gradient, gradient, &mut sums.joining);
            } else {
                std::mem::swap(gradient, input_gradient);
            }
        }
        if self.parameter_ids.is_some() {
            self.embed_backward(windows, sums, memory);
        }
    }

    /// Returns the first layer that a gradient must reach if the tower's own tensors are frozen.
    fn first_with_prompts(&self, keys: &LayerPrompts) -> usize {
        let is_key = |l: &usize| !keys.layers[*l].1.is_empty();
        let joining = keys.joining.as_ref().map(|(joining_layer, _)| *joining_layer);
        (0..self.layers.len()).find(is_key).or(joining).unwrap_or(self.layers.len())
    }

    /// Splits the gradient at rows with prompts after them (windows, tokens + p, d): that of the rows goes to `out`,
    /// that of the prompts is added to `row_gradients`.
    fn join_backward(&self, joined_gradient: &[f32], out: &mut Vec<f32>, row_gradients: &mut [f32]) {
        let own = self.tokens() * self.width;
        out.clear();
        for window in joined_gradient.chunks_exact(own + row_gradients.len()) {
            out.extend_from_slice(&window[..own]);
            add(row_gradients, &window[own..]);
        }
    }

    /// Runs backward from the gradient before the first layer, in `memory.gradients[0]`.
    fn embed_backward(&self, windows: usize, sums: &mut GradientSums, memory: &mut ThreadBuffers) {
        let ThreadBuffers { patches, embedded, gradients: [gradient, embedded_gradient], .. } = memory;
        let d = self.width;
        let embedded_gradient = zeros(embedded_gradient, embedded.len());
        self.pre_norm.backward(embedded, gradient, embedded_gradient, &mut sums.own);
        let [class, positions] = self.parameter_ids.expect("the tower learns");
        let part = self.grid * self.grid * d;
        let windows =
            embedded_gradient.chunks_exact(self.tokens() * d).zip(patches.chunks_exact(patches.len() / windows));
        for (gradient, patches) in windows {
            let (class_gradient, patch_gradients) = gradient.split_at(d);
            add(sums.own.get_mut(class), class_gradient);
            let position_gradients = sums.own.get_mut(positions);
            add(&mut position_gradients[..d], class_gradient);
            patch_gradients.chunks_exact(part).for_each(|part| add(&mut position_gradients[d..], part));
            self.embedding.accumulate_gradients(patches, patch_gradients, &mut sums.own);
        }
    }
}

impl GradientSums {
    pub(super) fn new(own: Gradients, keys: &LayerPrompts, embed: usize) -> GradientSums {
        GradientSums {
            own,
            head: LossSums { text: vec![0.0; 2 * embed], ..LossSums::default() },
            keys: keys.layers.iter().map(|(_, projected)| vec![0.0; projected.len()]).collect(),
            joining: vec![0.0; keys.joining.as_ref().map_or(0, |(_, rows)| rows.len())],
        }
    }

    /// Adds the sums of the next windows.
    pub(super) fn add(&mut self, other: GradientSums) {
        self.own.add(&other.own);
        self.head.errors += other.head.errors;
        self.head.scale += other.head.scale;
        self.head.scores.extend(other.head.scores);
        add(&mut self.head.text, &other.head.text);
        self.keys.iter_mut().zip(&other.keys).for_each(|(sum, values)| add(sum, values));
        add(&mut self.joining, &other.joining);
    }
}
