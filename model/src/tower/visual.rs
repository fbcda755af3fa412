//! The visual tower: takes tokens of pictures and windows, and returns L2-normalised features.
//!
//! A window's sequence is its class token, the whole picture's tokens, then its own. (The paper has the window's own
//! tokens first: attention has no order, positions are in the embeddings.) The first two parts, and their projections
//! in the first layer, are the same for every window of a picture and are computed once: [`SharedTokens`]. The prompts
//! are constant keys and values of each layer; where they end before the layers do, the last prompts are rows at the
//! end of the sequence ([`super::folded_layers`]).

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::backend::{Backend, BackendOptions, FeatureHead, SharedProjection, norm_weights};
use super::folded_layers::{FoldedTower, NormTensors, PlainLayer, round_f16};
use super::text::normalise;
use crate::cpu::layer_ops::NormWeights;
use crate::cpu::{Epilogue, Isa, PackedLinear, layer_norm_rows, linear_parallel};
use crate::picture::patches::{PatchLattice, PixelNormalizer};
use crate::picture::{Origin, ViewMode};
use crate::{ClipWeights, ModelError, PromptMode, Rgb8};

/// The frozen tower with its prompts, on one device.
pub(crate) struct VisualTower {
    sees: ViewMode,
    /// Patches along a side.
    grid: usize,
    /// Pixels along a patch's side.
    patch: usize,
    pixels: PixelNormalizer,
    embedding: Embedding,
    backend: Backend,
}

/// Folds the tower's layers with the prompts that enter each of them.
fn folded_layers(
    weights: &ClipWeights,
    prompts: &PromptMode,
    pre_norm: &NormTensors,
) -> std::result::Result<FoldedTower, ModelError> {
    let config = &weights.config().vision;
    let mut prompt_rows = match prompts {
        PromptMode::Handcrafted => Vec::new(),
        PromptMode::Learned(p) => {
            (0..p.shape().visual_depth).map(|l| round_f16(&p.visual(l)?)).collect::<Result<Vec<_>>>()?
        }
    };
    // REFERENCE: visual prompts pass through f16 in all layers, including the first; only the first layer's prompts
    // also pass the norm before the layers.
    if let Some(first) = prompt_rows.first_mut() {
        *first = pre_norm.forward(first)?;
    }
    let depth = prompt_rows.len();
    let rows = if (1..config.layers).contains(&depth) { prompt_rows.pop().map(|rows| (depth - 1, rows)) } else { None };
    let fold = |l: usize| {
        let plain = PlainLayer::read(weights, "vision_model", l, (config.eps, config.activation))?;
        Ok(plain.fold(config.heads, prompt_rows.get(l))?)
    };
    let layers = (0..config.layers).map(fold).collect::<std::result::Result<_, ModelError>>()?;
    Ok(FoldedTower { layers, rows })
}

/// The tokens that all windows of one picture share.
pub(crate) struct SharedTokens {
    /// (s, d): class token, then the whole picture's tokens, after the norm before the first layer.
    rows: Tensor,
    /// (s, 3 d): their queries, keys and values in the first layer.
    projection: SharedProjection,
}

/// The tokens of one window, ready for a batch.
#[derive(Clone)]
pub(crate) struct WindowTokens {
    pub(crate) shared: Arc<SharedTokens>,
    /// (patches, d); `None` if only the whole picture is seen.
    pub(crate) local: Option<Tensor>,
}

/// The weights that turn patches into tokens, all f32 on the CPU.
struct Embedding {
    /// (d, 3 patch patch), as (out, in).
    patch: PackedLinear,
    /// (d): class token with its position, after the norm; the same for every picture.
    class: Vec<f32>,
    /// (patches, d)
    positions: Vec<f32>,
    pre_norm: NormWeights,
}

/// The visual tower as it is read, all f32 on the CPU; each backend is made of it.
pub(crate) struct VisualWeights {
    pub(crate) layers: FoldedTower,
    pub(crate) head: FeatureHead,
    /// (d, 3, patch, patch)
    pub(crate) patch: Tensor,
    /// (d): class token with its position, after the norm.
    pub(crate) class: Vec<f32>,
    /// (patches, d)
    pub(crate) positions: Tensor,
    pub(crate) pre_norm: NormTensors,
}

impl VisualWeights {
    pub(crate) fn read(weights: &ClipWeights, prompts: &PromptMode) -> std::result::Result<VisualWeights, ModelError> {
        let config = &weights.config().vision;
        let pre_norm = NormTensors::read(weights, "vision_model.pre_layrnorm", config.eps)?;
        let layers = folded_layers(weights, prompts, &pre_norm)?;
        let position = weights.get("vision_model.embeddings.position_embedding.weight")?;
        let class = (weights.get("vision_model.embeddings.class_embedding")? + position.get(0)?)?;
        let class: Vec<f32> = class.to_vec1()?;
        let mut normed_class = vec![0.0; class.len()];
        layer_norm_rows(Isa::current(), &class, norm_weights(&pre_norm)?.as_norm(), &mut normed_class);
        Ok(VisualWeights {
            layers,
            head: FeatureHead {
                norm: NormTensors::read(weights, "vision_model.post_layernorm", config.eps)?,
                projection: weights.get("visual_projection.weight")?,
            },
            patch: weights.get("vision_model.embeddings.patch_embedding.weight")?,
            class: normed_class,
            positions: position.narrow(0, 1, config.patches())?,
            pre_norm,
        })
    }
}

impl VisualTower {
    pub(crate) fn new(parts: VisualWeights, sees: ViewMode, backend_options: &BackendOptions) -> Result<VisualTower> {
        let VisualWeights { layers, head, patch, class, positions, pre_norm } = parts;
        Ok(VisualTower {
            sees,
            grid: positions.dim(0)?.isqrt(),
            patch: patch.dim(2)?,
            pixels: PixelNormalizer::new(),
            embedding: Embedding {
                patch: backend_options.unbiased(patch.flatten_from(1)?)?,
                class,
                positions: positions.flatten_all()?.to_vec1()?,
                pre_norm: norm_weights(&pre_norm)?,
            },
            backend: backend_options.build(layers, head)?,
        })
    }

    /// Computes the tokens of the class and of the whole picture (224 x 224), and their part of the first layer.
    pub(crate) fn shared(&self, whole: &Rgb8) -> Result<SharedTokens> {
        let d = self.embedding.class.len();
        let mut rows = self.embedding.class.clone();
        if self.sees != ViewMode::Local {
            rows.extend(self.tokens(whole, &[Origin { x: 0, y: 0 }]));
        }
        let s = rows.len() / d;
        let (rows, projection) = self.backend.project(Tensor::from_vec(rows, (s, d), &Device::Cpu)?)?;
        Ok(SharedTokens { rows, projection })
    }

    /// Computes the tokens of windows of 224 pixels at `origins` of a picture: (windows, patches, d). A patch that
    /// several windows share is embedded once.
    pub(crate) fn windows(&self, picture: &Rgb8, origins: &[Origin]) -> Result<Tensor> {
        let d = self.embedding.class.len();
        let tokens = self.tokens(picture, origins);
        let tokens = Tensor::from_vec(tokens, (origins.len(), self.grid * self.grid, d), &Device::Cpu)?;
        self.backend.convert(tokens)
    }

    /// Returns (windows, patches, d): embedding and position, after the norm before the first layer.
    fn tokens(&self, picture: &Rgb8, origins: &[Origin]) -> Vec<f32> {
        let embedding = &self.embedding;
        let d = embedding.class.len();
        let lattice = PatchLattice::new(origins, self.grid as u32, self.patch as u32);
        let mut embedded = vec![0.0; lattice.corners.len() * d];
        // 64 patches of 32 pixels take 768 KiB, so the gathered pixels of a large picture are never all in memory.
        let rows = 64;
        for (corners, embedded) in lattice.corners.chunks(rows).zip(embedded.chunks_mut(rows * d)) {
            let pixels = self.pixels.gather(picture, corners, self.patch);
            linear_parallel(&embedding.patch, &pixels, Epilogue::Store, embedded);
        }
        // REFERENCE: a window's tokens and the whole picture's have the same positions, 1 to 49; prompts have none.
        let mut tokens = vec![0.0; lattice.window_patches.len() * d];
        let window_len = embedding.positions.len();
        let places = lattice.window_patches.par_chunks_exact(self.grid * self.grid);
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

    /// Computes the features (b, embed) of a batch of windows of any pictures, in f32, each of length 1.
    pub(crate) fn features(&self, batch: &[WindowTokens]) -> Result<Tensor> {
        let x = sequences(batch)?;
        normalise(&self.backend.features(x, batch.iter().map(|w| &w.shared.projection))?)
    }

    /// Returns the features, and what each row attends to in each layer ([`Backend::with_attention`]).
    pub(crate) fn with_attention(&self, batch: &[WindowTokens]) -> Result<(Tensor, Vec<Tensor>)> {
        let (features, attention) = self.backend.with_attention(sequences(batch)?)?;
        Ok((normalise(&features)?, attention))
    }

    /// Returns the number of windows in a batch that fills the device.
    pub(crate) fn default_batch_size(&self) -> usize {
        self.backend.default_batch_size()
    }

    /// Returns the number of patches along a side.
    pub(crate) fn grid(&self) -> usize {
        self.grid
    }
}

/// Concatenates each window's class token, whole picture and own tokens: (b, t, d).
fn sequences(batch: &[WindowTokens]) -> Result<Tensor> {
    let parts: Vec<&Tensor> =
        batch.iter().flat_map(|w| std::iter::once(&w.shared.rows).chain(w.local.as_ref())).collect();
    let x = Tensor::cat(&parts, 0)?;
    let tokens = x.dim(0)? / batch.len();
    x.reshape((batch.len(), tokens, ()))
}
