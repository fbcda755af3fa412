//! The visual tower's layers with all that is constant folded into their weights. Exact algebra, nothing approximate:
//!
//! - queries carry the 1 / sqrt(head) of attention;
//! - the keys' bias moves all scores of a query alike, and softmax does not see it: dropped;
//! - attention weights sum to one, so the values' bias passes through: folded into the output's bias;
//! - x sigmoid(1.702 x) = silu(1.702 x) / 1.702: the factor goes into the weights before and after (GELU stays as it is);
//! - where the next layer replaces the prompts' outputs by its own prompts, and in the last layer, prompts are keys and
//!   values alone, the same for every window: computed once. Where prompts end before the layers do, the last of them
//!   enter as rows ([`FoldedTower::rows`]).

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

    /// (.., in) -> (.., out), the plain way.
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

    /// (.., d) -> (.., d), in f32, of plain tensor operations.
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
    /// `tower` is `vision_model` or `text_model`.
    pub(crate) fn read(
        weights: &ClipWeights,
        tower: &str,
        layer: usize,
        (eps, activation): (f64, Activation),
    ) -> std::result::Result<PlainLayer, WeightsError> {
        let at = format!("{tower}.encoder.layers.{layer}");
        Ok(PlainLayer {
            norm1: NormTensors::read(weights, &format!("{at}.layer_norm1"), eps)?,
            query: Affine::read(weights, &format!("{at}.self_attn.q_proj"))?,
            key: Affine::read(weights, &format!("{at}.self_attn.k_proj"))?,
            value: Affine::read(weights, &format!("{at}.self_attn.v_proj"))?,
            out: Affine::read(weights, &format!("{at}.self_attn.out_proj"))?,
            norm2: NormTensors::read(weights, &format!("{at}.layer_norm2"), eps)?,
            up: Affine::read(weights, &format!("{at}.mlp.fc1"))?,
            activation,
            down: Affine::read(weights, &format!("{at}.mlp.fc2"))?,
        })
    }

    /// The layer with its constants folded; `prompts` (p, d) as they enter it, or none.
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
    /// (2 d, d), its bias zero.
    pub(crate) key_value: Affine,
    /// Keys and values (p, d) of the layer's prompts.
    pub(crate) prompts: Option<(Tensor, Tensor)>,
    pub(crate) out: Affine,
    pub(crate) norm2: NormTensors,
    /// (mlp, d), then SiLU, or GELU itself.
    pub(crate) up: Affine,
    pub(crate) activation: Activation,
    /// (d, mlp)
    pub(crate) down: Affine,
}

/// The visual tower's layers, first to last.
pub(crate) struct FoldedTower {
    pub(crate) layers: Vec<FoldedLayer>,
    /// Rows (p, d) that enter at this layer after those that are there, and go through the rest as they do. Never at the
    /// last.
    pub(crate) rows: Option<(usize, Tensor)>,
}

impl FoldedLayer {
    /// Queries, keys and values as one (3 d, d).
    pub(crate) fn query_key_value(&self) -> Result<Affine> {
        Ok(Affine {
            weight: Tensor::cat(&[&self.query.weight, &self.key_value.weight], 0)?,
            bias: Tensor::cat(&[&self.query.bias, &self.key_value.bias], 0)?,
        })
    }
}

/// The authors cast prompts to f16 where they enter a layer, although the sequence itself stays f32.
// REFERENCE: prompts pass through f16 in f32 too.
pub(crate) fn round_f16(prompts: &Tensor) -> Result<Tensor> {
    prompts.to_dtype(DType::F16)?.to_dtype(DType::F32)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::dense::{DenseLayer, Place};

    const WIDTH: usize = 48;
    const HEADS: usize = 3;

    /// Values in [-scale, scale) without order.
    fn random(seed: u64, shape: &[usize], scale: f32) -> Tensor {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / 8_388_608.0 - 1.0) * scale
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn affine(seed: u64, outputs: usize, inputs: usize, bias: f32) -> Affine {
        Affine {
            weight: random(seed, &[outputs, inputs], (3.0 / inputs as f32).sqrt()),
            bias: random(!seed, &[outputs], bias),
        }
    }

    /// A layer whose biases are up to `bias`.
    fn layer(bias: f32, activation: Activation) -> PlainLayer {
        let norm =
            |seed| NormTensors { weight: random(seed, &[WIDTH], 1.5), bias: random(!seed, &[WIDTH], bias), eps: 1e-5 };
        PlainLayer {
            norm1: norm(1),
            query: affine(2, WIDTH, WIDTH, bias),
            key: affine(3, WIDTH, WIDTH, bias),
            value: affine(4, WIDTH, WIDTH, bias),
            out: affine(5, WIDTH, WIDTH, bias),
            norm2: norm(6),
            up: affine(7, 4 * WIDTH, WIDTH, bias),
            activation,
            down: affine(8, WIDTH, 4 * WIDTH, bias),
        }
    }

    /// x (t, d) -> (t, d) as the checkpoint's layer is written down, in f32.
    fn plain(layer: &PlainLayer, x: &Tensor) -> Result<Tensor> {
        let (t, d) = x.dims2()?;
        let normed = layer.norm1.forward(x)?;
        let heads = |y: Tensor| y.reshape((t, HEADS, d / HEADS))?.transpose(0, 1)?.contiguous();
        let (q, k, v) = (
            heads(layer.query.forward(&normed)?)?,
            heads(layer.key.forward(&normed)?)?,
            heads(layer.value.forward(&normed)?)?,
        );
        let scores = (q.matmul(&k.t()?)? / ((d / HEADS) as f64).sqrt())?;
        let attended = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
        let attended = attended.transpose(0, 1)?.reshape((t, d))?;
        let x = (x + layer.out.forward(&attended)?)?;
        let h = layer.up.forward(&layer.norm2.forward(&x)?)?;
        let h = match layer.activation {
            Activation::QuickGelu => (&h * candle_nn::ops::sigmoid(&(&h * QUICK_GELU)?)?)?,
            Activation::Gelu => h.gelu_erf()?,
        };
        &x + layer.down.forward(&h)?
    }

    #[test]
    fn folding_is_exact_with_biases_of_any_size_and_prompts_as_keys_and_values() {
        let place = Place { device: Device::Cpu, dtype: DType::F32 };
        let activations = [Activation::QuickGelu, Activation::Gelu];
        let sizes = [(0.02, 4), (3.0, 0), (3.0, 1), (3.0, 40)];
        for (activation, (bias, prompts)) in activations.into_iter().flat_map(|of| sizes.map(|size| (of, size))) {
            let layer = |bias| layer(bias, activation);
            let x = random(20, &[19, WIDTH], 2.0);
            let prompt = (prompts > 0).then(|| random(21, &[prompts, WIDTH], 2.0));
            let all = Tensor::cat(&[Some(&x), prompt.as_ref()].into_iter().flatten().collect::<Vec<_>>(), 0).unwrap();
            let want = plain(&layer(bias), &all).unwrap().narrow(0, 0, 19).unwrap();
            let folded = DenseLayer::new(layer(bias).fold(HEADS, prompt.as_ref()).unwrap(), &place).unwrap();
            let x = x.unsqueeze(0).unwrap();
            let got = folded.forward(&x, None).unwrap().squeeze(0).unwrap();
            let class = folded.forward_class(&x).unwrap();
            for (what, got, want) in [("all", &got, &want), ("class", &class, &want.narrow(0, 0, 1).unwrap())] {
                let largest: f32 = (got - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap();
                // Sums of 192 terms of up to some tens: 1e-4 is a few units in the last place of the largest.
                assert!(largest < 1e-4, "{activation}, {what}, biases of {bias}, {prompts} prompts: {largest}");
            }
        }
    }

    #[test]
    fn the_folded_keys_and_values_have_no_bias() {
        let folded = layer(3.0, Activation::QuickGelu).fold(HEADS, None).unwrap();
        assert!(folded.key_value.bias.to_vec1::<f32>().unwrap().iter().all(|b| *b == 0.0));
    }
}
