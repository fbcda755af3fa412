//! Our kernels' steps: what each computes, from what.

use super::{From, Machine};

/// A norm's weights on a machine.
pub(crate) struct Norm<M: Machine> {
    /// (width)
    pub(crate) weight: M::Of<f32>,
    /// (width)
    pub(crate) bias: M::Of<f32>,
    pub(crate) eps: f32,
}

/// Rows of 16-bit values: from where on, and how many elements from row to row and from window to window.
pub(crate) struct Strided<'a, M: Machine> {
    pub(crate) from: From<'a, M::Of<u16>>,
    pub(crate) row: usize,
    pub(crate) window: usize,
}

/// bytes (count) -> (byte - 128) / 64
pub(crate) struct Pixels<'a, M: Machine> {
    pub(crate) bytes: &'a M::Of<u8>,
    pub(crate) out: &'a M::Of<u16>,
    /// A multiple of 16.
    pub(crate) count: usize,
}

/// x (rows, columns) = silu(x + bias)
pub(crate) struct BiasSilu<'a, M: Machine> {
    pub(crate) x: &'a M::Of<u16>,
    /// (columns)
    pub(crate) bias: &'a M::Of<f32>,
    pub(crate) rows: usize,
    /// A multiple of 8.
    pub(crate) columns: usize,
}

/// Attention of `rows` queries a window to its own tokens and the layer's prompts.
pub(crate) struct Attention<'a, M: Machine> {
    /// (windows, rows, width), scaled by 1 / sqrt(head).
    pub(crate) queries: Strided<'a, M>,
    /// (windows, tokens, width)
    pub(crate) keys: Strided<'a, M>,
    /// As the keys lie.
    pub(crate) values: From<'a, M::Of<u16>>,
    /// Keys and values (prompts, width).
    pub(crate) prompts: (&'a M::Of<u16>, &'a M::Of<u16>),
    /// (windows, rows, width)
    pub(crate) out: Strided<'a, M>,
    pub(crate) windows: usize,
    pub(crate) heads: usize,
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
    pub(crate) prompt_count: usize,
}

/// x (rows, width) += product + bias, but not in a window's rows from `active` on; normed = norm(x).
pub(crate) struct ResidualNorm<'a, M: Machine> {
    /// (rows, width)
    pub(crate) product: &'a M::Of<u16>,
    /// (width)
    pub(crate) bias: &'a M::Of<f32>,
    pub(crate) x: &'a M::Of<f32>,
    /// Elements from row to row of x.
    pub(crate) stride: usize,
    pub(crate) norm: &'a Norm<M>,
    pub(crate) normed: Normed<'a, M>,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// Rows of a window.
    pub(crate) tokens: usize,
    pub(crate) active: usize,
}

/// (rows, width), for a product in 16 bits, or at the end.
pub(crate) enum Normed<'a, M: Machine> {
    Half(&'a M::Of<u16>),
    F32(&'a M::Of<f32>),
}

/// In a window's places: not an embedding, but one of the constant rows.
pub(crate) const CONSTANT: u32 = 1 << 31;

/// Windows of `tokens` rows from the embeddings of their patches: x = pre-norm(embedded + position), or a constant row as it
/// is; normed = norm(x).
pub(crate) struct Assemble<'a, M: Machine> {
    /// (rows): a row of `embedded`, or [`CONSTANT`] and one of `constants`.
    pub(crate) places: &'a M::Of<u32>,
    /// (any, width)
    pub(crate) embedded: &'a M::Of<f32>,
    /// (patches, width); a window's rows after the first have the first, the second, ... and then the first again.
    pub(crate) positions: &'a M::Of<f32>,
    /// (any, width)
    pub(crate) constants: &'a M::Of<f32>,
    pub(crate) pre_norm: &'a Norm<M>,
    pub(crate) norm: &'a Norm<M>,
    /// (rows, width)
    pub(crate) x: &'a M::Of<f32>,
    /// (rows, width)
    pub(crate) normed: &'a M::Of<u16>,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) tokens: usize,
    pub(crate) patches: usize,
}

/// One kernel's work.
pub(crate) enum Step<'a, M: Machine> {
    Pixels(Pixels<'a, M>),
    BiasSilu(BiasSilu<'a, M>),
    Attention(Attention<'a, M>),
    ResidualNorm(ResidualNorm<'a, M>),
    Assemble(Assemble<'a, M>),
}

#[cfg(feature = "cuda")]
impl<M: Machine> Step<'_, M> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Step::Pixels(_) => "pixels",
            Step::BiasSilu(_) => "bias silu",
            Step::Attention(_) => "attention",
            Step::ResidualNorm(_) => "residual norm",
            Step::Assemble(_) => "assemble",
        }
    }
}

/// Queries that a warp takes at a time; keys of a tile.
pub(super) const TILE: usize = 16;
/// Elements from row to row in shared memory.
const SHARED_STRIDE: usize = 72;

/// Tiles of keys in a chunk: all keys of a sequence of ViT-B/32, or as many as there are registers for beside the carried sums.
pub(super) fn chunk_tiles(keys: usize) -> usize {
    if (4 * TILE + 1..=7 * TILE).contains(&keys) { 7 } else { 4 }
}

/// Shared memory of an attention block, in bytes.
pub(crate) fn attention_shared_bytes(keys: usize) -> usize {
    keys.next_multiple_of(chunk_tiles(keys) * TILE) * SHARED_STRIDE * 2 * size_of::<u16>()
}
