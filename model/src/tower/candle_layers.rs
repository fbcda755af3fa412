//! The folded layers in Candle's operations, on any device and in any dtype: they run where this crate has no kernels,
//! and its kernels are compared with them.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{silu, softmax};

use super::folded_layers::{Affine, FoldedLayer, NormTensors};
use crate::Activation;

/// The device of the tensors, and the type that they are rounded to.
#[derive(Clone)]
pub(crate) struct TensorOptions {
    pub(crate) device: Device,
    pub(crate) dtype: DType,
}

impl TensorOptions {
    pub(crate) fn convert(&self, x: &Tensor) -> Result<Tensor> {
        x.to_device(&self.device)?.to_dtype(self.dtype)
    }

    /// Moves a norm to the device; norms stay in f32.
    pub(crate) fn convert_norm(&self, norm: NormTensors) -> Result<NormTensors> {
        let put = |x: Tensor| x.to_device(&self.device);
        Ok(NormTensors { weight: put(norm.weight)?, bias: put(norm.bias)?, eps: norm.eps })
    }
}

/// `x W^T + b`, with the weight laid out for the product.
pub(crate) struct CandleLinear {
    /// (in, out)
    weight: Tensor,
    bias: Tensor,
}

impl CandleLinear {
    pub(crate) fn new(affine: &Affine, tensor_options: &TensorOptions) -> Result<CandleLinear> {
        Ok(CandleLinear {
            weight: tensor_options.convert(&affine.weight.t()?.contiguous()?)?,
            bias: tensor_options.convert(&affine.bias)?,
        })
    }

    /// Computes (.., in) -> (.., out).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (inputs, outputs) = self.weight.dims2()?;
        let mut dims = x.dims().to_vec();
        *dims.last_mut().expect("a linear's input has an axis") = outputs;
        x.reshape(((), inputs))?.matmul(&self.weight)?.broadcast_add(&self.bias)?.reshape(dims)
    }
}

/// One folded layer.
pub(crate) struct CandleLayer {
    heads: usize,
    norm1: NormTensors,
    query: CandleLinear,
    key_value: CandleLinear,
    /// Keys and values (1, heads, p, head).
    prompts: Option<(Tensor, Tensor)>,
    out: CandleLinear,
    norm2: NormTensors,
    up: CandleLinear,
    activation: Activation,
    down: CandleLinear,
}

impl CandleLayer {
    pub(crate) fn new(folded: FoldedLayer, tensor_options: &TensorOptions) -> Result<CandleLayer> {
        let heads = folded.heads;
        let prompts = match &folded.prompts {
            None => None,
            Some((keys, values)) => {
                let split = |x: &Tensor| split_heads(&tensor_options.convert(x)?.unsqueeze(0)?, heads);
                Some((split(keys)?, split(values)?))
            }
        };
        Ok(CandleLayer {
            heads,
            prompts,
            query: CandleLinear::new(&folded.query, tensor_options)?,
            key_value: CandleLinear::new(&folded.key_value, tensor_options)?,
            out: CandleLinear::new(&folded.out, tensor_options)?,
            up: CandleLinear::new(&folded.up, tensor_options)?,
            activation: folded.activation,
            down: CandleLinear::new(&folded.down, tensor_options)?,
            norm1: tensor_options.convert_norm(folded.norm1)?,
            norm2: tensor_options.convert_norm(folded.norm2)?,
        })
    }

    /// Computes queries, keys and values after the first norm: (.., d) -> (.., 3 d).
    pub(crate) fn project(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm1.forward(x)?;
        Tensor::cat(&[self.query.forward(&normed)?, self.key_value.forward(&normed)?], D::Minus1)
    }

    /// Computes x (b, t, d) -> (b, t, d). `shared` (b, s, 3 d) is the result of [`CandleLayer::project`] for the first
    /// s rows.
    pub(crate) fn forward(&self, x: &Tensor, shared: Option<&Tensor>) -> Result<Tensor> {
        Ok(self.with_attention(x, shared)?.0)
    }

    /// Computes the layer, and what each row attends to: (b, heads, t, t + p), the prompts last.
    pub(crate) fn with_attention(&self, x: &Tensor, shared: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let (_, t, d) = x.dims3()?;
        let projected = match shared {
            None => self.project(x)?,
            Some(shared) => {
                let s = shared.dim(1)?;
                Tensor::cat(&[shared, &self.project(&x.narrow(1, s, t - s)?)?], 1)?
            }
        };
        let part = |i: usize| projected.narrow(2, i * d, d);
        let (attended, attention) = self.attend(&part(0)?, &part(1)?, &part(2)?)?;
        let x = (x + attended)?;
        Ok(((&x + self.mlp(&x)?)?, attention))
    }

    /// Computes the last layer for the first row alone: x (b, t, d) -> (b, d).
    pub(crate) fn forward_class(&self, x: &Tensor) -> Result<Tensor> {
        let d = x.dim(2)?;
        let normed = self.norm1.forward(x)?;
        let key_value = self.key_value.forward(&normed)?;
        let query = self.query.forward(&normed.narrow(1, 0, 1)?.contiguous()?)?;
        let class = x.narrow(1, 0, 1)?;
        let (attended, _) = self.attend(&query, &key_value.narrow(2, 0, d)?, &key_value.narrow(2, d, d)?)?;
        let class = (class + attended)?;
        (&class + self.mlp(&class)?)?.squeeze(1)
    }

    /// Computes q (b, n, d), k and v (b, t, d) -> (b, n, d), and the attention, (b, heads, n, t + p) in f32.
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (b, n, d) = q.dims3()?;
        let q = split_heads(q, self.heads)?;
        let with = |own: &Tensor, constant: Option<&Tensor>| -> Result<Tensor> {
            let own = split_heads(own, self.heads)?;
            let Some(constant) = constant else { return Ok(own) };
            let (_, h, p, head) = constant.dims4()?;
            Tensor::cat(&[&own, &constant.expand((b, h, p, head))?.contiguous()?], 2)
        };
        let (keys, values) = self.prompts.as_ref().map(|(k, v)| (k, v)).unzip();
        let (k, v) = (with(k, keys)?, with(v, values)?);
        let scores = q.matmul(&k.t()?)?.to_dtype(DType::F32)?;
        let attention = softmax(&scores, D::Minus1)?;
        let attended = attention.to_dtype(v.dtype())?.matmul(&v)?;
        Ok((self.out.forward(&attended.transpose(1, 2)?.reshape((b, n, d))?)?, attention))
    }

    fn mlp(&self, x: &Tensor) -> Result<Tensor> {
        let hidden = self.up.forward(&self.norm2.forward(x)?)?;
        self.down.forward(&match self.activation {
            Activation::QuickGelu => silu(&hidden)?,
            Activation::Gelu => hidden.gelu_erf()?,
        })
    }
}

/// Reshapes (b, n, d) -> (b, heads, n, d / heads).
fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    x.reshape((b, n, heads, d / heads))?.transpose(1, 2)?.contiguous()
}
