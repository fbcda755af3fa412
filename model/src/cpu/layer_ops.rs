//! The layers of the visual tower as Candle ops on the CPU: windows run in parallel, each from norm to residual while
//! its activations are in the cache.

use std::cell::RefCell;

use candle_core::{CpuStorage, CustomOp1, InplaceOp1, Layout, Result, Shape, bail};
use rayon::prelude::*;

use super::aligned_buffer::AlignedBuffer;
use super::attention::{Attention, AttentionScratch};
use super::elementwise::{Norm, layer_norm_rows};
use super::gemm::{Epilogue, GemmScratch, even_parts, linear};
use super::pack_weights::PackedLinear;
use crate::Activation;

pub(crate) use super::attention::PromptKeys;

/// A layer norm's parameters, owned.
pub(crate) struct NormWeights {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

impl NormWeights {
    pub(crate) fn as_norm(&self) -> Norm<'_> {
        Norm { weight: &self.weight, bias: &self.bias, eps: self.eps }
    }
}

/// A layer's attention half. The weights of its queries are scaled by 1 / sqrt(head); keys and values have no bias.
pub(crate) struct AttentionWeights {
    pub(crate) heads: usize,
    pub(crate) norm: NormWeights,
    /// d -> 3 d: queries, keys, values; in the last layer d -> 2 d: keys, values.
    pub(crate) projection: PackedLinear,
    pub(crate) prompts: PromptKeys,
    /// d -> d, with the values' bias folded into its own.
    pub(crate) out: PackedLinear,
}

/// A layer's second half.
pub(crate) struct MlpWeights {
    pub(crate) norm: NormWeights,
    pub(crate) up: PackedLinear,
    /// Quick-GELU runs as SiLU, with its factor folded into both weights.
    pub(crate) activation: Activation,
    pub(crate) down: PackedLinear,
}

/// Buffers of one thread, kept between layers and batches.
#[derive(Default)]
struct WindowScratch {
    normed: AlignedBuffer,
    projected: AlignedBuffer,
    attended: AlignedBuffer,
    hidden: AlignedBuffer,
    class: AlignedBuffer,
    attention: AttentionScratch,
    gemm: GemmScratch,
}

thread_local! {
    static SCRATCH: RefCell<WindowScratch> = RefCell::default();
}

/// Runs `work` on groups of at most `group_max` windows in parallel: (first window, its rows, scratch). The rows of a
/// group share each pass over the layer's weights; the group is small enough for its activations to stay in the cache.
fn for_each_group(
    x: &mut [f32],
    window_len: usize,
    group_max: usize,
    work: impl Fn(usize, &mut [f32], &mut WindowScratch) + Sync,
) {
    let windows = x.len() / window_len;
    let groups = windows.div_ceil(group_max.max(1)).next_multiple_of(rayon::current_num_threads()).min(windows);
    let mut rest = x;
    let mut tasks = Vec::with_capacity(groups);
    for (start, count) in even_parts(windows, windows.div_ceil(groups)) {
        let (group, after) = rest.split_at_mut(count * window_len);
        tasks.push((start, group));
        rest = after;
    }
    tasks.into_par_iter().for_each(|(start, group)| {
        SCRATCH.with_borrow_mut(|scratch| work(start, group, scratch));
    });
}

fn cpu_f32<'a>(storage: &'a CpuStorage, layout: &Layout, name: &str) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(x), Some((start, end))) => Ok(&x[start..end]),
        _ => bail!("{name} requires contiguous f32"),
    }
}

/// The first layer's projections of the class and global rows, which are the same for all windows of a picture.
pub(crate) struct WindowProjections {
    /// (shared rows, 3 d) of each window's picture.
    pub(crate) per_window: Vec<std::sync::Arc<Vec<f32>>>,
}

/// Runs a layer in place: x (b, tokens, d).
pub(crate) struct LayerOp<'a> {
    pub(crate) attention: &'a AttentionWeights,
    pub(crate) mlp: &'a MlpWeights,
    pub(crate) shared: Option<&'a WindowProjections>,
}

impl InplaceOp1 for LayerOp<'_> {
    fn name(&self) -> &'static str {
        "clip-layer"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (_, tokens, d) = layout.shape().dims3()?;
        let x = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(x), Some((start, end))) => &mut x[start..end],
            _ => bail!("clip-layer requires contiguous f32"),
        };
        for_each_group(x, tokens * d, self.mlp.up.block_rows() / tokens, |start, x, scratch| {
            self.attend(start, x, tokens, scratch);
            self.mlp.run(x, scratch);
        });
        Ok(())
    }
}

impl LayerOp<'_> {
    fn attend(&self, start: usize, x: &mut [f32], tokens: usize, scratch: &mut WindowScratch) {
        let weights = self.attention;
        let d = weights.out.outputs();
        let isa = weights.isa();
        let rows = x.len() / d;
        let normed = scratch.normed.slice_mut::<f32>(x.len());
        let projected = scratch.projected.slice_mut::<f32>(rows * 3 * d);
        layer_norm_rows(isa, x, weights.norm.as_norm(), normed);
        match self.shared {
            None => linear(&weights.projection, normed, Epilogue::Store, projected, &mut scratch.gemm),
            Some(shared) => {
                let windows = normed.chunks_exact(tokens * d).zip(projected.chunks_exact_mut(tokens * 3 * d));
                for (w, (normed, projected)) in windows.enumerate() {
                    let done = &shared.per_window[start + w];
                    let (first, rest) = projected.split_at_mut(done.len());
                    first.copy_from_slice(done);
                    linear(&weights.projection, &normed[done.len() / 3..], Epilogue::Store, rest, &mut scratch.gemm);
                }
            }
        }
        let attended = scratch.attended.slice_mut::<f32>(x.len());
        let windows = projected.chunks_exact(tokens * 3 * d).zip(attended.chunks_exact_mut(tokens * d));
        for (projected, attended) in windows {
            let attention = Attention {
                heads: weights.heads,
                width: d,
                queries: projected,
                query_stride: 3 * d,
                keys: &projected[d..],
                values: &projected[2 * d..],
                key_stride: 3 * d,
                tokens,
                prompts: &weights.prompts,
            };
            attention.run(isa, attended, &mut scratch.attention, &mut scratch.gemm);
        }
        linear(&weights.out, attended, Epilogue::Add, x, &mut scratch.gemm);
    }
}

impl AttentionWeights {
    fn isa(&self) -> super::Isa {
        self.out.isa
    }
}

impl MlpWeights {
    /// Computes x (rows, d) += down(activation(up(norm(x)))).
    fn run(&self, x: &mut [f32], scratch: &mut WindowScratch) {
        let d = self.down.outputs();
        let epilogue = match self.activation {
            Activation::QuickGelu => Epilogue::Silu,
            Activation::Gelu => Epilogue::Gelu,
        };
        // In blocks, so that the hidden rows (4 d each) are still in the cache when they are multiplied again.
        for (start, rows) in even_parts(x.len() / d, self.up.block_rows()) {
            let x = &mut x[start * d..][..rows * d];
            let normed = scratch.normed.slice_mut::<f32>(x.len());
            let hidden = scratch.hidden.slice_mut::<f32>(rows * self.up.outputs());
            layer_norm_rows(self.up.isa, x, self.norm.as_norm(), normed);
            linear(&self.up, normed, epilogue, hidden, &mut scratch.gemm);
            linear(&self.down, hidden, Epilogue::Add, x, &mut scratch.gemm);
        }
    }
}

/// Runs the last layer for the class token, the first row of a window: x (b, tokens, d) -> (b, d).
pub(crate) struct LastLayerOp<'a> {
    pub(crate) attention: &'a AttentionWeights,
    /// d -> d
    pub(crate) queries: &'a PackedLinear,
    pub(crate) mlp: &'a MlpWeights,
}

impl CustomOp1 for LastLayerOp<'_> {
    fn name(&self) -> &'static str {
        "clip-last-layer"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (b, tokens, d) = layout.shape().dims3()?;
        let x = cpu_f32(storage, layout, self.name())?;
        let mut out = vec![0.0; b * d];
        for_each_group(&mut out, d, self.mlp.up.block_rows() / tokens, |start, out, scratch| {
            let x = &x[start * tokens * d..][..out.len() * tokens];
            self.class_rows(x, tokens, out, scratch);
            self.mlp.run(out, scratch);
        });
        Ok((CpuStorage::F32(out), (b, d).into()))
    }
}

impl LastLayerOp<'_> {
    /// Computes x (windows * tokens, d) -> out (windows, d), the class rows after attention and its residual.
    fn class_rows(&self, x: &[f32], tokens: usize, out: &mut [f32], scratch: &mut WindowScratch) {
        let weights = self.attention;
        let d = weights.out.outputs();
        let isa = weights.isa();
        let windows = out.len() / d;
        let normed = scratch.normed.slice_mut::<f32>(x.len());
        let projected = scratch.projected.slice_mut::<f32>(x.len() * 2);
        layer_norm_rows(isa, x, weights.norm.as_norm(), normed);
        linear(&weights.projection, normed, Epilogue::Store, projected, &mut scratch.gemm);
        let class = scratch.class.slice_mut::<f32>(2 * windows * d);
        let (class, queries) = class.split_at_mut(windows * d);
        for (w, class) in class.chunks_exact_mut(d).enumerate() {
            class.copy_from_slice(&normed[w * tokens * d..][..d]);
        }
        linear(self.queries, class, Epilogue::Store, queries, &mut scratch.gemm);
        let attended = scratch.attended.slice_mut::<f32>(windows * d);
        for w in 0..windows {
            let projected = &projected[w * tokens * 2 * d..][..tokens * 2 * d];
            let attention = Attention {
                heads: weights.heads,
                width: d,
                queries: &queries[w * d..][..d],
                query_stride: d,
                keys: projected,
                values: &projected[d..],
                key_stride: 2 * d,
                tokens,
                prompts: &weights.prompts,
            };
            attention.run(isa, &mut attended[w * d..][..d], &mut scratch.attention, &mut scratch.gemm);
            out[w * d..][..d].copy_from_slice(&x[w * tokens * d..][..d]);
        }
        linear(&weights.out, attended, Epilogue::Add, out, &mut scratch.gemm);
    }
}
