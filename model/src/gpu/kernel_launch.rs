//! Describes a kernel's launch: its name, its blocks and threads, and its arguments in order. Pure.

use super::backend::{
    Assemble, Attention, BiasSilu, BufferSlice, Element, GpuBackend, Half, KernelOp, Normed, Pixels, ResidualNorm,
};
use super::limits::{TILE, attention_shared_bytes, chunk_tiles};

/// An argument of a kernel.
pub(crate) enum Argument<'a, B: GpuBackend> {
    Bytes(&'a B::Buffer<u8>),
    Halves(BufferSlice<'a, B::Buffer<u16>>),
    RowIndices(&'a B::Buffer<u32>),
    Floats(&'a B::Buffer<f32>),
    U32(u32),
    F32(f32),
}

/// A kernel's launch.
pub(crate) struct Launch<'a, B: GpuBackend> {
    pub(crate) kernel: String,
    pub(crate) blocks: u32,
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
    pub(crate) arguments: Vec<Argument<'a, B>>,
}

impl<'a, B: GpuBackend> Launch<'a, B> {
    /// Returns the launch of a pass over rows or values, without shared memory.
    fn pass(kernel: String, blocks: usize, arguments: Vec<Argument<'a, B>>) -> Launch<'a, B> {
        Launch { kernel, blocks: blocks as u32, threads: THREADS as u32, shared_bytes: 0, arguments }
    }
}

/// Threads of a block in passes over rows and values.
const THREADS: usize = 256;
/// Rows of such a block: each warp has one.
const ROWS: usize = THREADS / 32;
/// The most warps of an attention block, as its kernel is compiled; 7 tiles hold the 99 queries of ViT-B/32.
const WARPS_MAX: usize = 7;
/// The fewest warps of an attention block: they also load the keys.
const WARPS_MIN: usize = 4;

fn number<B: GpuBackend>(value: usize) -> Argument<'static, B> {
    Argument::U32(u32::try_from(value).expect("a batch has fewer than 2^32 values"))
}

impl<'a, B: GpuBackend> KernelOp<'a, B> {
    pub(crate) fn launch(&self, half: Half) -> Launch<'a, B> {
        match self {
            KernelOp::Pixels(op) => op.launch(half),
            KernelOp::BiasSilu(op) => op.launch(half),
            KernelOp::Attention(op) => op.launch(half),
            KernelOp::ResidualNorm(op) => op.launch(half),
            KernelOp::Assemble(op) => op.launch(half),
        }
    }
}

fn whole<'a, E: Element, B: GpuBackend>(buffer: &'a B::Buffer<E>) -> BufferSlice<'a, B::Buffer<E>> {
    BufferSlice::start(buffer)
}

impl<'a, B: GpuBackend> Pixels<'a, B> {
    fn launch(&self, half: Half) -> Launch<'a, B> {
        let vectors = self.count / 16;
        let arguments = vec![Argument::Bytes(self.bytes), Argument::Halves(whole::<u16, B>(self.out)), number(vectors)];
        Launch::pass(format!("pixels_{}", half.as_str()), vectors.div_ceil(THREADS), arguments)
    }
}

impl<'a, B: GpuBackend> BiasSilu<'a, B> {
    fn launch(&self, half: Half) -> Launch<'a, B> {
        let vectors = self.rows * self.columns / 8;
        let arguments = vec![
            Argument::Halves(whole::<u16, B>(self.x)),
            Argument::Floats(self.bias),
            number(vectors),
            number(self.columns / 8),
        ];
        Launch::pass(format!("bias_silu_{}", half.as_str()), vectors.div_ceil(THREADS), arguments)
    }
}

impl<'a, B: GpuBackend> Attention<'a, B> {
    fn launch(&self, half: Half) -> Launch<'a, B> {
        let keys = self.tokens + self.prompt_count;
        let warps = self.rows.div_ceil(TILE).clamp(WARPS_MIN, WARPS_MAX);
        Launch {
            kernel: format!("attention_{}_{}", half.as_str(), chunk_tiles(keys)),
            blocks: (self.windows * self.heads) as u32,
            threads: 32 * warps as u32,
            shared_bytes: attention_shared_bytes(keys) as u32,
            arguments: vec![
                Argument::Halves(self.queries.slice),
                number(self.queries.row),
                number(self.queries.window),
                Argument::Halves(self.keys.slice),
                Argument::Halves(self.values),
                number(self.keys.row),
                number(self.keys.window),
                Argument::Halves(whole::<u16, B>(self.prompts.0)),
                Argument::Halves(whole::<u16, B>(self.prompts.1)),
                Argument::Halves(self.out.slice),
                number(self.out.row),
                number(self.out.window),
                number(self.heads),
                number(self.rows),
                number(self.tokens),
                number(self.prompt_count),
            ],
        }
    }
}

impl<'a, B: GpuBackend> ResidualNorm<'a, B> {
    fn launch(&self, half: Half) -> Launch<'a, B> {
        let (to, normed) = match self.normed {
            Normed::Half(normed) => ("", Argument::Halves(whole::<u16, B>(normed))),
            Normed::F32(normed) => ("f32_", Argument::Floats(normed)),
        };
        let arguments = vec![
            Argument::Halves(whole::<u16, B>(self.product)),
            Argument::Floats(self.bias),
            Argument::Floats(self.x),
            number(self.stride),
            Argument::Floats(&self.norm.weight),
            Argument::Floats(&self.norm.bias),
            Argument::F32(self.norm.eps),
            normed,
            number(self.rows),
            number(self.tokens),
            number(self.active),
        ];
        Launch::pass(format!("residual_norm_{to}{}_{}", half.as_str(), self.width), self.rows.div_ceil(ROWS), arguments)
    }
}

impl<'a, B: GpuBackend> Assemble<'a, B> {
    fn launch(&self, half: Half) -> Launch<'a, B> {
        let arguments = vec![
            Argument::RowIndices(self.row_indices),
            Argument::Floats(self.embedded),
            Argument::Floats(self.positions),
            Argument::Floats(self.constants),
            Argument::Floats(&self.pre_norm.weight),
            Argument::Floats(&self.pre_norm.bias),
            Argument::Floats(&self.norm.weight),
            Argument::Floats(&self.norm.bias),
            Argument::F32(self.norm.eps),
            Argument::Floats(self.x),
            Argument::Halves(whole::<u16, B>(self.normed)),
            number(self.rows),
            number(self.tokens),
            number(self.patches),
        ];
        Launch::pass(format!("assemble_{}_{}", half.as_str(), self.width), self.rows.div_ceil(ROWS), arguments)
    }
}
