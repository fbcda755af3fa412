//! The visual tower as steps of a [`Machine`]: pixels of patches in, features out.
//!
//! A window's rows are its class token, the whole picture's patches, its own, and, where prompts end before the layers do, the
//! last of them as rows, which are there from the start and enter with their layer: until then they are no keys, and nothing
//! is added to them.

use candle_core::{DType, Device, Result, Tensor};

use super::backend::{
    Assemble, Attention, BiasSilu, Element, From, Linear, Machine, Norm, Normed, Pixels, ResidualNorm, RowsOf, Step,
    Strided,
};
use super::limits;
use crate::picture::ViewMode;
use crate::picture::patches::{DEVIATION, MEAN};
use crate::tower::folded_layers::{Affine, FoldedLayer, NormTensors};
use crate::tower::visual::Parts;

/// Views in a sequence.
pub(crate) fn views_of(sees: ViewMode) -> usize {
    if sees == ViewMode::Both { 2 } else { 1 }
}

/// What decides the sizes of a batch's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Patches of one view.
    pub(crate) patches: usize,
    /// Views in a sequence: the whole picture, the window, or both.
    pub(crate) views: usize,
    /// Prompts that are rows.
    pub(crate) prompt_rows: usize,
    pub(crate) width: usize,
    pub(crate) mlp_width: usize,
    pub(crate) embed: usize,
    /// Pixels along a patch's side.
    pub(crate) patch: usize,
    /// Bytes of a patch, with what makes them a multiple of 16.
    pub(crate) patch_bytes: usize,
}

impl Sizes {
    /// Rows of a window.
    pub(crate) fn tokens(&self) -> usize {
        self.own_tokens() + self.prompt_rows
    }

    /// Of them, all but prompts.
    pub(crate) fn own_tokens(&self) -> usize {
        1 + self.views * self.patches
    }
}

/// The second half of a layer, and the norm that follows it.
struct Mlp<M: Machine> {
    norm: Norm<M>,
    up: Linear<M, u16>,
    up_bias: M::Of<f32>,
    down: Linear<M, u16>,
    down_bias: M::Of<f32>,
}

struct Layer<M: Machine> {
    norm: Norm<M>,
    /// Queries, keys and values; in the last layer keys and values.
    project: Linear<M, u16>,
    /// Keys and values (p, width).
    prompts: (M::Of<u16>, M::Of<u16>),
    prompt_count: usize,
    out: Linear<M, u16>,
    out_bias: M::Of<f32>,
    mlp: Mlp<M>,
}

/// The tower's weights on a machine.
pub(crate) struct KernelTower<M: Machine> {
    pub(crate) machine: M,
    pub(crate) sizes: Sizes,
    /// Windows of a batch that fills the machine.
    pub(crate) batch_usual: usize,
    heads: usize,
    patch: Linear<M, u16>,
    positions: M::Of<f32>,
    /// The class token, then the prompts that are rows.
    constants: M::Of<f32>,
    pre_norm: Norm<M>,
    layers: Vec<Layer<M>>,
    /// The layer in which the prompts that are rows enter.
    rows_enter: usize,
    last: Layer<M>,
    last_query: Linear<M, u16>,
    post_norm: Norm<M>,
    projection: Linear<M, f32>,
}

/// What a batch is computed in. Made once and used again.
pub(crate) struct Buffers<M: Machine> {
    patches: M::Of<u16>,
    embedded: M::Of<f32>,
    x: M::Of<f32>,
    normed: M::Of<u16>,
    projected: M::Of<u16>,
    attended: M::Of<u16>,
    hidden: M::Of<u16>,
    product: M::Of<u16>,
    class: M::Of<f32>,
    pub(crate) features: M::Of<f32>,
}

/// Windows of a batch whose products fill whole waves of tiles of 128 x 256 on so many processors, two of them.
fn whole_waves(processors: usize, tokens: usize, width: usize) -> usize {
    let rows_of_wave = processors / width.div_ceil(256).max(1) * 128;
    (2 * rows_of_wave / tokens).max(1)
}

/// Puts f32 tensors on a machine.
struct Put<'a, M: Machine> {
    machine: &'a M,
    windows: usize,
}

impl<M: Machine> Put<'_, M> {
    fn floats(&self, x: &Tensor) -> Result<M::Of<f32>> {
        self.machine.put(&x.flatten_all()?.to_vec1::<f32>()?)
    }

    fn halves(&self, x: &Tensor) -> Result<M::Of<u16>> {
        let half = self.machine.half();
        let bits: Vec<u16> = x.flatten_all()?.to_vec1::<f32>()?.into_iter().map(|x| half.round(x)).collect();
        self.machine.put(&bits)
    }

    fn norm(&self, norm: &NormTensors) -> Result<Norm<M>> {
        Ok(Norm { weight: self.floats(&norm.weight)?, bias: self.floats(&norm.bias)?, eps: norm.eps as f32 })
    }

    /// A weight (outputs, inputs), given at most `rows` rows a window.
    fn linear(&self, weight: &Tensor, bias: Option<&Tensor>, rows: usize) -> Result<Linear<M, u16>> {
        let (outputs, inputs) = weight.dims2()?;
        let bias = bias.map(|bias| self.halves(bias)).transpose()?;
        Ok(Linear { weight: self.halves(weight)?, bias, outputs, inputs, rows_max: self.windows * rows })
    }

    /// `projection` is what the layer's norm goes through, given `rows` rows a window; what comes after it gets `rows_after`.
    fn layer(&self, layer: &FoldedLayer, projection: &Affine, bias: bool, rows: [usize; 2]) -> Result<Layer<M>> {
        let [rows, rows_after] = rows;
        let none = Tensor::zeros((0, projection.weight.dim(1)?), DType::F32, &Device::Cpu)?;
        let (keys, values) = layer.prompts.as_ref().map_or((&none, &none), |(keys, values)| (keys, values));
        // No buffer is empty.
        let prompts = |x: &Tensor| if x.elem_count() == 0 { self.machine.room(1) } else { self.halves(x) };
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

/// The patch weights for pixels as (byte - 128) / 64, in the order (y, x, channel) in which a picture has them, and what
/// normalisation adds to every embedding: W ((byte / 255 - mean) / deviation) = W' ((byte - 128) / 64) + constant. With
/// zeros for the bytes that are none.
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

impl<M: Machine> KernelTower<M> {
    pub(crate) fn new(machine: M, parts: &Parts, views: usize) -> Result<KernelTower<M>> {
        let (patches, width) = parts.positions.dims2()?;
        let layers = &parts.layers.layers;
        let (last, others) = layers.split_last().expect("the configuration has at least two layers");
        let (rows_enter, rows) = match &parts.layers.rows {
            Some((layer, rows)) => (*layer, Some(rows)),
            None => (0, None),
        };
        let (patch_weight, patch_constant) = patch_weights(&parts.patch)?;
        let sizes = Sizes {
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
        let batch_usual = machine.processors().map_or(16, |processors| whole_waves(processors, tokens, width));
        let put = Put { machine: &machine, windows: batch_usual };
        let class = Tensor::from_slice(&parts.class, (1, width), &Device::Cpu)?;
        let constants = Tensor::cat(&[Some(&class), rows].into_iter().flatten().collect::<Vec<_>>(), 0)?;
        let projection = &parts.head.projection;
        let built = others.iter().map(|layer| put.layer(layer, &layer.query_key_value()?, true, [tokens, tokens]));
        Ok(KernelTower {
            heads: last.heads,
            patch: put.linear(&patch_weight, None, patches)?,
            positions: put.floats(&parts.positions.broadcast_add(&patch_constant)?)?,
            constants: put.floats(&constants)?,
            pre_norm: put.norm(&parts.pre_norm)?,
            layers: built.collect::<Result<_>>()?,
            rows_enter,
            last: put.layer(last, &last.key_value, false, [tokens, 1])?,
            last_query: put.linear(&last.query.weight, Some(&last.query.bias), 1)?,
            post_norm: put.norm(&parts.head.norm)?,
            projection: Linear {
                weight: put.floats(projection)?,
                bias: None,
                outputs: sizes.embed,
                inputs: width,
                rows_max: batch_usual,
            },
            sizes,
            batch_usual,
            machine,
        })
    }

    /// Why its sequences do not fit the machine.
    pub(crate) fn misfit(&self) -> Option<String> {
        let prompts = self.layers.iter().chain([&self.last]).map(|layer| layer.prompt_count).max().unwrap_or(0);
        let (needed, there) =
            (limits::attention_shared_bytes(self.sizes.tokens() + prompts), self.machine.shared_bytes_max());
        (needed > there)
            .then(|| format!("sequences that take {needed} bytes of shared memory, and this device has {there}"))
    }

    /// Operations of products and attention in a batch of so many windows with so many patches in all.
    #[cfg(feature = "cuda")]
    pub(crate) fn flops(&self, windows: usize, patches: usize) -> f64 {
        let Sizes { width, mlp_width, embed, patch_bytes, .. } = self.sizes;
        let tokens = self.sizes.tokens();
        let layer = |rows: usize, projections: usize, layer: &Layer<M>| {
            let weights = projections + rows * (width * width + 2 * width * mlp_width);
            2 * weights + 4 * rows * (tokens + layer.prompt_count) * width
        };
        let whole = self.layers.iter().map(|one| layer(tokens, tokens * 3 * width * width, one)).sum::<usize>();
        let last = layer(1, (2 * tokens + 1) * width * width, &self.last);
        (windows * (whole + last + 2 * width * embed) + 2 * patches * patch_bytes * width) as f64
    }

    /// For batches of so many windows with so many patches in all.
    pub(crate) fn buffers(&self, windows: usize, patches: usize) -> Result<Buffers<M>> {
        let Sizes { width, mlp_width, embed, patch_bytes, .. } = self.sizes;
        let (machine, rows) = (&self.machine, windows * self.sizes.tokens());
        Ok(Buffers {
            patches: machine.room(patches * patch_bytes)?,
            embedded: machine.room(patches * width)?,
            x: machine.room(rows * width)?,
            normed: machine.room(rows * width)?,
            projected: machine.room(rows * 3 * width)?,
            attended: machine.room(rows * width)?,
            hidden: machine.room(rows * mlp_width)?,
            product: machine.room(rows * width)?,
            class: machine.room(windows * width)?,
            features: machine.room(windows * embed)?,
        })
    }

    /// Features (windows, embed), not normalised, of the windows that are in the slot: bytes (patches, patch), places
    /// (windows, tokens).
    pub(crate) fn run(&self, slot: &M::Slot, windows: usize, patches: usize, buffers: &Buffers<M>) -> Result<()> {
        let (bytes, places) = self.machine.uploaded(slot);
        self.embed(bytes, patches, buffers)?;
        let Sizes { width, .. } = self.sizes;
        let (tokens, own) = (self.sizes.tokens(), self.sizes.own_tokens());
        self.machine.run(&Step::Assemble(Assemble {
            places,
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
            let pass = Pass { tower: self, layer, buffers, windows, rows: tokens, active, stride: width };
            let next = self.layers.get(l + 1).unwrap_or(&self.last);
            pass.whole(&next.norm)?;
        }
        let pass =
            Pass { tower: self, layer: &self.last, buffers, windows, rows: 1, active: 1, stride: tokens * width };
        pass.class()?;
        let class = RowsOf { buffer: &buffers.class, count: windows, stride: width };
        self.machine.product(&self.projection, class, &buffers.features)
    }

    /// Bytes (patches, patch) -> embedded (patches, width)
    fn embed(&self, bytes: &M::Of<u8>, patches: usize, buffers: &Buffers<M>) -> Result<()> {
        let stride = self.sizes.patch_bytes;
        let out = &buffers.patches;
        self.machine.run(&Step::Pixels(Pixels { bytes, out, count: patches * stride }))?;
        self.machine.product(&self.patch, RowsOf { buffer: out, count: patches, stride }, &buffers.embedded)
    }
}

/// A layer's way through a batch, for all rows of each window or for the first.
struct Pass<'a, M: Machine> {
    tower: &'a KernelTower<M>,
    layer: &'a Layer<M>,
    buffers: &'a Buffers<M>,
    windows: usize,
    /// Rows of a window that go through.
    rows: usize,
    /// Of them, those that have entered.
    active: usize,
    /// Elements of x from one such row to the next.
    stride: usize,
}

impl<M: Machine> Pass<'_, M> {
    /// Ends in the norm before the next layer.
    fn whole(&self, next: &Norm<M>) -> Result<()> {
        let Pass { layer, buffers, windows, rows, .. } = *self;
        let width = self.tower.sizes.width;
        self.product(&layer.project, &buffers.normed, width, &buffers.projected, windows * rows)?;
        let strided = |start| Strided {
            from: From { buffer: &buffers.projected, start },
            row: 3 * width,
            window: rows * 3 * width,
        };
        self.attend(strided(0), strided(width), 2 * width, self.active)?;
        self.rest(next, Normed::Half(&buffers.normed))
    }

    /// The last layer, for each window's class token; ends in the norm after it.
    fn class(&self) -> Result<()> {
        let Pass { tower, layer, buffers, windows, .. } = *self;
        let (width, tokens) = (tower.sizes.width, tower.sizes.tokens());
        self.product(&layer.project, &buffers.normed, width, &buffers.projected, windows * tokens)?;
        // The first row of each window, where it lies. Queries are for the moment where hidden rows will be.
        self.product(&tower.last_query, &buffers.normed, tokens * width, &buffers.hidden, windows)?;
        let queries = Strided { from: From::start(&buffers.hidden), row: width, window: width };
        let keys = Strided { from: From::start(&buffers.projected), row: 2 * width, window: tokens * 2 * width };
        self.attend(queries, keys, width, tokens)?;
        self.rest(&tower.post_norm, Normed::F32(&buffers.class))
    }

    fn attend(&self, queries: Strided<'_, M>, keys: Strided<'_, M>, values: usize, tokens: usize) -> Result<()> {
        let Pass { tower, layer, buffers, windows, rows, .. } = *self;
        let width = tower.sizes.width;
        tower.machine.run(&Step::Attention(Attention {
            queries,
            values: From { buffer: &buffers.projected, start: values },
            keys,
            prompts: (&layer.prompts.0, &layer.prompts.1),
            out: Strided { from: From::start(&buffers.attended), row: width, window: rows * width },
            windows,
            heads: tower.heads,
            rows,
            tokens,
            prompt_count: layer.prompt_count,
        }))
    }

    /// From what was attended to the layer's end, and the norm that follows.
    fn rest(&self, next: &Norm<M>, normed: Normed<'_, M>) -> Result<()> {
        let Pass { tower, layer, buffers, windows, rows, .. } = *self;
        let (width, mlp, count) = (tower.sizes.width, &layer.mlp, windows * rows);
        self.product(&layer.out, &buffers.attended, width, &buffers.product, count)?;
        self.add(&layer.out_bias, &mlp.norm, Normed::Half(&buffers.normed))?;
        self.product(&mlp.up, &buffers.normed, width, &buffers.hidden, count)?;
        let columns = tower.sizes.mlp_width;
        tower.machine.run(&Step::BiasSilu(BiasSilu {
            x: &buffers.hidden,
            bias: &mlp.up_bias,
            rows: count,
            columns,
        }))?;
        self.product(&mlp.down, &buffers.hidden, columns, &buffers.product, count)?;
        self.add(&mlp.down_bias, next, normed)
    }

    fn add(&self, bias: &M::Of<f32>, norm: &Norm<M>, normed: Normed<'_, M>) -> Result<()> {
        let Pass { tower, buffers, windows, rows, active, stride, .. } = *self;
        tower.machine.run(&Step::ResidualNorm(ResidualNorm {
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

    fn product<O: Element>(
        &self,
        linear: &Linear<M, u16>,
        buffer: &M::Of<u16>,
        stride: usize,
        out: &M::Of<O>,
        count: usize,
    ) -> Result<()> {
        self.tower.machine.product(linear, RowsOf { buffer, count, stride }, out)
    }
}

#[cfg(test)]
impl KernelTower<super::reference::Twin> {
    pub(super) fn with_room_max(mut self, room_max: usize) -> Self {
        self.machine = self.machine.with_room_max(room_max);
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
