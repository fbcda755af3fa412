//! The path of prompts into the towers: through their linear layers, rounded where they enter, and back.

use half::f16;

use super::parameters::{Gradients, ParameterId, Parameters};
use crate::Prompts;
use crate::cpu::Isa;
use crate::cpu::elementwise_backward::column_sums;
use crate::cpu::strided_gemm::{Target, View, product};

/// One tower's prompts by layer, (p, d) each, as they enter.
pub(super) struct ProjectedPrompts {
    pub(super) layers: Vec<Vec<f32>>,
}

/// The authors' names of one tower's prompts.
#[derive(Clone, Copy)]
pub(super) struct PromptProjection {
    prompts: &'static str,
    projections: &'static str,
    /// The first layer whose prompts pass through f16.
    rounded_from: usize,
}

// REFERENCE: the first text prompt enters in f32, all others through f16. Their gradients pass unrounded: the authors'
// code rounds them to f16 on the way back, which moves the norm of a gradient by less than 1e-3 of itself.
pub(super) const TEXT: PromptProjection =
    PromptProjection { prompts: "prompts_text", projections: "prompt_txt_projections", rounded_from: 1 };
pub(super) const VISUAL: PromptProjection =
    PromptProjection { prompts: "prompts_vis", projections: "prompt_vis_projections", rounded_from: 0 };

/// A layer's three tensors with their current values.
struct Tensors<'a> {
    /// (p, d)
    prompts: Tensor<'a>,
    /// (d, d)
    weight: Tensor<'a>,
    /// (d)
    bias: Tensor<'a>,
}

struct Tensor<'a> {
    values: std::borrow::Cow<'a, [f32]>,
    id: Option<ParameterId>,
}

impl PromptProjection {
    fn tensors<'a>(&self, initial: &Prompts, parameters: &'a Parameters, layer: usize) -> Tensors<'a> {
        let tensor = |name: String| match parameters.find(&name) {
            Some(id) => Tensor { values: parameters.values(id).into(), id: Some(id) },
            None => Tensor { values: initial.values(&name).into(), id: None },
        };
        Tensors {
            prompts: tensor(format!("{}.{layer}", self.prompts)),
            weight: tensor(format!("{}.{layer}.weight", self.projections)),
            bias: tensor(format!("{}.{layer}.bias", self.projections)),
        }
    }

    /// Computes the prompts of `depth` layers as they enter.
    pub(super) fn project(&self, initial: &Prompts, parameters: &Parameters, depth: usize) -> ProjectedPrompts {
        let layer = |layer| {
            let Tensors { prompts, weight, bias } = self.tensors(initial, parameters, layer);
            let (p, d) = (prompts.values.len() / bias.values.len(), bias.values.len());
            let mut out = bias.values.repeat(p);
            let weight = View::rows(&weight.values, d, d, d).t();
            product(View::rows(&prompts.values, p, d, d), weight, 1.0, Target::accumulate(&mut out, d));
            if layer >= self.rounded_from {
                out.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
            }
            out
        };
        ProjectedPrompts { layers: (0..depth).map(layer).collect() }
    }

    /// Turns the gradients at the prompts as they entered (p, d) into those of the trained tensors.
    pub(super) fn backward(
        &self,
        initial: &Prompts,
        parameters: &Parameters,
        gradients: &[Vec<f32>],
        sums: &mut Gradients,
    ) {
        for (layer, gradient) in gradients.iter().enumerate() {
            let Tensors { prompts, weight, bias } = self.tensors(initial, parameters, layer);
            let d = bias.values.len();
            let gradient = View::rows(gradient, gradient.len() / d, d, d);
            if let Some(id) = prompts.id {
                product(gradient, View::rows(&weight.values, d, d, d), 1.0, Target::accumulate(sums.get_mut(id), d));
            }
            if let Some(id) = weight.id {
                let prompts = View::rows(&prompts.values, gradient.rows, d, d);
                product(gradient.t(), prompts, 1.0, Target::accumulate(sums.get_mut(id), d));
            }
            if let Some(id) = bias.id {
                column_sums(Isa::current(), gradient.values, d, sums.get_mut(id));
            }
        }
    }
}

/// Returns a zeroed sum for each layer, of the shapes that entered.
pub(super) fn zeros_like(entering: &ProjectedPrompts) -> Vec<Vec<f32>> {
    entering.layers.iter().map(|rows| vec![0.0; rows.len()]).collect()
}

impl Prompts {
    /// Returns these prompts with other values for some tensors: name, shape, values.
    pub(crate) fn with_values<'a>(&self, changed: impl Iterator<Item = (&'a str, &'a [usize], &'a [f32])>) -> Prompts {
        self.replaced(changed.map(|(name, shape, values)| {
            let tensor = candle_core::Tensor::from_slice(values, shape, &candle_core::Device::Cpu);
            (name.to_owned(), tensor.expect("as many values as the shape says"))
        }))
    }

    /// Returns a tensor's values, row-major.
    pub(crate) fn values(&self, name: &str) -> Vec<f32> {
        let values = self.tensors()[name].flatten_all().and_then(|tensor| tensor.to_vec1());
        values.expect("prompts are f32 and in memory")
    }
}
