//! The visual tower as operations of a [`GpuBackend`]: takes the pixels of patches and computes features.
//!
//! A window's rows are its class token, the whole picture's patches, its own, and, where prompts end before the layers
//! do, the last prompts as rows. Those rows exist from the start and enter with their layer: until then they are not
//! keys, and nothing is added to them.

use candle_core::{DType, Device, Result, Tensor};

use super::backend::{
    Assemble, Attention, BiasSilu, BufferSlice, Element, GpuBackend, KernelOp, LinearBuffers, MatrixRows, NormBuffers,
    Normed, Pixels, ResidualNorm, Strided,
};
use super::limits;
use crate::picture::ViewMode;
use crate::picture::patches::{DEVIATION, MEAN};
use crate::tower::folded_layers::{Affine, FoldedLayer, NormTensors};
use crate::tower::visual::VisualWeights;

/// Returns the number of views in a sequence.
pub(crate) fn view_count(sees: ViewMode) -> usize {
    if sees == ViewMode::Both { 2 } else { 1 }
}

/// The sizes that determine a batch's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TowerSizes {
    /// Patches of one view.
    pub(crate) patches: usize,
    /// Views in a sequence: 2 for the whole picture and the window, otherwise 1.
    pub(crate) views: usize,
    /// Prompts that are rows.
    pub(crate) prompt_rows: usize,
    pub(crate) width: usize,
    pub(crate) mlp_width: usize,
    pub(crate) embed: usize,
    /// Pixels along a patch's side.
    pub(crate) patch: usize,
    /// Bytes of a patch, padded to a multiple of 16.
    pub(crate) patch_bytes: usize,
}

impl TowerSizes {
    /// Returns the rows of a window.
    pub(crate) fn tokens(&self) -> usize {
        self.own_tokens() + self.prompt_rows
    }

    /// Returns the rows of a window without prompts.
    pub(crate) fn own_tokens(&self) -> usize {
        1 + self.views * self.patches
    }
}

/// The second half of a layer, and the norm that follows it.
struct Mlp<B: GpuBackend> {
    norm: NormBuffers<B>,
    up: LinearBuffers<B, u16>,
    up_bias: B::Buffer<f32>,
    down: LinearBuffers<B, u16>,
    down_bias: B::Buffer<f32>,
}

struct Layer<B: GpuBackend> {
    norm: NormBuffers<B>,
    /// Weights of queries, keys and values; in the last layer of keys and values.
    project: LinearBuffers<B, u16>,
    /// Keys and values (p, width).
    prompts: (B::Buffer<u16>, B::Buffer<u16>),
    prompt_count: usize,
    out: LinearBuffers<B, u16>,
    out_bias: B::Buffer<f32>,
    mlp: Mlp<B>,
}

/// The tower's weights on a backend.
pub(crate) struct KernelTower<B: GpuBackend> {
    pub(crate) backend: B,
    pub(crate) sizes: TowerSizes,
    /// Windows of a batch that fills the device.
    pub(crate) default_batch_size: usize,
    heads: usize,
    patch: LinearBuffers<B, u16>,
    positions: B::Buffer<f32>,
    /// The class token, then the prompts that are rows.
    constants: B::Buffer<f32>,
    pre_norm: NormBuffers<B>,
    layers: Vec<Layer<B>>,
    /// The layer in which the prompts that are rows enter.
    rows_enter: usize,
    last: Layer<B>,
    last_query: LinearBuffers<B, u16>,
    post_norm: NormBuffers<B>,
    projection: LinearBuffers<B, f32>,
}

/// The buffers that a batch is computed in. They are allocated once and reused.
pub(crate) struct Buffers<B: GpuBackend> {
    patches: B::Buffer<u16>,
    embedded: B::Buffer<f32>,
    x: B::Buffer<f32>,
    normed: B::Buffer<u16>,
    projected: B::Buffer<u16>,
    attended: B::Buffer<u16>,
    hidden: B::Buffer<u16>,
    product: B::Buffer<u16>,
    class: B::Buffer<f32>,
    pub(crate) features: B::Buffer<f32>,
}

/// Returns the windows of a batch whose products fill two whole waves of 128 x 256 tiles on this many processors.
fn whole_waves(processors: usize, tokens: usize, width: usize) -> usize {
    let rows_of_wave = processors / width.div_ceil(256).max(1) * 128;
    (2 * rows_of_wave / tokens).max(1)
}

/// Uploads f32 tensors to a backend.
struct Uploader<'a, B: GpuBackend> {
    backend: &'a B,
    windows: usize,
}

impl<B: GpuBackend> Uploader<'_, B> {
    fn floats(&self, x: &Tensor) -> Result<B::Buffer<f32>> {
        self.backend.upload(&x.flatten_all()?.to_vec1::<f32>()?)
    }

    fn halves(&self, x: &Tensor) -> Result<B::Buffer<u16>> {
        let half = self.backend.half();
        let bits: Vec<u16> = x.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|x| half.round(x)).collect();
        self.backend.upload(&bits)
    }

    fn norm(&self, norm: &NormTensors) -> Result<NormBuffers<B>> {
        Ok(NormBuffers { weight: self.floats(&norm.weight)?, bias: self.floats(&norm.bias)?, eps: norm.eps as f32 })
    }

    /// Uploads a weight (outputs, inputs) whose input has at most `rows` rows per window.
    fn linear(&self, weight: &Tensor, bias: Option<&Tensor>, rows: usize) -> Result<LinearBuffers<B, u16>> {
        let (outputs, inputs) = weight.dims2()?;
        let bias = bias.map(|bias| self.halves(bias)).transpose()?;
        Ok(LinearBuffers { weight: self.halves(weight)?, bias, outputs, inputs, rows_max: self.windows * rows })
    }

    /// Uploads a layer. `projection` follows the layer's first norm and has `rows` rows per window; the later weights
    /// have `rows_after`.
    fn layer(&self, layer: &FoldedLayer, projection: &Affine, bias: bool, rows: [usize; 2]) -> Result<Layer<B>> {
        let [rows, rows_after] = rows;
        let none = Tensor::zeros((0, projection.weight.dim(1)?), DType::F32, &Device::Cpu)?;
        let (keys, values) = layer.prompts.as_ref().map_or((&none, &none), |(keys, values)| (keys, values));
        // A buffer must not be empty.
        let prompts = |x: &Tensor| if x.elem_count() == 0 { self.backend.alloc(1) } else { self.halves(x) };
        Ok(Layer {
            norm: self.norm(&layer.norm1)?,
            project: self.linear(&projection.weight, bias.then_some(&projection.bias), rows)?,
            prompts: (prompts(keys)?, prompts(values)?),
            prompt_count: keys.dim(0)?,
            out: self.linear(&layer.out.weight, None, rows_after)?,
            out_bias: self.floats(&layer.out.bias)?,
            mlp: Mlp {
                norm: self.norm(&layer.norm2)?,
                up: self.linear(&layer.up.weight, None, rows_after)?,
                up_bias: self.floats(&layer.up.bias)?,
                down: self.linear(&layer.down.weight, None, rows_after)?,
                down_bias: self.floats(&layer.down.bias)?,
            },
        })
    }
}

/// Converts the patch weights to inputs of (byte - 128) / 64 in the picture's order (y, x, channel), and returns the
/// constant that normalisation adds to every embedding: W ((byte / 255 - mean) / deviation) = W' ((byte - 128) / 64) +
/// constant. The weights of the padding are zero.
fn patch_weights(weight: &Tensor) -> Result<(Tensor, Tensor)> {
    let per_channel = |f: fn(f32, f32) -> f32| {
        let values: Vec<f32> = MEAN.iter().zip(DEVIATION).map(|(mean, deviation)| f(*mean, deviation)).collect();
        Tensor::from_vec(values, (1, 3, 1, 1), &Device::Cpu)
    };
    let scale = per_channel(|_, deviation| 64.0 / 255.0 / deviation)?;
    let middle = per_channel(|mean, deviation| (128.0 / 255.0 - mean) / deviation)?;
    let constant = weight.broadcast_mul(&middle)?.flatten_from(1)?.sum(1)?; // (d)
    let scaled = weight.broadcast_mul(&scale)?.permute((0, 2, 3, 1))?.flatten_from(1)?.contiguous()?; // (d, side side 3)
    let bytes = scaled.dim(1)?;
    Ok((scaled.pad_with_zeros(1, 0, bytes.next_multiple_of(16) - bytes)?, constant))
}

impl<B: GpuBackend> KernelTower<B> {
    pub(crate) fn new(backend: B, parts: &VisualWeights, views: usize) -> Result<KernelTower<B>> {
        let (patches, width) = parts.positions.dims2()?;
        let layers = &parts.layers.layers;
        let (last, others) = layers.split_last().expect("the configuration has at least two layers");
        let (rows_enter, rows) = match &parts.layers.rows {
            Some((layer, rows)) => (*layer, Some(rows)),
            None => (0, None),
        };
        let (patch_weight, patch_constant) = patch_weights(&parts.patch)?;
        let sizes = TowerSizes {
            patches,
            views,
            prompt_rows: rows.map_or(Ok(0), |rows| rows.dim(0))?,
            width,
            mlp_width: last.up.weight.dim(0)?,
            embed: parts.head.projection.dim(0)?,
            patch: parts.patch.dim(2)?,
            patch_bytes: patch_weight.dim(1)?,
        };
        let tokens = sizes.tokens();
        let default_batch_size = backend.processors().map_or(16, |processors| whole_waves(processors, tokens, width));
        let uploader = Uploader { backend: &backend, windows: default_batch_size };
        let class = Tensor::from_slice(&parts.class, (1, width), &Device::Cpu)?;
        let constants = Tensor::cat(&[Some(&class), rows].into_iter().flatten().collect::<Vec<_>>(), 0)?;
        let projection = &parts.head.projection;
        let built = others.iter().map(|layer| uploader.layer(layer, &layer.query_key_value()?, true, [tokens, tokens]));
        Ok(KernelTower {
            heads: last.heads,
            patch: uploader.linear(&patch_weight, None, patches)?,
            positions: uploader.floats(&parts.positions.broadcast_add(&patch_constant)?)?,
            constants: uploader.floats(&constants)?,
            pre_norm: uploader.norm(&parts.pre_norm)?,
            layers: built.collect::<Result<_>>()?,
            rows_enter,
            last: uploader.layer(last, &last.key_value, false, [tokens, 1])?,
            last_query: uploader.linear(&last.query.weight, Some(&last.query.bias), 1)?,
            post_norm: uploader.norm(&parts.head.norm)?,
            projection: LinearBuffers {
                weight: uploader.floats(projection)?,
                bias: None,
                outputs: sizes.embed,
                inputs: width,
                rows_max: default_batch_size,
            },
            sizes,
            default_batch_size,
            backend,
        })
    }

    /// Returns why the tower's sequences do not fit the device; `None` if they do.
    pub(crate) fn unsupported_reason(&self) -> Option<String> {
        let prompts = self.layers.iter().chain([&self.last]).map(|layer| layer.prompt_count).max().unwrap_or(0);
        let (needed, there) =
            (limits::attention_shared_bytes(self.sizes.tokens() + prompts), self.backend.shared_bytes_max());
        (needed > there)
            .then(|| format!("sequences that take {needed} bytes of shared memory, and this device has {there}"))
    }

    /// Counts the operations of products and attention in a batch of this many windows with this many patches in all.
    #[cfg(feature = "cuda")]
    pub(crate) fn flops(&self, windows: usize, patches: usize) -> f64 {
        let TowerSizes { width, mlp_width, embed, patch_bytes, .. } = self.sizes;
        let tokens = self.sizes.tokens();
        let layer = |rows: usize, projections: usize, layer: &Layer<B>| {
            let weights = projections + rows * (width * width + 2 * width * mlp_width);
            2 * weights + 4 * rows * (tokens + layer.prompt_count) * width
        };
        let whole = self.layers.iter().map(|one| layer(tokens, tokens * 3 * width * width, one)).sum::<usize>();
        let last = layer(1, (2 * tokens + 1) * width * width, &self.last);
        (windows * (whole + last + 2 * width * embed) + 2 * patches * patch_bytes * width) as f64
    }

    /// Allocates the buffers for batches of this many windows with this many patches in all.
    pub(crate) fn buffers(&self, windows: usize, patches: usize) -> Result<Buffers<B>> {
        let TowerSizes { width, mlp_width, embed, patch_bytes, .. } = self.sizes;
        let (backend, rows) = (&self.backend, windows * self.sizes.tokens());
        Ok(Buffers {
            patches: backend.alloc(patches * patch_bytes)?,
            embedded: backend.alloc(patches * width)?,
            x: backend.alloc(rows * width)?,
            normed: backend.alloc(rows * width)?,
            projected: backend.alloc(rows * 3 * width)?,
            attended: backend.alloc(rows * width)?,
            hidden: backend.alloc(rows * mlp_width)?,
            product: backend.alloc(rows * width)?,
            class: backend.alloc(windows * width)?,
            features: backend.alloc(windows * embed)?,
        })
    }

    /// Computes features (windows, embed), not normalised, of the windows in the slot: bytes (patches, patch), row
    /// indices (windows, tokens).
    pub(crate) fn run(&self, slot: &B::Slot, windows: usize, patches: usize, buffers: &Buffers<B>) -> Result<()> {
        let (bytes, row_indices) = self.backend.slot_inputs(slot);
        self.embed(bytes, patches, buffers)?;
        let TowerSizes { width, .. } = self.sizes;
        let (tokens, own) = (self.sizes.tokens(), self.sizes.own_tokens());
        self.backend.run(&KernelOp::Assemble(Assemble {
            row_indices,
            embedded: &buffers.embedded,
            positions: &self.positions,
            constants: &self.constants,
            pre_norm: &self.pre_norm,
            norm: &self.layers[0].norm,
            x: &buffers.x,
            normed: &buffers.normed,
            rows: windows * tokens,
            width,
            tokens,
            patches: self.sizes.patches,
        }))?;
        for (l, layer) in self.layers.iter().enumerate() {
            let active = if l < self.rows_enter { own } else { tokens };
            let pass = LayerPass { tower: self, layer, buffers, windows, rows: tokens, active, stride: width };
            let next = self.layers.get(l + 1).unwrap_or(&self.last);
            pass.run_all_rows(&next.norm)?;
        }
        let pass =
            LayerPass { tower: self, layer: &self.last, buffers, windows, rows: 1, active: 1, stride: tokens * width };
        pass.run_class_token()?;
        let class = MatrixRows { buffer: &buffers.class, count: windows, stride: width };
        self.backend.matmul(&self.projection, class, &buffers.features)
    }

    /// Embeds bytes (patches, patch) -> embedded (patches, width).
    fn embed(&self, bytes: &B::Buffer<u8>, patches: usize, buffers: &Buffers<B>) -> Result<()> {
        let stride = self.sizes.patch_bytes;
        let out = &buffers.patches;
        self.backend.run(&KernelOp::Pixels(Pixels { bytes, out, count: patches * stride }))?;
        self.backend.matmul(&self.patch, MatrixRows { buffer: out, count: patches, stride }, &buffers.embedded)
    }
}

/// One layer applied to a batch, for all rows of each window or for the first.
struct LayerPass<'a, B: GpuBackend> {
    tower: &'a KernelTower<B>,
    layer: &'a Layer<B>,
    buffers: &'a Buffers<B>,
    windows: usize,
    /// Rows of a window that pass the layer.
    rows: usize,
    /// Rows of a window that have entered.
    active: usize,
    /// Elements of x from one such row to the next.
    stride: usize,
}

impl<B: GpuBackend> LayerPass<'_, B> {
    /// Runs the layer for all rows, and the norm before the next layer.
    fn run_all_rows(&self, next: &NormBuffers<B>) -> Result<()> {
        let LayerPass { layer, buffers, windows, rows, .. } = *self;
        let width = self.tower.sizes.width;
        self.matmul(&layer.project, &buffers.normed, width, &buffers.projected, windows * rows)?;
        let strided = |start| Strided {
            slice: BufferSlice { buffer: &buffers.projected, start },
            row: 3 * width,
            window: rows * 3 * width,
        };
        self.attend(strided(0), strided(width), 2 * width, self.active)?;
        self.finish_layer(next, Normed::Half(&buffers.normed))
    }

    /// Runs the last layer for each window's class token, and the norm after it.
    fn run_class_token(&self) -> Result<()> {
        let LayerPass { tower, layer, buffers, windows, .. } = *self;
        let (width, tokens) = (tower.sizes.width, tower.sizes.tokens());
        self.matmul(&layer.project, &buffers.normed, width, &buffers.projected, windows * tokens)?;
        // The first row of each window is read in place. `hidden` holds the queries until the hidden rows need it.
        self.matmul(&tower.last_query, &buffers.normed, tokens * width, &buffers.hidden, windows)?;
        let queries = Strided { slice: BufferSlice::start(&buffers.hidden), row: width, window: width };
        let keys =
            Strided { slice: BufferSlice::start(&buffers.projected), row: 2 * width, window: tokens * 2 * width };
        self.attend(queries, keys, width, tokens)?;
        self.finish_layer(&tower.post_norm, Normed::F32(&buffers.class))
    }

    fn attend(&self, queries: Strided<'_, B>, keys: Strided<'_, B>, values: usize, tokens: usize) -> Result<()> {
        let LayerPass { tower, layer, buffers, windows, rows, .. } = *self;
        let width = tower.sizes.width;
        tower.backend.run(&KernelOp::Attention(Attention {
            queries,
            values: BufferSlice { buffer: &buffers.projected, start: values },
            keys,
            prompts: (&layer.prompts.0, &layer.prompts.1),
            out: Strided { slice: BufferSlice::start(&buffers.attended), row: width, window: rows * width },
            windows,
            heads: tower.heads,
            rows,
            tokens,
            prompt_count: layer.prompt_count,
        }))
    }

    /// Runs the layer from the attended rows to its end, and the norm that follows.
    fn finish_layer(&self, next: &NormBuffers<B>, normed: Normed<'_, B>) -> Result<()> {
        let LayerPass { tower, layer, buffers, windows, rows, .. } = *self;
        let (width, mlp, count) = (tower.sizes.width, &layer.mlp, windows * rows);
        self.matmul(&layer.out, &buffers.attended, width, &buffers.product, count)?;
        self.add(&layer.out_bias, &mlp.norm, Normed::Half(&buffers.normed))?;
        self.matmul(&mlp.up, &buffers.normed, width, &buffers.hidden, count)?;
        let columns = tower.sizes.mlp_width;
        tower.backend.run(&KernelOp::BiasSilu(BiasSilu {
            x: &buffers.hidden,
            bias: &mlp.up_bias,
            rows: count,
            columns,
        }))?;
        self.matmul(&mlp.down, &buffers.hidden, columns, &buffers.product, count)?;
        self.add(&mlp.down_bias, next, normed)
    }

    fn add(&self, bias: &B::Buffer<f32>, norm: &NormBuffers<B>, normed: Normed<'_, B>) -> Result<()> {
        let LayerPass { tower, buffers, windows, rows, active, stride, .. } = *self;
        tower.backend.run(&KernelOp::ResidualNorm(ResidualNorm {
            product: &buffers.product,
            bias,
            x: &buffers.x,
            stride,
            norm,
            normed,
            rows: windows * rows,
            width: tower.sizes.width,
            tokens: rows,
            active,
        }))
    }

    fn matmul<O: Element>(
        &self,
        linear: &LinearBuffers<B, u16>,
        buffer: &B::Buffer<u16>,
        stride: usize,
        out: &B::Buffer<O>,
        count: usize,
    ) -> Result<()> {
        self.tower.backend.matmul(linear, MatrixRows { buffer, count, stride }, out)
    }
}

#[cfg(test)]
impl KernelTower<super::reference::Reference> {
    pub(super) fn with_alloc_len_max(mut self, alloc_len_max: usize) -> Self {
        self.backend = self.backend.with_alloc_len_max(alloc_len_max);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_waves_of_an_h200_are_113_windows_of_the_paper() {
        assert_eq!(whole_waves(132, 99, 768), 113);
        assert_eq!(whole_waves(1, 99, 768), 1);
    }
}
