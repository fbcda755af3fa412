//! The text tower with gradients: two sentences, once per step, on one thread.

use super::attention::{MultiHeadAttention, WindowGroup};
use super::layer::{BackwardOutputs, Layer, LayerScratch, LayerSpec, SavedActivations, zeros};
use super::linear::{Source, TrainedLinear, TrainedNorm};
use super::loss::{to_unit, to_unit_backward};
use super::parameters::{Gradients, ParameterId, add};
use super::prompt_projection::ProjectedPrompts;
use crate::cpu::Epilogue;

pub(super) const TOKEN_EMBEDDING: &str = "text_model.embeddings.token_embedding.weight";
const POSITIONS: &str = "text_model.embeddings.position_embedding.weight";

/// The tower, and the activations of its last forward pass.
pub(super) struct TextTower {
    /// Each sentence as indices into `embedding`; the shorter one is padded with index 0.
    tokens: [Vec<usize>; 2],
    /// The position at which each sentence's feature is read.
    ends: [usize; 2],
    /// Prompts in a layer, after the first token.
    prompt_len: usize,
    width: usize,
    /// (tokens that occur, d)
    embedding: Vec<f32>,
    positions: Vec<f32>,
    /// The ids of embedding and positions, if they are trained.
    parameter_ids: Option<[ParameterId; 2]>,
    layers: Vec<Layer>,
    norm: TrainedNorm,
    projection: TrainedLinear,
    saved: Vec<SavedActivations>,
    ended: Vec<f32>,
    /// (2, embed), of length 1, and their lengths before.
    features: Vec<f32>,
    lengths: [f32; 2],
    scratch: LayerScratch,
}

/// Returns the ids that occur in two sentences, each once, and the sentences as indices into them.
pub(super) fn distinct_tokens(sentences: &[Vec<u32>; 2]) -> (Vec<u32>, [Vec<usize>; 2]) {
    let mut ids: Vec<u32> = sentences.concat();
    ids.sort_unstable();
    ids.dedup();
    let place = |id: &u32| ids.binary_search(id).expect("it occurs");
    let tokens = sentences.each_ref().map(|sentence| sentence.iter().map(place).collect());
    (ids, tokens)
}

impl TextTower {
    pub(super) fn new(source: Source<'_>, sentences: &[Vec<u32>; 2], prompt_len: usize) -> TextTower {
        let config = &source.weights.config().text;
        let (ids, mut tokens) = distinct_tokens(sentences);
        let ends = tokens.each_ref().map(|sentence| sentence.len() - 1);
        // The causal mask hides what follows a sentence's end from it.
        let longest = tokens.iter().map(Vec::len).max().expect("there are two");
        tokens.iter_mut().for_each(|sentence| sentence.resize(longest, 0));
        let find = |name| source.find(name);
        let embedding = match find(TOKEN_EMBEDDING) {
            Some(id) => source.parameters.values(id).to_vec(),
            None => source.weights.rows_values(TOKEN_EMBEDDING, &ids),
        };
        let heads = MultiHeadAttention { count: config.heads, width: config.width, is_causal: true };
        let layer = |layer| {
            Layer::new(
                source,
                &LayerSpec { tower: "text_model", layer, eps: config.eps, activation: config.activation, heads },
            )
        };
        TextTower {
            tokens,
            ends,
            prompt_len,
            width: config.width,
            embedding,
            positions: source.get(POSITIONS),
            parameter_ids: find(TOKEN_EMBEDDING).zip(find(POSITIONS)).map(Into::into),
            layers: (0..config.layers).map(layer).collect(),
            norm: TrainedNorm::new(source, "text_model.final_layer_norm", config.eps),
            projection: TrainedLinear::unbiased(source, "text_projection.weight"),
            saved: (0..config.layers).map(|_| SavedActivations::default()).collect(),
            ended: Vec::new(),
            features: Vec::new(),
            lengths: [0.0; 2],
            scratch: LayerScratch::default(),
        }
    }

    fn group(&self) -> WindowGroup {
        let tokens = self.tokens[0].len();
        WindowGroup { windows: 2, tokens, queries: tokens }
    }

    /// Returns the rows that a layer's prompts replace: of each sentence, from the second on.
    fn prompt_rows<'a>(&self, x: &'a mut [f32]) -> impl Iterator<Item = &'a mut [f32]> {
        let (d, len) = (self.width, self.prompt_len);
        x.chunks_exact_mut(self.tokens[0].len() * d).map(move |rows| &mut rows[d..(1 + len) * d])
    }

    /// Computes features (2, embed), of length 1.
    pub(super) fn forward(&mut self, prompts: &ProjectedPrompts) -> &[f32] {
        let d = self.width;
        let mut x = Vec::new();
        for sentence in &self.tokens {
            sentence.iter().for_each(|token| x.extend_from_slice(&self.embedding[token * d..][..d]));
        }
        let mut saved = std::mem::take(&mut self.saved);
        let mut scratch = std::mem::take(&mut self.scratch);
        for (l, (layer, saved)) in self.layers.iter().zip(&mut saved).enumerate() {
            if let Some(prompts) = prompts.layers.get(l) {
                self.prompt_rows(&mut x).for_each(|rows| rows.copy_from_slice(prompts));
            }
            if l == 0 {
                x.chunks_exact_mut(self.tokens[0].len() * d).for_each(|rows| add(rows, &self.positions));
            }
            std::mem::swap(&mut saved.x, &mut x);
            layer.forward(self.group(), &[], saved, &mut x, &mut scratch);
        }
        self.ended.clear();
        for (rows, end) in x.chunks_exact(self.tokens[0].len() * d).zip(self.ends) {
            self.ended.extend_from_slice(&rows[end * d..][..d]);
        }
        let mut normed = vec![0.0; self.ended.len()];
        self.norm.forward(&self.ended, &mut normed);
        let features = zeros(&mut self.features, 2 * self.projection.outputs());
        self.projection.forward(&normed, Epilogue::Store, features, &mut scratch.gemm);
        let halves = features.chunks_exact_mut(self.projection.outputs());
        for (row, length) in halves.zip(&mut self.lengths) {
            *length = to_unit(row);
        }
        (self.saved, self.scratch) = (saved, scratch);
        &self.features
    }

    /// Turns the gradient at the features into those at the prompts as they entered, and adds those of the tower's
    /// tensors.
    pub(super) fn backward(&mut self, gradient: &[f32], prompt_gradients: &mut [Vec<f32>], sums: &mut Gradients) {
        let d = self.width;
        let embed = self.projection.outputs();
        let mut gradient = gradient.to_vec();
        let rows = gradient.chunks_exact_mut(embed).zip(self.features.chunks_exact(embed)).zip(self.lengths);
        rows.for_each(|((gradient, unit), length)| to_unit_backward(unit, length, gradient));
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut normed = vec![0.0; 2 * d];
        self.norm.forward(&self.ended, &mut normed);
        self.projection.accumulate_gradients(&normed, &gradient, sums);
        let mut normed_gradient = vec![0.0; 2 * d];
        self.projection.backward(&gradient, Epilogue::Store, &mut normed_gradient, &mut scratch.gemm);
        let mut ended_gradient = vec![0.0; 2 * d];
        self.norm.backward(&self.ended, &normed_gradient, &mut ended_gradient, sums);
        let tokens = self.tokens[0].len();
        let mut x_gradient = vec![0.0; 2 * tokens * d];
        for ((rows, end), ended) in
            x_gradient.chunks_exact_mut(tokens * d).zip(self.ends).zip(ended_gradient.chunks_exact(d))
        {
            rows[end * d..][..d].copy_from_slice(ended);
        }
        let mut input_gradient = Vec::new();
        for (l, (layer, saved)) in self.layers.iter().zip(&self.saved).enumerate().rev() {
            let to = BackwardOutputs { input: Some(&mut input_gradient), prompts: &mut [], sums };
            layer.backward(self.group(), (&[], saved), &x_gradient, to, &mut scratch);
            std::mem::swap(&mut x_gradient, &mut input_gradient);
            if l == 0 {
                self.positions_backward(&x_gradient, sums);
            }
            if let Some(prompt_gradients) = prompt_gradients.get_mut(l) {
                self.prompt_rows(&mut x_gradient).for_each(|rows| {
                    add(prompt_gradients, rows);
                    rows.fill(0.0);
                });
            }
        }
        if let Some([embedding, _]) = self.parameter_ids {
            let embedding_gradient = sums.get_mut(embedding);
            for (token, row) in self.tokens.concat().into_iter().zip(x_gradient.chunks_exact(d)) {
                add(&mut embedding_gradient[token * d..][..d], row);
            }
        }
        self.scratch = scratch;
    }

    fn positions_backward(&self, x_gradient: &[f32], sums: &mut Gradients) {
        if let Some([_, positions]) = self.parameter_ids {
            let position_gradients = sums.get_mut(positions);
            x_gradient.chunks_exact(self.tokens[0].len() * self.width).for_each(|rows| add(position_gradients, rows));
        }
    }
}
