//! One layer of a tower, forward and backward, for a group of windows on one thread.
//!
//! The outputs of the large products and attention's probabilities are kept between the two passes; norms and
//! activations are computed again. Prompts that a layer replaces are its constant keys and values, as in
//! [`crate::tower::folded_layers`].

use super::attention::{AttentionGradients, Forward, MultiHeadAttention, WindowGroup};
use super::linear::{Source, TrainedLinear, TrainedNorm};
use super::parameters::{Gradients, add};
use crate::Activation;
use crate::cpu::elementwise_backward::{gelu, gelu_backward, quick_gelu, quick_gelu_backward};
use crate::cpu::{Epilogue, GemmScratch, Isa};

/// A layer with its tensors.
pub(super) struct Layer {
    pub(super) heads: MultiHeadAttention,
    norm1: TrainedNorm,
    /// d -> 3 d: queries, keys, values.
    projection: TrainedLinear,
    out: TrainedLinear,
    norm2: TrainedNorm,
    up: TrainedLinear,
    activation: Activation,
    down: TrainedLinear,
}

/// The position of a layer, and its constants.
pub(super) struct LayerSpec<'a> {
    /// `vision_model` or `text_model`.
    pub(super) tower: &'a str,
    pub(super) layer: usize,
    pub(super) eps: f64,
    pub(super) activation: Activation,
    pub(super) heads: MultiHeadAttention,
}

/// The activations that a layer's forward pass saves for its backward pass, of one group. Buffers are kept between
/// steps.
#[derive(Default)]
pub(super) struct SavedActivations {
    /// (windows tokens, d): the input.
    pub(super) x: Vec<f32>,
    projected: Vec<f32>,
    probabilities: Vec<f32>,
    /// (windows queries, d)
    attended: Vec<f32>,
    /// (windows queries, d): after attention's residual.
    middle: Vec<f32>,
    /// (windows queries, mlp): before the activation.
    hidden: Vec<f32>,
}

/// Buffers of one thread.
#[derive(Default)]
pub(super) struct LayerScratch {
    rows: Vec<f32>,
    hidden: Vec<f32>,
    middle: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    probabilities: Vec<f32>,
    pub(super) gemm: GemmScratch,
}

/// Returns `len` zeros in a buffer that keeps its memory.
pub(super) fn zeros(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.clear();
    buffer.resize(len, 0.0);
    buffer
}

/// Returns `len` values of any content.
pub(super) fn resized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    buffer.resize(len, 0.0);
    buffer
}

impl Layer {
    pub(super) fn new(source: Source<'_>, spec: &LayerSpec<'_>) -> Layer {
        let prefix = format!("{}.encoder.layers.{}", spec.tower, spec.layer);
        let linear = |name: &str| TrainedLinear::new(source, &[format!("{prefix}.{name}")]);
        let norm = |name: &str| TrainedNorm::new(source, &format!("{prefix}.{name}"), spec.eps);
        let projections = ["q_proj", "k_proj", "v_proj"].map(|name| format!("{prefix}.self_attn.{name}"));
        Layer {
            heads: spec.heads,
            norm1: norm("layer_norm1"),
            projection: TrainedLinear::new(source, &projections),
            out: linear("self_attn.out_proj"),
            norm2: norm("layer_norm2"),
            up: linear("mlp.fc1"),
            activation: spec.activation,
            down: linear("mlp.fc2"),
        }
    }

    /// Passes rows (n, d) through the first norm and the projections -> (n, 3 d).
    pub(super) fn project(&self, rows: &[f32], out: &mut Vec<f32>, scratch: &mut LayerScratch) {
        let normed = resized(&mut scratch.rows, rows.len());
        self.norm1.forward(rows, normed);
        self.projection.forward(normed, Epilogue::Store, resized(out, 3 * rows.len()), &mut scratch.gemm);
    }

    /// Adds the gradient at `rows`, given that at the result of [`Layer::project`], and those of the layer's tensors.
    pub(super) fn project_backward(
        &self,
        rows: &[f32],
        gradient: &[f32],
        out: &mut [f32],
        sums: &mut Gradients,
        scratch: &mut LayerScratch,
    ) {
        if self.projection.learns() {
            let normed = resized(&mut scratch.rows, rows.len());
            self.norm1.forward(rows, normed);
            self.projection.accumulate_gradients(normed, gradient, sums);
        }
        let normed_gradient = resized(&mut scratch.rows, rows.len());
        self.projection.backward(gradient, Epilogue::Store, normed_gradient, &mut scratch.gemm);
        self.norm1.backward(rows, normed_gradient, out, sums);
    }

    /// Computes the layer: `saved.x` (windows tokens, d) and the prompts' projections (p, 3 d) -> out (windows queries,
    /// d).
    pub(super) fn forward(
        &self,
        group: WindowGroup,
        prompts: &[f32],
        saved: &mut SavedActivations,
        out: &mut Vec<f32>,
        scratch: &mut LayerScratch,
    ) {
        let d = self.heads.width;
        let queries = group.windows * group.queries;
        let SavedActivations { x, projected, probabilities, attended, middle, hidden } = saved;
        self.project(x, projected, scratch);
        let probabilities = resized(probabilities, self.heads.probabilities(group, prompts));
        self.heads.forward(group, projected, prompts, probabilities, resized(attended, queries * d));
        let middle = resized(middle, queries * d);
        for (middle, x) in middle.chunks_exact_mut(group.queries * d).zip(x.chunks_exact(group.tokens * d)) {
            middle.copy_from_slice(&x[..group.queries * d]);
        }
        self.out.forward(attended, Epilogue::Add, middle, &mut scratch.gemm);
        let normed = resized(&mut scratch.rows, middle.len());
        self.norm2.forward(middle, normed);
        let hidden = resized(hidden, queries * self.up.outputs());
        self.up.forward(normed, Epilogue::Store, hidden, &mut scratch.gemm);
        let active = resized(&mut scratch.hidden, hidden.len());
        self.activate(hidden, active);
        out.clear();
        out.extend_from_slice(middle);
        self.down.forward(active, Epilogue::Add, out, &mut scratch.gemm);
    }

    /// Runs backward from the gradient at the output (windows queries, d): writes that at the input (windows tokens,
    /// d), if it is wanted, and adds that at the prompts' projections (p, 3 d) and those of the layer's tensors.
    pub(super) fn backward(
        &self,
        group: WindowGroup,
        forward: (&[f32], &SavedActivations),
        gradient: &[f32],
        to: BackwardOutputs<'_>,
        scratch: &mut LayerScratch,
    ) {
        let (prompts, saved) = forward;
        let BackwardOutputs { input, prompts: prompt_gradients, sums } = to;
        let mut middle_gradient = std::mem::take(&mut scratch.middle);
        self.mlp_backward(saved, gradient, &mut middle_gradient, sums, scratch);
        self.out.accumulate_gradients(&saved.attended, &middle_gradient, sums);
        let attended_gradient = resized(&mut scratch.attended, middle_gradient.len());
        self.out.backward(&middle_gradient, Epilogue::Store, attended_gradient, &mut scratch.gemm);
        let mut projected_gradient = std::mem::take(&mut scratch.projected);
        let gradients = AttentionGradients {
            projected: zeros(&mut projected_gradient, saved.projected.len()),
            prompts: prompt_gradients,
        };
        let forward = Forward { projected: &saved.projected, prompts, probabilities: &saved.probabilities };
        self.heads.backward(group, forward, attended_gradient, gradients, &mut scratch.probabilities);
        if let Some(out) = input {
            let d = self.heads.width;
            let out = zeros(out, saved.x.len());
            self.project_backward(&saved.x, &projected_gradient, out, sums, scratch);
            let query_gradients = middle_gradient.chunks_exact(group.queries * d);
            for (out, query_gradients) in out.chunks_exact_mut(group.tokens * d).zip(query_gradients) {
                add(out, query_gradients);
            }
        }
        (scratch.middle, scratch.projected) = (middle_gradient, projected_gradient);
    }

    fn activate(&self, hidden: &[f32], active: &mut [f32]) {
        match self.activation {
            Activation::QuickGelu => quick_gelu(Isa::current(), hidden, active),
            Activation::Gelu => gelu(Isa::current(), hidden, active),
        }
    }

    /// Turns the gradient at the layer's output into that after attention's residual.
    fn mlp_backward(
        &self,
        saved: &SavedActivations,
        gradient: &[f32],
        middle_gradient: &mut Vec<f32>,
        sums: &mut Gradients,
        scratch: &mut LayerScratch,
    ) {
        let hidden = resized(&mut scratch.hidden, saved.hidden.len());
        if self.down.learns() {
            self.activate(&saved.hidden, hidden);
            self.down.accumulate_gradients(hidden, gradient, sums);
        }
        self.down.backward(gradient, Epilogue::Store, hidden, &mut scratch.gemm);
        match self.activation {
            Activation::QuickGelu => quick_gelu_backward(Isa::current(), &saved.hidden, hidden),
            Activation::Gelu => gelu_backward(Isa::current(), &saved.hidden, hidden),
        }
        let rows = resized(&mut scratch.rows, saved.middle.len());
        if self.up.learns() {
            self.norm2.forward(&saved.middle, rows);
            self.up.accumulate_gradients(rows, hidden, sums);
        }
        self.up.backward(hidden, Epilogue::Store, rows, &mut scratch.gemm);
        middle_gradient.clear();
        middle_gradient.extend_from_slice(gradient);
        self.norm2.backward(&saved.middle, rows, middle_gradient, sums);
    }
}

/// The destinations of a backward pass's gradients.
pub(super) struct BackwardOutputs<'a> {
    /// Gradient at the layer's input, if any tensor before it is trained.
    pub(super) input: Option<&'a mut Vec<f32>>,
    /// Gradient at the prompts' projections.
    pub(super) prompts: &'a mut [f32],
    /// Gradients of the trained tensors.
    pub(super) sums: &'a mut Gradients,
}
