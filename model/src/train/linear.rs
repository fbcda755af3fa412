//! TrainedLinear layers and norms with gradients, whose own tensors are frozen or trained.

use super::parameters::{Gradients, ParameterId, Parameters};
use crate::ClipWeights;
use crate::cpu::elementwise_backward::{NormGradients, column_sums, layer_norm_backward, layer_norm_gradients};
use crate::cpu::layer_ops::NormWeights;
use crate::cpu::{Epilogue, GemmScratch, Isa, Operands, PackedLinear, add_transposed_product, layer_norm_rows, linear};

/// The source of a model's tensors: the current values of trained ones, the values read from files of the others.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) weights: &'a ClipWeights,
    pub(super) parameters: &'a Parameters,
}

impl Source<'_> {
    pub(super) fn get(&self, name: &str) -> Vec<f32> {
        self.find(name).map_or_else(|| self.weights.values(name), |id| self.parameters.values(id).to_vec())
    }

    pub(super) fn find(&self, name: &str) -> Option<ParameterId> {
        self.parameters.find(name)
    }
}

/// y = x W^T + b, of one weight, or of several stacked ones with the same number of outputs.
pub(super) struct TrainedLinear {
    forward: PackedLinear,
    /// The packed W^T: it gives the input's gradient. A frozen weight gets none.
    backward: PackedLinear,
    inputs: usize,
    /// Outputs of all parts.
    outputs: usize,
    /// Weight and bias of each part, if they are trained.
    parameter_ids: Vec<(ParameterId, Option<ParameterId>)>,
}

impl TrainedLinear {
    /// Packs `{name}.weight` (n, k) and `{name}.bias` (n) of each name.
    pub(super) fn new(source: Source<'_>, names: &[String]) -> TrainedLinear {
        let weights: Vec<String> = names.iter().map(|name| format!("{name}.weight")).collect();
        let biases: Vec<String> = names.iter().map(|name| format!("{name}.bias")).collect();
        let outputs = names.len() * source.weights.shape(&biases[0])[0];
        Self::stacked(source, &weights, &biases, outputs)
    }

    /// Packs a weight (n, ..) without a bias.
    pub(super) fn unbiased(source: Source<'_>, name: &str) -> TrainedLinear {
        Self::stacked(source, &[name.to_owned()], &[], source.weights.shape(name)[0])
    }

    /// Stacks the weights (n, ..) of several layers, and their biases, into one.
    fn stacked(source: Source<'_>, weights: &[String], biases: &[String], outputs: usize) -> TrainedLinear {
        let weight: Vec<f32> = weights.iter().flat_map(|name| source.get(name)).collect();
        let bias: Vec<f32> = biases.iter().flat_map(|name| source.get(name)).collect();
        let inputs = weight.len() / outputs;
        let mut transposed = vec![0.0; weight.len()];
        for (n, row) in weight.chunks_exact(inputs).enumerate() {
            for (k, value) in row.iter().enumerate() {
                transposed[k * outputs + n] = *value;
            }
        }
        let find = |(i, name): (usize, &String)| {
            Some((source.find(name)?, biases.get(i).map(|bias| source.find(bias).expect("it learns with its weight"))))
        };
        let isa = Isa::current();
        TrainedLinear {
            forward: PackedLinear::new(&weight, (!bias.is_empty()).then_some(&bias), outputs, Operands::F32, isa),
            backward: PackedLinear::new(&transposed, None, inputs, Operands::F32, isa),
            inputs,
            outputs,
            parameter_ids: weights.iter().enumerate().filter_map(find).collect(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    pub(super) fn learns(&self) -> bool {
        !self.parameter_ids.is_empty()
    }

    /// Computes x (rows, k) -> out (rows, n).
    pub(super) fn forward(&self, x: &[f32], epilogue: Epilogue, out: &mut [f32], gemm: &mut GemmScratch) {
        linear(&self.forward, x, epilogue, out, gemm);
    }

    /// Turns the gradient at the output (rows, n) into that at the input (rows, k).
    pub(super) fn backward(&self, gradient: &[f32], epilogue: Epilogue, out: &mut [f32], gemm: &mut GemmScratch) {
        linear(&self.backward, gradient, epilogue, out, gemm);
    }

    /// Adds the gradients of its own tensors, if they are trained: `gradient` (rows, n) is at the output for the input
    /// x (rows, k).
    pub(super) fn accumulate_gradients(&self, x: &[f32], gradient: &[f32], sums: &mut Gradients) {
        let part = self.outputs / self.parameter_ids.len().max(1);
        for (i, (weight, bias)) in self.parameter_ids.iter().enumerate() {
            let gradient = &gradient[i * part..];
            add_transposed_product(gradient, self.outputs, x, self.inputs, sums.get_mut(*weight));
            if let Some(bias) = bias {
                column_sums(Isa::current(), gradient, self.outputs, sums.get_mut(*bias));
            }
        }
    }
}

/// A layer norm.
pub(super) struct TrainedNorm {
    values: NormWeights,
    parameter_ids: Option<[ParameterId; 2]>,
}

impl TrainedNorm {
    pub(super) fn new(source: Source<'_>, name: &str, eps: f64) -> TrainedNorm {
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        TrainedNorm {
            parameter_ids: source.find(&weight).map(|id| [id, source.find(&bias).expect("it learns with its weight")]),
            values: NormWeights { weight: source.get(&weight), bias: source.get(&bias), eps: eps as f32 },
        }
    }

    /// Computes (rows, d) -> (rows, d).
    pub(super) fn forward(&self, x: &[f32], out: &mut [f32]) {
        layer_norm_rows(Isa::current(), x, self.values.as_norm(), out);
    }

    /// Adds to `out` the gradient at the input x, and to `sums` those of its own tensors.
    pub(super) fn backward(&self, x: &[f32], gradient: &[f32], out: &mut [f32], sums: &mut Gradients) {
        layer_norm_backward(Isa::current(), x, self.values.as_norm(), gradient, out);
        self.accumulate_gradients(x, gradient, sums);
    }

    /// Adds the gradients of its own tensors, if they are trained.
    pub(super) fn accumulate_gradients(&self, x: &[f32], gradient: &[f32], sums: &mut Gradients) {
        if let Some([weight, bias]) = self.parameter_ids {
            let [weight, bias] = sums.pair(weight, bias);
            layer_norm_gradients(Isa::current(), x, self.values.as_norm(), gradient, NormGradients { weight, bias });
        }
    }
}
