//! The visual tower's layers with all constants folded into their weights. The algebra is exact, nothing is
//! approximated:
//!
//! - queries carry the factor 1 / sqrt(head) of attention;
//! - the keys' bias moves all scores of a query alike, which softmax does not see: it is dropped;
//! - attention weights sum to one, so the values' bias passes through: it is folded into the output's bias;
//! - x sigmoid(1.702 x) = silu(1.702 x) / 1.702: the factor is folded into the weights before and after (GELU is
//!   unchanged);
//! - where the next layer replaces the prompts' outputs by its own prompts, and in the last layer, prompts are only
//!   keys and values, the same for every window: they are computed once. Where prompts end before the layers do, the
//!   last prompts enter as rows ([`FoldedTower::rows`]).

use candle_core::{D, DType, Result, Tensor};

use crate::{Activation, ClipWeights, WeightsError};

/// Quick-GELU's factor.
const QUICK_GELU: f64 = 1.702;

/// A weight (out, in) with its bias (out).
pub(crate) struct Affine {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Affine {
    fn read(weights: &ClipWeights, name: &str) -> std::result::Result<Affine, WeightsError> {
        Ok(Affine { weight: weights.get(&format!("{name}.weight"))?, bias: weights.get(&format!("{name}.bias"))? })
    }

    /// Computes (.., in) -> (.., out) in plain tensor operations.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.broadcast_matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

/// Layer norm as two vectors (d).
pub(crate) struct NormTensors {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) eps: f64,
}

impl NormTensors {
    pub(crate) fn read(weights: &ClipWeights, name: &str, eps: f64) -> std::result::Result<NormTensors, WeightsError> {
        let Affine { weight, bias } = Affine::read(weights, name)?;
        Ok(NormTensors { weight, bias, eps })
    }

    /// Computes (.., d) -> (.., d) in f32, in plain tensor operations.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x32 = x.to_dtype(DType::F32)?;
        let centred = x32.broadcast_sub(&x32.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centred.broadcast_div(&(variance + self.eps)?.sqrt()?)?;
        normed.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?.to_dtype(x.dtype())
    }
}

/// One tower's layer as the checkpoint has it.
pub(crate) struct PlainLayer {
    pub(crate) norm1: NormTensors,
    pub(crate) query: Affine,
    pub(crate) key: Affine,
    pub(crate) value: Affine,
    pub(crate) out: Affine,
    pub(crate) norm2: NormTensors,
    pub(crate) up: Affine,
    pub(crate) activation: Activation,
    pub(crate) down: Affine,
}

impl PlainLayer {
    /// Reads a layer; `tower` is `vision_model` or `text_model`.
    pub(crate) fn read(
        weights: &ClipWeights,
        tower: &str,
        layer: usize,
        (eps, activation): (f64, Activation),
    ) -> std::result::Result<PlainLayer, WeightsError> {
        let prefix = format!("{tower}.encoder.layers.{layer}");
        Ok(PlainLayer {
            norm1: NormTensors::read(weights, &format!("{prefix}.layer_norm1"), eps)?,
            query: Affine::read(weights, &format!("{prefix}.self_attn.q_proj"))?,
            key: Affine::read(weights, &format!("{prefix}.self_attn.k_proj"))?,
            value: Affine::read(weights, &format!("{prefix}.self_attn.v_proj"))?,
            out: Affine::read(weights, &format!("{prefix}.self_attn.out_proj"))?,
            norm2: NormTensors::read(weights, &format!("{prefix}.layer_norm2"), eps)?,
            up: Affine::read(weights, &format!("{prefix}.mlp.fc1"))?,
            activation,
            down: Affine::read(weights, &format!("{prefix}.mlp.fc2"))?,
        })
    }

    /// Folds the layer's constants; `prompts` (p, d) are the rows that enter it, if any.
    pub(crate) fn fold(self, heads: usize, prompts: Option<&Tensor>) -> Result<FoldedLayer> {
        let d = self.out.bias.dim(0)?;
        let scale = ((d / heads) as f64).powf(-0.5);
        let no_bias = Tensor::zeros(d, DType::F32, self.out.bias.device())?;
        let normed = prompts.map(|p| self.norm1.forward(p)).transpose()?;
        let constant = |weight: &Tensor| normed.as_ref().map(|p| p.matmul(&weight.t()?)).transpose();
        let (prompt_keys, prompt_values) = (constant(&self.key.weight)?, constant(&self.value.weight)?);
        let (up, down) = match self.activation {
            Activation::QuickGelu => (
                Affine { weight: (self.up.weight * QUICK_GELU)?, bias: (self.up.bias * QUICK_GELU)? },
                Affine { weight: (self.down.weight / QUICK_GELU)?, bias: self.down.bias },
            ),
            Activation::Gelu => (self.up, self.down),
        };
        let value_out = self.out.weight.matmul(&self.value.bias.unsqueeze(1)?)?.squeeze(1)?;
        Ok(FoldedLayer {
            heads,
            norm1: self.norm1,
            query: Affine { weight: (self.query.weight * scale)?, bias: (self.query.bias * scale)? },
            key_value: Affine {
                weight: Tensor::cat(&[self.key.weight, self.value.weight], 0)?,
                bias: Tensor::cat(&[&no_bias, &no_bias], 0)?,
            },
            prompts: prompt_keys.zip(prompt_values),
            out: Affine { bias: (self.out.bias + value_out)?, weight: self.out.weight },
            norm2: self.norm2,
            up,
            activation: self.activation,
            down,
        })
    }
}

/// A layer after folding; all tensors f32 on the CPU.
pub(crate) struct FoldedLayer {
    pub(crate) heads: usize,
    pub(crate) norm1: NormTensors,
    /// (d, d)
    pub(crate) query: Affine,
    /// (2 d, d); its bias is zero.
    pub(crate) key_value: Affine,
    /// Keys and values (p, d) of the layer's prompts.
    pub(crate) prompts: Option<(Tensor, Tensor)>,
    pub(crate) out: Affine,
    pub(crate) norm2: NormTensors,
    /// (mlp, d), followed by SiLU, or by GELU itself.
    pub(crate) up: Affine,
    pub(crate) activation: Activation,
    /// (d, mlp)
    pub(crate) down: Affine,
}

/// The visual tower's layers, first to last.
pub(crate) struct FoldedTower {
    pub(crate) layers: Vec<FoldedLayer>,
    /// Rows (p, d) that enter at this layer, after the rows of the window, and pass the remaining layers as those do.
    /// Never at the last layer.
    pub(crate) rows: Option<(usize, Tensor)>,
}

impl FoldedLayer {
    /// Returns queries, keys and values as one weight (3 d, d).
    pub(crate) fn query_key_value(&self) -> Result<Affine> {
        Ok(Affine {
            weight: Tensor::cat(&[&self.query.weight, &self.key_value.weight], 0)?,
            bias: Tensor::cat(&[&self.query.bias, &self.key_value.bias], 0)?,
        })
    }
}

/// Rounds prompts to f16, as the authors do where they enter a layer, although the sequence itself stays f32.
// REFERENCE: prompts pass through f16 in f32 too.
pub(crate) fn round_f16(prompts: &Tensor) -> Result<Tensor> {
    prompts.to_dtype(DType::F16)?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests;
