//! The visual tower: tokens of pictures and windows in, L2-normalised features out.
//!
//! A window's sequence is its class token, the whole picture's tokens, then its own. (The paper has its own first:
//! attention has no order, positions are in the embeddings.) The first two parts, and their projections in the first
//! layer, are the same for every window of a picture and are made once: [`Shared`]. The prompts are constant keys and
//! values of each layer ([`crate::layers`]).

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use rayon::prelude::*;

use crate::arithmetic::Arithmetic;
use crate::cpu::block::{
    AttentionWeights, LastLayerOp, LayerOp, MlpWeights, NormWeights, PromptKeys, SharedProjection,
};
use crate::cpu::{Epilogue, Isa, Operands, PackedLinear, layer_norm_rows, linear_parallel};
use crate::dense::{DenseLayer, Place};
use crate::layers::{Affine, FoldedLayer, NormTensors, PlainLayer, round_f16};
use crate::patches::{Lattice, Normalised};
use crate::text::normalise;
use crate::views::{Origin, Sees};
use crate::{ClipWeights, ModelError, PromptMode, Rgb8};

/// The frozen tower with its prompts, on one device.
pub(crate) struct VisualTower {
    sees: Sees,
    /// Patches along a side.
    grid: usize,
    /// Pixels along a patch's side.
    patch: usize,
    pixels: Normalised,
    embedding: Embedding,
    backend: Backend,
}

/// What the windows of one picture have in common.
pub(crate) struct Shared {
    /// (s, d): class token, then the whole picture's, after the norm before the first layer.
    rows: Tensor,
    /// (s, 3 d): their queries, keys and values in the first layer.
    projection: Projection,
}

enum Projection {
    Cpu(Arc<Vec<f32>>),
    Dense(Tensor),
}

/// One window, ready for a batch.
#[derive(Clone)]
pub(crate) struct WindowTokens {
    pub(crate) shared: Arc<Shared>,
    /// (patches, d), or none where only the whole picture is seen.
    pub(crate) local: Option<Tensor>,
}

/// From patches to tokens, all f32 on the CPU.
struct Embedding {
    /// (d, 3 patch patch), as (out, in).
    patch: PackedLinear,
    /// (d): class token with its position.
    class: Vec<f32>,
    /// (patches, d)
    positions: Vec<f32>,
    pre_norm: NormWeights,
}

/// Who multiplies.
enum Backend {
    /// Our kernels; activations f32.
    Cpu(Box<CpuLayers>),
    /// Candle's operations, on a GPU or for comparison.
    Dense(Box<DenseLayers>),
}

struct CpuLayers {
    layers: Vec<(AttentionWeights, MlpWeights)>,
    last: (AttentionWeights, MlpWeights),
    last_query: PackedLinear,
    post_norm: NormWeights,
    /// d -> embed, in f32. Not Candle's product, whose order of summation depends on the batch.
    projection: PackedLinear,
}

struct DenseLayers {
    place: Place,
    layers: Vec<DenseLayer>,
    last: DenseLayer,
    post_norm: NormTensors,
    /// (d, embed)
    projection: Tensor,
}

/// From the class token to features.
struct Head {
    norm: NormTensors,
    /// (embed, d)
    projection: Tensor,
}

/// How the tower is to run.
#[derive(Clone)]
pub(crate) struct Backing {
    pub(crate) arithmetic: Arithmetic,
    pub(crate) device: Device,
    /// Candle's operations also on the CPU.
    pub(crate) dense: bool,
}

impl VisualTower {
    pub(crate) fn new(
        weights: &ClipWeights,
        prompts: &PromptMode,
        sees: Sees,
        backing: &Backing,
    ) -> std::result::Result<VisualTower, ModelError> {
        let config = &weights.config().vision;
        let pre_norm = NormTensors::read(weights, "vision_model.pre_layrnorm", config.eps)?;
        let mut folded = Vec::with_capacity(config.layers);
        let backend = Builder { isa: Isa::current(), backing };
        for l in 0..config.layers {
            let prompt = match prompts {
                PromptMode::Handcrafted => None,
                // REFERENCE: visual prompts pass through f16 in all layers, the first too; there alone they also pass
                // the norm before the layers.
                PromptMode::Learned(p) if l == 0 => Some(pre_norm.forward(&round_f16(&p.visual(0)?)?)?),
                PromptMode::Learned(p) => Some(round_f16(&p.visual(l)?)?),
            };
            let plain = PlainLayer::read(weights, "vision_model", l, config.eps)?;
            folded.push(plain.fold(config.heads, prompt.as_ref())?);
        }
        let position = weights.get("vision_model.embeddings.position_embedding.weight")?;
        let class = (weights.get("vision_model.embeddings.class_embedding")? + position.get(0)?)?;
        let patch = weights.get("vision_model.embeddings.patch_embedding.weight")?.flatten_from(1)?;
        let embedding = Embedding {
            patch: backend.unbiased(patch)?,
            class: class.to_vec1()?,
            positions: position.narrow(0, 1, config.patches())?.flatten_all()?.to_vec1()?,
            pre_norm: norm_weights(&pre_norm)?,
        };
        let head = Head {
            norm: NormTensors::read(weights, "vision_model.post_layernorm", config.eps)?,
            projection: weights.get("visual_projection.weight")?,
        };
        Ok(VisualTower {
            sees,
            grid: config.grid(),
            patch: config.patch,
            pixels: Normalised::new(),
            embedding,
            backend: backend.layers(folded, head)?,
        })
    }

    /// Tokens of the class and of the whole picture (224 x 224), and their part of the first layer.
    pub(crate) fn shared(&self, whole: &Rgb8) -> Result<Shared> {
        let d = self.embedding.class.len();
        let mut rows = vec![0.0; d];
        let class = self.embedding.class.clone();
        layer_norm_rows(Isa::current(), &class, self.embedding.pre_norm.as_norm(), &mut rows);
        if self.sees != Sees::Local {
            rows.extend(self.tokens(whole, &[Origin { x: 0, y: 0 }]));
        }
        let s = rows.len() / d;
        match &self.backend {
            Backend::Cpu(cpu) => {
                let attention = &cpu.layers[0].0;
                let mut normed = vec![0.0; rows.len()];
                layer_norm_rows(Isa::current(), &rows, attention.norm.as_norm(), &mut normed);
                let mut projection = vec![0.0; s * attention.projection.outputs()];
                linear_parallel(&attention.projection, &normed, Epilogue::Store, &mut projection);
                let rows = Tensor::from_vec(rows, (s, d), &Device::Cpu)?;
                Ok(Shared { rows, projection: Projection::Cpu(Arc::new(projection)) })
            }
            Backend::Dense(dense) => {
                let rows = dense.place.put(&Tensor::from_vec(rows, (s, d), &Device::Cpu)?)?;
                let projection = dense.layers[0].project(&rows.unsqueeze(0)?)?.squeeze(0)?;
                Ok(Shared { rows, projection: Projection::Dense(projection) })
            }
        }
    }

    /// Tokens of windows of 224 pixels at `origins` of a picture: (windows, patches, d). A patch that several of them
    /// share is embedded once.
    pub(crate) fn windows(&self, picture: &Rgb8, origins: &[Origin]) -> Result<Tensor> {
        let d = self.embedding.class.len();
        let tokens = self.tokens(picture, origins);
        let tokens = Tensor::from_vec(tokens, (origins.len(), self.grid * self.grid, d), &Device::Cpu)?;
        match &self.backend {
            Backend::Cpu(_) => Ok(tokens),
            Backend::Dense(dense) => dense.place.put(&tokens),
        }
    }

    /// (windows, patches, d): embedding and position, after the norm before the first layer.
    fn tokens(&self, picture: &Rgb8, origins: &[Origin]) -> Vec<f32> {
        let embedding = &self.embedding;
        let d = embedding.class.len();
        let lattice = Lattice::new(origins, self.grid as u32, self.patch as u32);
        let mut embedded = vec![0.0; lattice.corners.len() * d];
        // 64 patches of 32 pixels are 768 KiB: the gathered pixels of a large picture are never all in memory.
        let rows = 64;
        for (corners, embedded) in lattice.corners.chunks(rows).zip(embedded.chunks_mut(rows * d)) {
            let pixels = self.pixels.gather(picture, corners, self.patch);
            linear_parallel(&embedding.patch, &pixels, Epilogue::Store, embedded);
        }
        // REFERENCE: a window's tokens and the whole picture's have the same positions, 1 to 49; prompts have none.
        let mut tokens = vec![0.0; lattice.of_window.len() * d];
        let window_len = embedding.positions.len();
        let places = lattice.of_window.par_chunks_exact(self.grid * self.grid);
        tokens.par_chunks_exact_mut(window_len).zip(places).for_each(|(tokens, places)| {
            let mut sums = embedding.positions.clone();
            for (sum, place) in sums.chunks_exact_mut(d).zip(places) {
                for (sum, x) in sum.iter_mut().zip(&embedded[*place as usize * d..]) {
                    *sum += x;
                }
            }
            layer_norm_rows(Isa::current(), &sums, embedding.pre_norm.as_norm(), tokens);
        });
        tokens
    }

    /// A batch of windows, of any pictures -> features (b, embed) in f32, each of length 1.
    pub(crate) fn features(&self, batch: &[WindowTokens]) -> Result<Tensor> {
        let parts: Vec<&Tensor> =
            batch.iter().flat_map(|w| std::iter::once(&w.shared.rows).chain(w.local.as_ref())).collect();
        let x = Tensor::cat(&parts, 0)?;
        let tokens = x.dim(0)? / batch.len();
        let x = x.reshape((batch.len(), tokens, ()))?;
        normalise(&match &self.backend {
            Backend::Cpu(cpu) => cpu.features(x, batch)?,
            Backend::Dense(dense) => dense.features(x, batch)?,
        })
    }
}

impl CpuLayers {
    /// x (b, t, d) -> (b, embed), of any length.
    fn features(&self, x: Tensor, batch: &[WindowTokens]) -> Result<Tensor> {
        let class: Vec<f32> = self.class(x, batch)?.flatten_all()?.to_vec1()?;
        let mut normed = vec![0.0; class.len()];
        layer_norm_rows(Isa::current(), &class, self.post_norm.as_norm(), &mut normed);
        let mut features = vec![0.0; batch.len() * self.projection.outputs()];
        linear_parallel(&self.projection, &normed, Epilogue::Store, &mut features);
        Tensor::from_vec(features, (batch.len(), self.projection.outputs()), &Device::Cpu)
    }

    /// x (b, t, d) -> class rows (b, d) after the last layer.
    fn class(&self, x: Tensor, batch: &[WindowTokens]) -> Result<Tensor> {
        let of_window = batch.iter().map(|w| match &w.shared.projection {
            Projection::Cpu(projection) => projection.clone(),
            Projection::Dense(_) => unreachable!("a picture's tokens are made by the tower that scores it"),
        });
        let shared = SharedProjection { of_window: of_window.collect() };
        for (l, (attention, mlp)) in self.layers.iter().enumerate() {
            x.inplace_op1(&LayerOp { attention, mlp, shared: (l == 0).then_some(&shared) })?;
        }
        // REFERENCE: the class token is read, not the mean of the tokens, though it is one for 98.
        let (attention, mlp) = &self.last;
        x.apply_op1_no_bwd(&LastLayerOp { attention, queries: &self.last_query, mlp })
    }
}

impl DenseLayers {
    /// x (b, t, d) -> (b, embed) in f32, of any length.
    fn features(&self, x: Tensor, batch: &[WindowTokens]) -> Result<Tensor> {
        let class = self.class(x, batch)?.to_dtype(DType::F32)?;
        self.post_norm.forward(&class)?.matmul(&self.projection)
    }

    /// x (b, t, d) -> class rows (b, d) after the last layer.
    fn class(&self, mut x: Tensor, batch: &[WindowTokens]) -> Result<Tensor> {
        let shared = batch.iter().map(|w| match &w.shared.projection {
            Projection::Dense(projection) => projection,
            Projection::Cpu(_) => unreachable!("a picture's tokens are made by the tower that scores it"),
        });
        let shared = Tensor::stack(&shared.collect::<Vec<_>>(), 0)?;
        for (l, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, (l == 0).then_some(&shared))?;
        }
        self.last.forward_class(&x)
    }
}

fn norm_weights(norm: &NormTensors) -> Result<NormWeights> {
    Ok(NormWeights { weight: norm.weight.to_vec1()?, bias: norm.bias.to_vec1()?, eps: norm.eps as f32 })
}

/// Turns folded layers into what a backend runs.
struct Builder<'a> {
    isa: Isa,
    backing: &'a Backing,
}

impl Builder<'_> {
    fn packed(&self, affine: &Affine, operands: Operands) -> Result<PackedLinear> {
        let (n, _) = affine.weight.dims2()?;
        let weight: Vec<f32> = affine.weight.flatten_all()?.to_vec1()?;
        let bias: Vec<f32> = affine.bias.to_vec1()?;
        Ok(PackedLinear::new(&weight, Some(&bias), n, operands, self.isa))
    }

    /// A weight (out, in) alone, in f32 in every class of arithmetic.
    fn unbiased(&self, weight: Tensor) -> Result<PackedLinear> {
        let bias = Tensor::zeros(weight.dim(0)?, DType::F32, &Device::Cpu)?;
        self.packed(&Affine { weight, bias }, Operands::F32)
    }

    fn layers(&self, mut folded: Vec<FoldedLayer>, head: Head) -> Result<Backend> {
        let last = folded.pop().expect("the configuration has at least two layers");
        if self.backing.dense || !self.backing.device.is_cpu() {
            let place = Place { device: self.backing.device.clone(), dtype: self.backing.arithmetic.dtype() };
            let layers = folded.into_iter().map(|l| DenseLayer::new(l, &place)).collect::<Result<_>>()?;
            return Ok(Backend::Dense(Box::new(DenseLayers {
                layers,
                last: DenseLayer::new(last, &place)?,
                post_norm: place.put_norm(head.norm)?,
                projection: head.projection.t()?.contiguous()?.to_device(&place.device)?,
                place,
            })));
        }
        let layers = folded.into_iter().map(|layer| {
            let projection = layer.query_key_value()?;
            self.cpu_layer(layer, &projection)
        });
        let layers = layers.collect::<Result<_>>()?;
        let last_query = self.packed(&last.query, self.operands())?;
        let key_value = Affine { weight: last.key_value.weight.clone(), bias: last.key_value.bias.clone() };
        let last = self.cpu_layer(last, &key_value)?;
        Ok(Backend::Cpu(Box::new(CpuLayers {
            layers,
            last,
            last_query,
            post_norm: norm_weights(&head.norm)?,
            projection: self.unbiased(head.projection)?,
        })))
    }

    fn operands(&self) -> Operands {
        match self.backing.arithmetic {
            Arithmetic::F32 => Operands::F32,
            Arithmetic::Bf16 => Operands::Bf16,
            Arithmetic::F16 => Operands::F16,
        }
    }

    fn cpu_layer(&self, layer: FoldedLayer, projection: &Affine) -> Result<(AttentionWeights, MlpWeights)> {
        let operands = self.operands();
        let prompts = match &layer.prompts {
            None => PromptKeys::default(),
            Some((keys, values)) => {
                PromptKeys { keys: keys.flatten_all()?.to_vec1()?, values: values.flatten_all()?.to_vec1()? }
            }
        };
        let attention = AttentionWeights {
            heads: layer.heads,
            norm: norm_weights(&layer.norm1)?,
            projection: self.packed(projection, operands)?,
            prompts,
            out: self.packed(&layer.out, operands)?,
        };
        let mlp = MlpWeights {
            norm: norm_weights(&layer.norm2)?,
            up: self.packed(&layer.up, operands)?,
            down: self.packed(&layer.down, operands)?,
        };
        Ok((attention, mlp))
    }
}
