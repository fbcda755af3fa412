//! The text tower: computes the features of the two sentences, once per model, in f32 on the CPU.
//!
//! The causal mask hides from the end-of-text token all that follows it, so the padding to 77 tokens is left out, and
//! the shorter sentence is padded to the length of the other.

use candle_core::{D, DType, Device, Result, Tensor};

use super::folded_layers::{NormTensors, PlainLayer, round_f16};
use crate::prompts::tokens::{END, Words, sentence};
use crate::{Activation, ClipWeights, ModelError, PromptMode};

/// Returns the L2-normalised features (2, embed) in f32 on the CPU: row 0 "bad photo", row 1 "good photo", or the
/// prompts' words.
pub(crate) fn text_features(weights: &ClipWeights, prompts: &PromptMode) -> std::result::Result<Tensor, ModelError> {
    let config = &weights.config().text;
    let (length, words, projected) = match prompts {
        PromptMode::Learned(p) => {
            let projected = (0..p.shape().text_depth).map(|l| p.text(l)).collect::<Result<Vec<_>>>()?;
            (p.shape().text_len, p.words().clone(), projected)
        }
        PromptMode::Handcrafted => (0, Words::default(), Vec::new()),
    };
    let mut ids = [sentence(length, &words.bad)?, sentence(length, &words.good)?];
    let lengths = [ids[0].len(), ids[1].len()];
    let tokens = lengths[0].max(lengths[1]);
    ids.iter_mut().for_each(|ids| ids.resize(tokens, END));
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let embedded_positions = weights.rows("text_model.embeddings.position_embedding.weight", &positions);
    let rows = weights.rows("text_model.embeddings.token_embedding.weight", &ids.concat());
    let mut x = rows.reshape((2, tokens, ()))?;
    // REFERENCE: the first text prompt enters unrounded, in f32; every later one is rounded to f16.
    if let Some(first) = projected.first() {
        x = replace(&x, first)?;
    }
    x = x.broadcast_add(&embedded_positions)?;
    let mask = causal_mask(tokens)?;
    for l in 0..config.layers {
        if l > 0
            && let Some(prompt) = projected.get(l)
        {
            x = replace(&x, &round_f16(prompt)?)?;
        }
        let layer = PlainLayer::read(weights, "text_model", l, (config.eps, config.activation))?;
        x = block(&layer, &x, config.heads, &mask)?;
    }
    let last = Tensor::stack(&[x.get(0)?.get(lengths[0] - 1)?, x.get(1)?.get(lengths[1] - 1)?], 0)?;
    let last = NormTensors::read(weights, "text_model.final_layer_norm", config.eps)?.forward(&last)?;
    let features = last.matmul(&weights.get("text_projection.weight")?.t()?)?;
    Ok(normalise(&features)?)
}

/// Scales each row of (b, d) to length 1.
pub(crate) fn normalise(x: &Tensor) -> Result<Tensor> {
    x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)
}

/// Replaces the rows of x (b, t, d) after the first by `prompt` (p, d).
fn replace(x: &Tensor, prompt: &Tensor) -> Result<Tensor> {
    let (b, t, _) = x.dims3()?;
    let (p, d) = prompt.dims2()?;
    let rest = x.narrow(1, 1 + p, t - 1 - p)?;
    Tensor::cat(&[&x.narrow(1, 0, 1)?, &prompt.unsqueeze(0)?.expand((b, p, d))?.contiguous()?, &rest], 1)
}

/// Returns the mask (t, t): 0 for the token itself and those before it, minus infinity for those after it.
fn causal_mask(t: usize) -> Result<Tensor> {
    let mask: Vec<f32> = (0..t * t).map(|i| if i % t > i / t { f32::NEG_INFINITY } else { 0.0 }).collect();
    Tensor::from_vec(mask, (t, t), &Device::Cpu)
}

/// Computes one block: x (b, t, d) -> (b, t, d).
fn block(layer: &PlainLayer, x: &Tensor, heads: usize, mask: &Tensor) -> Result<Tensor> {
    let (b, t, d) = x.dims3()?;
    let split = |y: Tensor| y.reshape((b, t, heads, d / heads))?.transpose(1, 2)?.contiguous();
    let normed = layer.norm1.forward(x)?;
    let q = split((layer.query.forward(&normed)? * ((d / heads) as f64).powf(-0.5))?)?;
    let (k, v) = (split(layer.key.forward(&normed)?)?, split(layer.value.forward(&normed)?)?);
    let scores = q.matmul(&k.t()?)?.broadcast_add(mask)?;
    let attended = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v)?.transpose(1, 2)?.reshape((b, t, d))?;
    let x = (x + layer.out.forward(&attended)?)?;
    let h = layer.up.forward(&layer.norm2.forward(&x)?)?.to_dtype(DType::F32)?;
    let h = match layer.activation {
        Activation::QuickGelu => (&h * candle_nn::ops::sigmoid(&(&h * 1.702)?)?)?,
        Activation::Gelu => h.gelu_erf()?,
    };
    &x + layer.down.forward(&h)?
}
