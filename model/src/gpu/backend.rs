//! What a GPU computes with: buffers, products and the operations of this crate's kernels.
//!
//! The tower is written once over [`GpuBackend`], which has two implementations: `cuda`, and [`super::reference`],
//! which computes the same with the same roundings in plain Rust, slowly.

#[cfg(feature = "cuda")]
use candle_core::cuda::cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use candle_core::{Error, Result};
use half::{bf16, f16};

/// The 16-bit format of weights and of activations between products. Sums, norms, softmax and the residual are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    F16,
    Bf16,
}

impl Half {
    pub(crate) fn round(self, x: f32) -> u16 {
        match self {
            Half::F16 => f16::from_f32(x).to_bits(),
            Half::Bf16 => bf16::from_f32(x).to_bits(),
        }
    }

    pub(crate) fn widen(self, bits: u16) -> f32 {
        match self {
            Half::F16 => f16::from_bits(bits).to_f32(),
            Half::Bf16 => bf16::from_bits(bits).to_f32(),
        }
    }

    /// Returns the format's name, as in the kernels' names.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Half::F16 => "f16",
            Half::Bf16 => "bf16",
        }
    }
}

/// An element of a buffer: a byte of pixels, the bits of a 16-bit float, a row index, or an f32.
pub(crate) trait Element: bytemuck::Pod + Default + Send + Sync + DeviceElement {
    /// Whether the element is the backend's [`Half`].
    const IS_HALF: bool = false;
}

/// The properties of an element that the GPU's driver needs.
#[cfg(feature = "cuda")]
pub(crate) trait DeviceElement: DeviceRepr + ValidAsZeroBits {}
#[cfg(feature = "cuda")]
impl<E: DeviceRepr + ValidAsZeroBits> DeviceElement for E {}
#[cfg(not(feature = "cuda"))]
pub(crate) trait DeviceElement {}
#[cfg(not(feature = "cuda"))]
impl<E> DeviceElement for E {}

impl Element for u8 {}
impl Element for u16 {
    const IS_HALF: bool = true;
}
impl Element for u32 {}
impl Element for f32 {}

/// The elements of a buffer from `start` on.
pub(crate) struct BufferSlice<'a, B> {
    pub(crate) buffer: &'a B,
    pub(crate) start: usize,
}

impl<B> Clone for BufferSlice<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for BufferSlice<'_, B> {}

impl<'a, B> BufferSlice<'a, B> {
    pub(crate) fn start(buffer: &'a B) -> BufferSlice<'a, B> {
        BufferSlice { buffer, start: 0 }
    }
}

/// `y = x W^T + b`
pub(crate) struct LinearBuffers<B: GpuBackend, E: Element> {
    /// (outputs, inputs)
    pub(crate) weight: B::Buffer<E>,
    /// (outputs), if the product adds it.
    pub(crate) bias: Option<B::Buffer<u16>>,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    /// The most rows of an input. The algorithm is chosen for this number, and used for fewer rows too.
    #[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "the reference has one algorithm"))]
    pub(crate) rows_max: usize,
}

/// Rows of a product's left side: `count` of them, `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct MatrixRows<'a, B> {
    pub(crate) buffer: &'a B,
    pub(crate) count: usize,
    pub(crate) stride: usize,
}

/// Computes kernels and products. Work runs in the order of the calls, and may still be in flight when a call returns.
/// An operation writes to buffers that it borrows as `&`: the caller ensures that no two operations in flight write to
/// the same one.
pub(crate) trait GpuBackend: Send + Sync + Sized + 'static {
    /// A buffer of fixed length.
    type Buffer<E: Element>: Send + Sync;
    /// The buffers of a batch's input and output.
    type Slot: Send;

    fn half(&self) -> Half;

    /// Returns the number of multiprocessors, if batches should fill them.
    fn processors(&self) -> Option<usize>;

    /// Returns the most bytes of shared memory that a block may have.
    fn shared_bytes_max(&self) -> usize;

    /// Returns whether a smaller batch may succeed.
    fn is_out_of_memory(error: &Error) -> bool;

    /// Allocates a buffer of zeros.
    fn alloc<E: Element>(&self, len: usize) -> Result<Self::Buffer<E>>;

    fn upload<E: Element>(&self, values: &[E]) -> Result<Self::Buffer<E>>;

    /// Copies a buffer to the host, after all work that was submitted before.
    #[cfg(any(test, feature = "cuda"))]
    fn download<E: Element>(&self, buffer: &Self::Buffer<E>) -> Result<Vec<E>>;

    /// Runs one of this crate's kernels.
    fn run(&self, op: &KernelOp<'_, Self>) -> Result<()>;

    /// Computes x (rows, inputs) -> out (rows, outputs).
    fn matmul<I: Element, O: Element>(
        &self,
        linear: &LinearBuffers<Self, I>,
        x: MatrixRows<'_, Self::Buffer<I>>,
        out: &Self::Buffer<O>,
    ) -> Result<()>;

    /// Allocates a slot for this many bytes of pixels, row indices and features.
    fn alloc_slot(&self, bytes: usize, row_indices: usize, features: usize) -> Result<Self::Slot>;

    /// Returns the host buffers for pixels and row indices, to fill before [`GpuBackend::upload_slot`].
    fn staging_buffers<'a>(&self, slot: &'a mut Self::Slot) -> Result<(&'a mut [u8], &'a mut [u32])>;

    /// Uploads the first `bytes` and `row_indices`. Operations that are submitted later see them.
    fn upload_slot(&self, slot: &mut Self::Slot, bytes: usize, row_indices: usize) -> Result<()>;

    /// Returns the device buffers that [`GpuBackend::upload_slot`] fills.
    fn slot_inputs<'a>(&self, slot: &'a Self::Slot) -> (&'a Self::Buffer<u8>, &'a Self::Buffer<u32>);

    /// Downloads the first `count` features once they are computed.
    fn download_features(&self, slot: &mut Self::Slot, features: &Self::Buffer<f32>, count: usize) -> Result<()>;

    /// Returns whether the last download has finished.
    fn features_ready(&self, slot: &Self::Slot) -> Result<bool>;

    /// Waits for the last download, and returns its features.
    fn wait_for_features<'a>(&self, slot: &'a mut Self::Slot, count: usize) -> Result<&'a [f32]>;

    /// Waits for all submitted work, on every stream.
    fn synchronize(&self) -> Result<()>;
}

/// A norm's weights on a backend.
pub(crate) struct NormBuffers<B: GpuBackend> {
    /// (width)
    pub(crate) weight: B::Buffer<f32>,
    /// (width)
    pub(crate) bias: B::Buffer<f32>,
    pub(crate) eps: f32,
}

/// Rows of 16-bit values: the first element, and the number of elements from row to row and from window to window.
pub(crate) struct Strided<'a, B: GpuBackend> {
    pub(crate) slice: BufferSlice<'a, B::Buffer<u16>>,
    pub(crate) row: usize,
    pub(crate) window: usize,
}

/// Computes bytes (count) -> (byte - 128) / 64.
pub(crate) struct Pixels<'a, B: GpuBackend> {
    pub(crate) bytes: &'a B::Buffer<u8>,
    pub(crate) out: &'a B::Buffer<u16>,
    /// A multiple of 16.
    pub(crate) count: usize,
}

/// Computes x (rows, columns) = silu(x + bias).
pub(crate) struct BiasSilu<'a, B: GpuBackend> {
    pub(crate) x: &'a B::Buffer<u16>,
    /// (columns)
    pub(crate) bias: &'a B::Buffer<f32>,
    pub(crate) rows: usize,
    /// A multiple of 8.
    pub(crate) columns: usize,
}

/// Computes the attention of `rows` queries of each window to the window's tokens and the layer's prompts.
pub(crate) struct Attention<'a, B: GpuBackend> {
    /// (windows, rows, width), scaled by 1 / sqrt(head).
    pub(crate) queries: Strided<'a, B>,
    /// (windows, tokens, width)
    pub(crate) keys: Strided<'a, B>,
    /// The values, laid out like the keys.
    pub(crate) values: BufferSlice<'a, B::Buffer<u16>>,
    /// Keys and values (prompts, width).
    pub(crate) prompts: (&'a B::Buffer<u16>, &'a B::Buffer<u16>),
    /// (windows, rows, width)
    pub(crate) out: Strided<'a, B>,
    pub(crate) windows: usize,
    pub(crate) heads: usize,
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
    pub(crate) prompt_count: usize,
}

/// Computes x (rows, width) += product + bias, except in a window's rows from `active` on; then normed = norm(x).
pub(crate) struct ResidualNorm<'a, B: GpuBackend> {
    /// (rows, width)
    pub(crate) product: &'a B::Buffer<u16>,
    /// (width)
    pub(crate) bias: &'a B::Buffer<f32>,
    pub(crate) x: &'a B::Buffer<f32>,
    /// Elements from row to row of x.
    pub(crate) stride: usize,
    pub(crate) norm: &'a NormBuffers<B>,
    pub(crate) normed: Normed<'a, B>,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// Rows of a window.
    pub(crate) tokens: usize,
    pub(crate) active: usize,
}

/// The output (rows, width): 16 bits for a product, or f32 after the last layer.
pub(crate) enum Normed<'a, B: GpuBackend> {
    Half(&'a B::Buffer<u16>),
    F32(&'a B::Buffer<f32>),
}

/// The flag of a row index that refers to a constant row instead of an embedding.
pub(crate) const CONSTANT_ROW: u32 = 1 << 31;

/// Assembles windows of `tokens` rows from the embeddings of their patches: x = pre-norm(embedded + position), or a
/// constant row unchanged; then normed = norm(x).
pub(crate) struct Assemble<'a, B: GpuBackend> {
    /// (rows): a row of `embedded`, or [`CONSTANT_ROW`] combined with a row of `constants`.
    pub(crate) row_indices: &'a B::Buffer<u32>,
    /// (any, width)
    pub(crate) embedded: &'a B::Buffer<f32>,
    /// (patches, width); a window's rows after the first have the positions in order, once for each view.
    pub(crate) positions: &'a B::Buffer<f32>,
    /// (any, width)
    pub(crate) constants: &'a B::Buffer<f32>,
    pub(crate) pre_norm: &'a NormBuffers<B>,
    pub(crate) norm: &'a NormBuffers<B>,
    /// (rows, width)
    pub(crate) x: &'a B::Buffer<f32>,
    /// (rows, width)
    pub(crate) normed: &'a B::Buffer<u16>,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) tokens: usize,
    pub(crate) patches: usize,
}

/// The work of one kernel.
pub(crate) enum KernelOp<'a, B: GpuBackend> {
    Pixels(Pixels<'a, B>),
    BiasSilu(BiasSilu<'a, B>),
    Attention(Attention<'a, B>),
    ResidualNorm(ResidualNorm<'a, B>),
    Assemble(Assemble<'a, B>),
}

#[cfg(feature = "cuda")]
impl<B: GpuBackend> KernelOp<'_, B> {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            KernelOp::Pixels(_) => "pixels",
            KernelOp::BiasSilu(_) => "bias silu",
            KernelOp::Attention(_) => "attention",
            KernelOp::ResidualNorm(_) => "residual norm",
            KernelOp::Assemble(_) => "assemble",
        }
    }
}
