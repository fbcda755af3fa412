//! What a GPU computes with: buffers, products and our kernels' steps. The tower is written once over [`Machine`], of which there
//! are two: `cuda`, and [`super::reference`], which does the same with the same roundings in plain Rust, slowly.

#[cfg(feature = "cuda")]
use candle_core::cuda::cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use candle_core::{Error, Result};
use half::{bf16, f16};

/// The 16-bit format of weights and of activations between products. Sums, norms, softmax and the residual are in f32.
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

    /// As in the kernels' names.
    #[cfg(any(test, feature = "cuda"))]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Half::F16 => "f16",
            Half::Bf16 => "bf16",
        }
    }
}

/// What buffers hold: bytes of pixels, 16-bit floats as their bits, places of rows, f32.
pub(crate) trait Element: bytemuck::Pod + Default + Send + Sync + OnGpu {
    /// Whether it is the machine's [`Half`].
    const IS_HALF: bool = false;
}

/// What a GPU's driver takes.
#[cfg(feature = "cuda")]
pub(crate) trait OnGpu: DeviceRepr + ValidAsZeroBits {}
#[cfg(feature = "cuda")]
impl<E: DeviceRepr + ValidAsZeroBits> OnGpu for E {}
#[cfg(not(feature = "cuda"))]
pub(crate) trait OnGpu {}
#[cfg(not(feature = "cuda"))]
impl<E> OnGpu for E {}

impl Element for u8 {}
impl Element for u16 {
    const IS_HALF: bool = true;
}
impl Element for u32 {}
impl Element for f32 {}

/// Some of a buffer's elements, from one on.
pub(crate) struct From<'a, B> {
    pub(crate) buffer: &'a B,
    pub(crate) start: usize,
}

impl<B> Clone for From<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B> Copy for From<'_, B> {}

impl<'a, B> From<'a, B> {
    pub(crate) fn start(buffer: &'a B) -> From<'a, B> {
        From { buffer, start: 0 }
    }
}

/// `y = x W^T + b`
pub(crate) struct Linear<M: Machine, E: Element> {
    /// (outputs, inputs)
    pub(crate) weight: M::Of<E>,
    /// (outputs), where the product adds it itself.
    pub(crate) bias: Option<M::Of<u16>>,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    /// The most rows that it is ever given: by them the algorithm is chosen, the same for fewer.
    #[cfg_attr(not(any(test, feature = "cuda")), expect(dead_code, reason = "a twin has one algorithm"))]
    pub(crate) rows_max: usize,
}

/// Rows of a product's left side: `count` of them, `stride` elements apart.
#[derive(Clone, Copy)]
pub(crate) struct RowsOf<'a, B> {
    pub(crate) buffer: &'a B,
    pub(crate) count: usize,
    pub(crate) stride: usize,
}

/// Who computes. Work is done in the order in which it is given, and may still be under way when a call comes back. A step
/// writes to buffers that it is lent as `&`: who gives the steps sees to it that no two at once do.
pub(crate) trait Machine: Send + Sync + Sized + 'static {
    /// A buffer of fixed length.
    type Of<E: Element>: Send + Sync;
    /// A batch's way in and out.
    type Slot: Send;

    fn half(&self) -> Half;

    /// Multiprocessors, where batches are to fill them.
    fn processors(&self) -> Option<usize>;

    /// The most bytes of shared memory that a block may have.
    fn shared_bytes_max(&self) -> usize;

    /// Whether less at once may go through.
    fn is_out_of_memory(error: &Error) -> bool;

    /// A buffer of zeros.
    fn room<E: Element>(&self, len: usize) -> Result<Self::Of<E>>;

    fn put<E: Element>(&self, values: &[E]) -> Result<Self::Of<E>>;

    /// Waits for all that was given.
    #[cfg(any(test, feature = "cuda"))]
    fn get<E: Element>(&self, buffer: &Self::Of<E>) -> Result<Vec<E>>;

    /// Runs a kernel of ours.
    fn run(&self, step: &Step<'_, Self>) -> Result<()>;

    /// x (rows, inputs) -> out (rows, outputs)
    fn product<I: Element, O: Element>(
        &self,
        linear: &Linear<Self, I>,
        x: RowsOf<'_, Self::Of<I>>,
        out: &Self::Of<O>,
    ) -> Result<()>;

    /// With room for so many bytes of pixels, places of rows and features.
    fn slot(&self, bytes: usize, places: usize, features: usize) -> Result<Self::Slot>;

    /// Where to write pixels and places before [`Machine::upload`].
    fn stage<'a>(&self, slot: &'a mut Self::Slot) -> Result<(&'a mut [u8], &'a mut [u32])>;

    /// Sends the first so many bytes and places; what is given after this sees them.
    fn upload(&self, slot: &mut Self::Slot, bytes: usize, places: usize) -> Result<()>;

    /// What was sent.
    fn uploaded<'a>(&self, slot: &'a Self::Slot) -> (&'a Self::Of<u8>, &'a Self::Of<u32>);

    /// Fetches the first `count` features when they are made.
    fn download(&self, slot: &mut Self::Slot, features: &Self::Of<f32>, count: usize) -> Result<()>;

    /// Whether what was last fetched is there.
    fn is_done(&self, slot: &Self::Slot) -> Result<bool>;

    /// Waits for it.
    fn features<'a>(&self, slot: &'a mut Self::Slot, count: usize) -> Result<&'a [f32]>;

    /// Waits for all that was given, on every stream.
    fn settle(&self) -> Result<()>;
}

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
