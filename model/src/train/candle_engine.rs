//! Computes a step with Candle's operations and its automatic gradients: on a GPU, and to check the CPU engine's
//! hand-written backward passes.
//!
//! Candle 0.11 has no gradient for its fused layer norm and softmax, and drops it there without an error; so norms and
//! softmax are made of plain operations here. Candle also makes a gradient for both sides of every product, so a
//! product with a frozen weight is an operation of its own, which gives the gradient of its input alone.

use std::collections::BTreeMap;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, D, Device, Layout, Result, Shape, Storage, Tensor, Var, bail};

use super::parameters::{Parameters, add};
use super::pass_types::{LOGIT_SCALE, PassInputs, PassOutput};
use super::step_types::Example;
use super::text_tower::{TOKEN_EMBEDDING, distinct_tokens};
use crate::picture::patches::PixelNormalizer;
use crate::picture::{Origin, Rgb8, ViewMode};
use crate::tower::folded_layers;
use crate::tower::text::normalise;
use crate::{Activation, ClipConfig, PromptShape, VisionConfig};

/// Activations that are in memory at once, by the estimate of [`window_bytes`].
const ACTIVATION_BYTES: usize = 5 << 30;

/// The most windows at once: more gain nothing.
const WINDOWS_AT_ONCE: usize = 32;

/// Both towers' tensors on a device.
pub(super) struct CandleEngine {
    config: ClipConfig,
    sees: ViewMode,
    device: Device,
    shape: Option<PromptShape>,
    frozen: BTreeMap<String, Tensor>,
    parameters: BTreeMap<String, Var>,
    /// Each sentence as indices into the token embedding's rows.
    tokens: [Vec<u32>; 2],
    pixels: PixelNormalizer,
}

impl CandleEngine {
    pub(super) fn new(inputs: PassInputs<'_>, parameters: &Parameters) -> Result<CandleEngine> {
        let PassInputs { weights, prompts, sentences, options } = inputs;
        let device = options.device.clone();
        let (ids, tokens) = distinct_tokens(sentences);
        let mut frozen = BTreeMap::new();
        let mut freeze = |name: &str, shape: &[usize], values: Vec<f32>| -> Result<()> {
            if parameters.find(name).is_none() {
                frozen.insert(name.to_owned(), Tensor::from_vec(values, shape, &device)?);
            }
            Ok(())
        };
        for name in weights.names().filter(|name| *name != TOKEN_EMBEDDING) {
            freeze(name, weights.shape(name), weights.values(name))?;
        }
        let width = weights.config().text.width;
        freeze(TOKEN_EMBEDDING, &[ids.len(), width], weights.rows_values(TOKEN_EMBEDDING, &ids))?;
        for (name, tensor) in prompts.iter().flat_map(|prompts| prompts.tensors()) {
            freeze(name, tensor.dims(), tensor.flatten_all()?.to_vec1()?)?;
        }
        let var = |(name, shape, values): (&str, &[usize], &[f32])| -> Result<(String, Var)> {
            Ok((name.to_owned(), Var::from_slice(values, shape, &device)?))
        };
        Ok(CandleEngine {
            config: weights.config().clone(),
            sees: options.sees,
            shape: prompts.map(|prompts| *prompts.shape()),
            frozen,
            parameters: parameters.iter().map(var).collect::<Result<_>>()?,
            tokens: tokens.map(|sentence| sentence.into_iter().map(|token| token as u32).collect()),
            pixels: PixelNormalizer::new(),
            device,
        })
    }

    /// Copies the current parameters to the device.
    pub(super) fn update(&self, parameters: &Parameters) -> Result<()> {
        for (name, shape, values) in parameters.iter() {
            self.parameters[name].set(&Tensor::from_slice(values, shape, &self.device)?)?;
        }
        Ok(())
    }

    /// Returns squared errors, scores, and the gradients of the mean squared error.
    pub(super) fn pass(&self, batch: &[Example], parameters: &Parameters) -> Result<PassOutput> {
        let mut output = PassOutput { errors: 0.0, scores: Vec::new(), gradients: parameters.gradients() };
        for examples in batch.chunks(self.windows_at_once()) {
            let targets: Vec<f32> = examples.iter().map(|example| example.target).collect();
            let targets = Tensor::from_vec(targets, examples.len(), &self.device)?;
            let scores = self.scores(examples)?;
            let errors = (&scores - targets)?.sqr()?.sum_all()?;
            let gradients = (&errors / batch.len() as f64)?.backward()?;
            for (id, (name, ..)) in parameters.iter().enumerate() {
                if let Some(gradient) = gradients.get(&self.parameters[name]) {
                    add(output.gradients.get_mut(id), &gradient.flatten_all()?.to_vec1::<f32>()?);
                }
            }
            output.errors += f64::from(errors.to_scalar::<f32>()?);
            output.scores.extend(scores.to_vec1::<f32>()?);
        }
        Ok(output)
    }

    fn windows_at_once(&self) -> usize {
        let views = if self.sees == ViewMode::Both { 2 } else { 1 };
        let prompts = self.shape.map_or(0, |shape| shape.visual_len);
        let tokens = 1 + views * self.config.patches() + prompts;
        (ACTIVATION_BYTES / window_bytes(&self.config.vision, tokens)).clamp(1, WINDOWS_AT_ONCE)
    }

    /// Returns the scores (b).
    fn scores(&self, examples: &[Example]) -> Result<Tensor> {
        let text = self.text()?; // (2, embed)
        let direction = (text.get(1)? - text.get(0)?)?.unsqueeze(1)?; // (embed, 1)
        let cosines = normalise(&self.visual(examples)?)?.matmul(&direction)?.squeeze(1)?;
        let logits = cosines.broadcast_mul(&self.tensor(LOGIT_SCALE).exp()?)?;
        candle_nn::ops::sigmoid(&logits)
    }

    /// Returns the sentences' features (2, embed), of length 1.
    fn text(&self) -> Result<Tensor> {
        let config = &self.config.text;
        let longest = self.tokens.iter().map(Vec::len).max().expect("there are two");
        let rows = self.tokens.each_ref().map(|sentence| {
            // The tokens after a sentence's end are hidden from it.
            let mut padded = sentence.clone();
            padded.resize(longest, 0);
            self.tensor(TOKEN_EMBEDDING).index_select(&Tensor::new(padded, &self.device)?, 0)
        });
        let [bad, good] = rows;
        let mut x = Tensor::stack(&[bad?, good?], 0)?;
        let shape = self.shape;
        let replace = |x: &Tensor, layer: usize| -> Result<Tensor> {
            let Some(shape) = shape.filter(|shape| layer < shape.text_depth) else { return Ok(x.clone()) };
            let prompt = self.prompt(("prompts_text", "prompt_txt_projections"), layer)?;
            let prompt = if layer == 0 { prompt } else { through_f16(&prompt)? };
            let after = 1 + shape.text_len;
            let prompt = prompt.unsqueeze(0)?.broadcast_as((2, shape.text_len, config.width))?;
            Tensor::cat(&[x.narrow(1, 0, 1)?, prompt.contiguous()?, x.narrow(1, after, longest - after)?], 1)
        };
        let positions = self.tensor("text_model.embeddings.position_embedding.weight").narrow(0, 0, longest)?;
        let mask: Vec<f32> =
            (0..longest * longest).map(|i| if i % longest > i / longest { f32::NEG_INFINITY } else { 0.0 }).collect();
        let mask = Tensor::from_vec(mask, (longest, longest), &self.device)?;
        let layer_config = (config.heads, config.eps, config.activation);
        for layer in 0..config.layers {
            x = replace(&x, layer)?;
            if layer == 0 {
                x = x.broadcast_add(&positions)?;
            }
            x = self.layer(&x, &format!("text_model.encoder.layers.{layer}"), layer_config, Some(&mask))?;
        }
        let end = |i: usize| x.get(i)?.get(self.tokens[i].len() - 1);
        let ended = Tensor::stack(&[end(0)?, end(1)?], 0)?;
        let ended = self.norm(&ended, "text_model.final_layer_norm", config.eps)?;
        normalise(&self.product(&ended, "text_projection.weight")?)
    }

    /// Returns the windows' features (b, embed), of any length.
    fn visual(&self, examples: &[Example]) -> Result<Tensor> {
        let config = &self.config.vision;
        let b = examples.len();
        let embedding = |name: &str| self.tensor(&format!("vision_model.embeddings.{name}"));
        let positions = embedding("position_embedding.weight");
        let class = (embedding("class_embedding") + positions.get(0)?)?;
        let mut parts = vec![class.reshape((1, 1, config.width))?.broadcast_as((b, 1, config.width))?.contiguous()?];
        let places = positions.narrow(0, 1, config.patches())?;
        for patches in self.patches(examples)? {
            let embedded = self.product(&patches, "vision_model.embeddings.patch_embedding.weight")?;
            parts.push(embedded.broadcast_add(&places)?);
        }
        let mut x = Tensor::cat(&parts, 1)?;
        let tokens = x.dim(1)?;
        let layer_config = (config.heads, config.eps, config.activation);
        for layer in 0..config.layers {
            if let Some(shape) = self.shape.filter(|shape| layer < shape.visual_depth) {
                let prompt = through_f16(&self.prompt(("prompts_vis", "prompt_vis_projections"), layer)?)?;
                let prompt = prompt.unsqueeze(0)?.broadcast_as((b, shape.visual_len, config.width))?.contiguous()?;
                x = Tensor::cat(&[x.narrow(1, 0, tokens)?, prompt], 1)?;
            }
            if layer == 0 {
                x = self.norm(&x, "vision_model.pre_layrnorm", config.eps)?;
            }
            x = self.layer(&x, &format!("vision_model.encoder.layers.{layer}"), layer_config, None)?;
        }
        let class = self.norm(&x.narrow(1, 0, 1)?.squeeze(1)?, "vision_model.post_layernorm", config.eps)?;
        self.product(&class, "visual_projection.weight")
    }

    /// Returns the patches of each view, (b, patches, 3 side side).
    fn patches(&self, examples: &[Example]) -> Result<Vec<Tensor>> {
        let config = &self.config.vision;
        let corner = |i: usize| Origin {
            x: (i % config.grid() * config.patch) as u32,
            y: (i / config.grid() * config.patch) as u32,
        };
        let corners: Vec<Origin> = (0..config.patches()).map(corner).collect();
        let gather = |view: &dyn Fn(&Example) -> Vec<f32>| {
            let values = examples.iter().flat_map(view).collect();
            Tensor::from_vec(values, (examples.len(), corners.len(), 3 * config.patch * config.patch), &self.device)
        };
        let missing = "every example has the views that the model looks at";
        let pixels = |picture: &Rgb8| self.pixels.gather(picture, &corners, config.patch);
        let local = || gather(&|example| pixels(example.local.as_ref().expect(missing)));
        let whole = || gather(&|example| pixels(example.whole.as_ref().expect(missing)));
        match self.sees {
            ViewMode::Both => Ok(vec![local()?, whole()?]),
            ViewMode::Local => Ok(vec![local()?]),
            ViewMode::Global => Ok(vec![whole()?]),
        }
    }

    /// Computes a layer: x (b, t, d) -> (b, t, d).
    fn layer(
        &self,
        x: &Tensor,
        prefix: &str,
        (heads, eps, activation): (usize, f64, Activation),
        mask: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (b, t, d) = x.dims3()?;
        let split = |y: Tensor| y.reshape((b, t, heads, d / heads))?.transpose(1, 2)?.contiguous();
        let normed = self.norm(x, &format!("{prefix}.layer_norm1"), eps)?;
        let projected = |name: &str| split(self.linear(&normed, &format!("{prefix}.self_attn.{name}"))?);
        let scale = ((d / heads) as f64).powf(-0.5);
        let scores = ((projected("q_proj")? * scale)?).matmul(&projected("k_proj")?.t()?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let attended = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&projected("v_proj")?)?;
        let attended = attended.transpose(1, 2)?.reshape((b, t, d))?;
        let x = (x + self.linear(&attended, &format!("{prefix}.self_attn.out_proj"))?)?;
        let hidden =
            self.linear(&self.norm(&x, &format!("{prefix}.layer_norm2"), eps)?, &format!("{prefix}.mlp.fc1"))?;
        let active = match activation {
            // Candle's own sigmoid, whose gradient stays finite where exp's does not.
            Activation::QuickGelu => (&hidden * candle_nn::ops::sigmoid(&(&hidden * 1.702)?)?)?,
            Activation::Gelu => hidden.gelu_erf()?,
        };
        &x + self.linear(&active, &format!("{prefix}.mlp.fc2"))?
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.parameters.get(name).map_or_else(|| &self.frozen[name], Var::as_tensor)
    }

    /// Returns a layer's prompts (p, d) after their linear layer.
    fn prompt(&self, (prompts, projections): (&str, &str), layer: usize) -> Result<Tensor> {
        self.linear(self.tensor(&format!("{prompts}.{layer}")), &format!("{projections}.{layer}"))
    }

    fn norm(&self, x: &Tensor, name: &str, eps: f64) -> Result<Tensor> {
        let [weight, bias] = ["weight", "bias"].map(|part| self.tensor(&format!("{name}.{part}")).clone());
        folded_layers::NormTensors { weight, bias, eps }.forward(x)
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        self.product(x, &format!("{name}.weight"))?.broadcast_add(self.tensor(&format!("{name}.bias")))
    }

    /// Computes x (.., k) W^T -> (.., n), with W (n, ..) of k values a row.
    fn product(&self, x: &Tensor, weight: &str) -> Result<Tensor> {
        let tensor = self.tensor(weight).flatten_from(1)?; // (n, k)
        let mut dims = x.dims().to_vec();
        let inputs = std::mem::replace(dims.last_mut().expect("a product's input has an axis"), tensor.dim(0)?);
        let rows = x.reshape(((), inputs))?.contiguous()?;
        let out = if self.parameters.contains_key(weight) {
            rows.matmul(&tensor.t()?)?
        } else {
            rows.apply_op1(FrozenProduct { weight: tensor })?
        };
        out.reshape(dims)
    }
}

/// Estimates the bytes that Candle keeps of a window for its backward pass: in each layer some 24 rows of a token's
/// width (two norms of six operations each, three projections, sums and copies), six of the hidden width, four squares
/// of attention weights. 220 MB for ViT-B/32, 4.1 GB for ViT-L/14.
fn window_bytes(vision: &VisionConfig, tokens: usize) -> usize {
    let row = 24 * vision.width + 6 * vision.mlp_width;
    4 * vision.layers * (tokens * row + 4 * vision.heads * tokens * tokens)
}

/// Rounds prompts as they enter a layer; the gradient of the rounding is 1.
// REFERENCE: prompts pass through f16.
fn through_f16(prompts: &Tensor) -> Result<Tensor> {
    let rounded = folded_layers::round_f16(&prompts.detach())?;
    prompts + (rounded - prompts.detach())?
}

/// Computes x (rows, k) -> (rows, n) with a weight (n, k) that gets no gradient.
struct FrozenProduct {
    weight: Tensor,
}

impl FrozenProduct {
    /// Returns the product's sizes, with the weight's transposed layout.
    fn sizes(&self, layout: &Layout) -> Result<((usize, usize, usize, usize), Layout)> {
        let (rows, k) = layout.shape().dims2()?;
        let (n, _) = self.weight.dims2()?;
        let (_, weight) = self.weight.storage_and_layout();
        Ok(((1, rows, n, k), weight.transpose(0, 1)?))
    }
}

impl CustomOp1 for FrozenProduct {
    fn name(&self) -> &'static str {
        "frozen-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (sizes, transposed) = self.sizes(layout)?;
        match &*self.weight.storage_and_layout().0 {
            Storage::Cpu(weight) => {
                Ok((storage.matmul(weight, sizes, layout, &transposed)?, (sizes.1, sizes.2).into()))
            }
            _ => bail!("a frozen weight is on another device"),
        }
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (sizes, transposed) = self.sizes(layout)?;
        match &*self.weight.storage_and_layout().0 {
            Storage::Cuda(weight) => {
                Ok((storage.matmul(weight, sizes, layout, &transposed)?, (sizes.1, sizes.2).into()))
            }
            _ => bail!("a frozen weight is on another device"),
        }
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.matmul(&self.weight)?))
    }
}
