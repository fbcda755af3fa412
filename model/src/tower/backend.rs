//! The layers of the visual tower, ready to run on this crate's kernels or in Candle's operations. [`super::visual`]
//! does not know which.

use std::sync::Arc;

use candle_core::{DType, Device, Error, Result, Tensor};

use super::candle_layers::{CandleLayer, TensorOptions};
use super::folded_layers::{Affine, FoldedLayer, FoldedTower, NormTensors};
use crate::Arithmetic;
use crate::cpu::layer_ops::{
    AttentionWeights, LastLayerOp, LayerOp, MlpWeights, NormWeights, PromptKeys, WindowProjections,
};
use crate::cpu::{Epilogue, Isa, Operands, PackedLinear, layer_norm_rows, linear_parallel};

/// The norm and the projection from the class token to features.
pub(crate) struct FeatureHead {
    pub(crate) norm: NormTensors,
    /// (embed, d)
    pub(crate) projection: Tensor,
}

/// How the tower is to run.
#[derive(Clone)]
pub(crate) struct BackendOptions {
    pub(crate) arithmetic: Arithmetic,
    pub(crate) device: Device,
    /// Whether to use Candle's operations on the CPU too.
    pub(crate) use_candle: bool,
}

/// What computes the layers.
pub(crate) enum Backend {
    /// This crate's kernels on the CPU; activations are f32.
    Cpu(Box<CpuTower>),
    /// Candle's operations, on a GPU or for comparison.
    Candle(Box<CandleTower>),
}

pub(crate) struct CpuTower {
    layers: Vec<(AttentionWeights, MlpWeights)>,
    rows: Option<(usize, Tensor)>,
    last: (AttentionWeights, MlpWeights),
    last_query: PackedLinear,
    post_norm: NormWeights,
    /// d -> embed, in f32. Not Candle's product, whose order of summation depends on the batch.
    projection: PackedLinear,
}

pub(crate) struct CandleTower {
    tensor_options: TensorOptions,
    layers: Vec<CandleLayer>,
    rows: Option<(usize, Tensor)>,
    last: CandleLayer,
    post_norm: NormTensors,
    /// (d, embed)
    projection: Tensor,
}

/// Queries, keys and values (s, 3 d) in the first layer of the rows that all windows of a picture share.
pub(crate) enum SharedProjection {
    Cpu(Arc<Vec<f32>>),
    Candle(Tensor),
}

impl Backend {
    /// Returns the number of windows in a batch that fills the device; on the CPU eight for each thread.
    pub(crate) fn default_batch_size(&self) -> usize {
        match self {
            Backend::Candle(candle) if !candle.tensor_options.device.is_cpu() => 256,
            _ => (8 * rayon::current_num_threads()).max(16),
        }
    }

    /// Takes rows before the first layer, (s, d) in f32 on the CPU, and returns them in the layers' form with their
    /// part of the first layer.
    pub(crate) fn project(&self, rows: Tensor) -> Result<(Tensor, SharedProjection)> {
        match self {
            Backend::Cpu(cpu) => {
                let attention = &cpu.layers[0].0;
                let values: Vec<f32> = rows.flatten_all()?.to_vec1()?;
                let mut normed = vec![0.0; values.len()];
                layer_norm_rows(Isa::current(), &values, attention.norm.as_norm(), &mut normed);
                let mut projection = vec![0.0; rows.dim(0)? * attention.projection.outputs()];
                linear_parallel(&attention.projection, &normed, Epilogue::Store, &mut projection);
                Ok((rows, SharedProjection::Cpu(Arc::new(projection))))
            }
            Backend::Candle(candle) => {
                let rows = candle.tensor_options.convert(&rows)?;
                let projection = candle.layers[0].project(&rows.unsqueeze(0)?)?.squeeze(0)?;
                Ok((rows, SharedProjection::Candle(projection)))
            }
        }
    }

    /// Converts tokens in f32 on the CPU to the layers' form.
    pub(crate) fn convert(&self, tokens: Tensor) -> Result<Tensor> {
        match self {
            Backend::Cpu(_) => Ok(tokens),
            Backend::Candle(candle) => candle.tensor_options.convert(&tokens),
        }
    }

    /// Computes features (b, embed) in f32, of any length, of x (b, t, d), which has the shared rows of each window
    /// first, with their projections.
    pub(crate) fn features<'a>(&self, x: Tensor, shared: impl Iterator<Item = &'a SharedProjection>) -> Result<Tensor> {
        match self {
            Backend::Cpu(cpu) => cpu.features(x, shared),
            Backend::Candle(candle) => candle.features(x, shared),
        }
    }

    /// Computes the features, and what each row attends to in each layer: (b, t, t + p), the mean over heads, the
    /// prompts last. Only in Candle's operations: this crate's kernels keep no attention.
    pub(crate) fn with_attention(&self, x: Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        match self {
            Backend::Cpu(_) => unreachable!("an explainer is built on plain operations"),
            Backend::Candle(candle) => candle.with_attention(x),
        }
    }
}

impl CpuTower {
    /// Computes x (b, t, d) -> (b, embed), of any length.
    fn features<'a>(&self, x: Tensor, shared: impl Iterator<Item = &'a SharedProjection>) -> Result<Tensor> {
        let class = self.class(x, shared)?;
        let windows = class.dim(0)?;
        let class: Vec<f32> = class.flatten_all()?.to_vec1()?;
        let mut normed = vec![0.0; class.len()];
        layer_norm_rows(Isa::current(), &class, self.post_norm.as_norm(), &mut normed);
        let mut features = vec![0.0; windows * self.projection.outputs()];
        linear_parallel(&self.projection, &normed, Epilogue::Store, &mut features);
        Tensor::from_vec(features, (windows, self.projection.outputs()), &Device::Cpu)
    }

    /// Computes x (b, t, d) -> class rows (b, d) after the last layer.
    fn class<'a>(&self, mut x: Tensor, shared: impl Iterator<Item = &'a SharedProjection>) -> Result<Tensor> {
        let per_window = shared.map(|shared| match shared {
            SharedProjection::Cpu(projection) => projection.clone(),
            SharedProjection::Candle(_) => unreachable!("a picture's tokens are made by the tower that scores it"),
        });
        let shared = WindowProjections { per_window: per_window.collect() };
        for (l, (attention, mlp)) in self.layers.iter().enumerate() {
            x = with_rows(x, l, self.rows.as_ref())?;
            x.inplace_op1(&LayerOp { attention, mlp, shared: (l == 0).then_some(&shared) })?;
        }
        // REFERENCE: the class token is read, not the mean of the tokens, although it is only one of 98.
        let (attention, mlp) = &self.last;
        x.apply_op1_no_bwd(&LastLayerOp { attention, queries: &self.last_query, mlp })
    }
}

impl CandleTower {
    /// Computes x (b, t, d) -> (b, embed) in f32, of any length.
    fn features<'a>(&self, x: Tensor, shared: impl Iterator<Item = &'a SharedProjection>) -> Result<Tensor> {
        self.head(&self.class(x, shared)?)
    }

    /// Computes class rows (b, d) -> (b, embed) in f32.
    fn head(&self, class: &Tensor) -> Result<Tensor> {
        self.post_norm.forward(&class.to_dtype(DType::F32)?)?.matmul(&self.projection)
    }

    /// Computes x (b, t, d) -> (b, embed) in f32, and each layer's (b, t, t + p)
    fn with_attention(&self, mut x: Tensor) -> Result<(Tensor, Vec<Tensor>)> {
        let mut attention = Vec::with_capacity(self.layers.len() + 1);
        for (l, layer) in self.layers.iter().chain([&self.last]).enumerate() {
            let (after, paid) = layer.with_attention(&with_rows(x, l, self.rows.as_ref())?, None)?;
            attention.push(paid.mean(1)?);
            x = after;
        }
        Ok((self.head(&x.narrow(1, 0, 1)?.squeeze(1)?)?, attention))
    }

    /// Computes x (b, t, d) -> class rows (b, d) after the last layer.
    fn class<'a>(&self, mut x: Tensor, shared: impl Iterator<Item = &'a SharedProjection>) -> Result<Tensor> {
        let shared = shared.map(|shared| match shared {
            SharedProjection::Candle(projection) => projection,
            SharedProjection::Cpu(_) => unreachable!("a picture's tokens are made by the tower that scores it"),
        });
        let shared = Tensor::stack(&shared.collect::<Vec<_>>(), 0)?;
        for (l, layer) in self.layers.iter().enumerate() {
            x = with_rows(x, l, self.rows.as_ref())?;
            x = layer.forward(&x, (l == 0).then_some(&shared))?;
        }
        self.last.forward_class(&x)
    }
}

/// Appends the rows that enter at layer `l`, if any: x (b, t, d) -> (b, t + p, d).
fn with_rows(x: Tensor, l: usize, rows: Option<&(usize, Tensor)>) -> Result<Tensor> {
    match rows {
        Some((layer, rows)) if *layer == l => {
            let (p, d) = rows.dims2()?;
            let entering_rows = rows.unsqueeze(0)?.expand((x.dim(0)?, p, d))?.contiguous()?;
            Tensor::cat(&[&x, &entering_rows], 1)
        }
        _ => Ok(x),
    }
}

impl BackendOptions {
    fn packed(&self, affine: &Affine, operands: Operands) -> Result<PackedLinear> {
        let (n, _) = affine.weight.dims2()?;
        let weight: Vec<f32> = affine.weight.flatten_all()?.to_vec1()?;
        let bias: Vec<f32> = affine.bias.to_vec1()?;
        Ok(PackedLinear::new(&weight, Some(&bias), n, operands, Isa::current()))
    }

    /// Packs a weight (out, in) without a bias, in f32 in every class of arithmetic.
    pub(crate) fn unbiased(&self, weight: Tensor) -> Result<PackedLinear> {
        let bias = Tensor::zeros(weight.dim(0)?, DType::F32, &Device::Cpu)?;
        self.packed(&Affine { weight, bias }, Operands::F32)
    }

    /// Builds the backend of the tower's layers, first to last, and of the head that follows them.
    pub(crate) fn build(&self, tower: FoldedTower, head: FeatureHead) -> Result<Backend> {
        let FoldedTower { layers: mut folded, rows } = tower;
        let last = folded.pop().expect("the configuration has at least two layers");
        if self.use_candle || !self.device.is_cpu() {
            let tensor_options = TensorOptions { device: self.device.clone(), dtype: self.arithmetic.dtype() };
            let layers = folded.into_iter().map(|l| CandleLayer::new(l, &tensor_options)).collect::<Result<_>>()?;
            return Ok(Backend::Candle(Box::new(CandleTower {
                layers,
                rows: rows.map(|(l, rows)| Ok::<_, Error>((l, tensor_options.convert(&rows)?))).transpose()?,
                last: CandleLayer::new(last, &tensor_options)?,
                post_norm: tensor_options.convert_norm(head.norm)?,
                projection: head.projection.t()?.contiguous()?.to_device(&tensor_options.device)?,
                tensor_options,
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
        Ok(Backend::Cpu(Box::new(CpuTower {
            layers,
            rows,
            last,
            last_query,
            post_norm: norm_weights(&head.norm)?,
            projection: self.unbiased(head.projection)?,
        })))
    }

    fn operands(&self) -> Operands {
        match self.arithmetic {
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
            activation: layer.activation,
            down: self.packed(&layer.down, operands)?,
        };
        Ok((attention, mlp))
    }
}

pub(crate) fn norm_weights(norm: &NormTensors) -> Result<NormWeights> {
    Ok(NormWeights { weight: norm.weight.to_vec1()?, bias: norm.bias.to_vec1()?, eps: norm.eps as f32 })
}
