//! The visual tower in 16 bits on kernels of our own (`model/kernels/*.cu`), as a GPU runs it.
//!
//! [`tower`] says what is computed, step by step, and [`lane`] how batches come and go; both know a [`Machine`] alone. There
//! are two: `cuda`, and [`twin`], which does the same with the same roundings in plain Rust, slowly. So the whole pass is
//! tested without a GPU. What a kernel is launched with is made in `launch`, for the card and for the tests, which run the
//! kernels' sources on the CPU.

#[cfg(any(test, feature = "cuda"))]
pub(crate) mod check;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
#[cfg(test)]
mod emulated;
pub(crate) mod lane;
#[cfg(any(test, feature = "cuda"))]
mod launch;
mod patches;
pub(crate) mod steps;
pub(crate) mod tower;
pub(crate) mod twin;

use std::sync::Arc;

use candle_core::{Error, Result};
use half::{bf16, f16};

use crate::visual::Parts;
use crate::{Activation, Arithmetic, Operations, Options, ViewMode};
use lane::{KernelLanes, Lanes};
use steps::Step;
use tower::KernelTower;

/// Columns of a head that the attention kernel is written for: all of CLIP's.
pub(crate) const HEAD: usize = 64;

/// Why a model does not run on these kernels.
pub(crate) fn misfit(width: usize, heads: usize, activation: Activation) -> Option<String> {
    if activation != Activation::QuickGelu {
        return Some(format!("{activation}, and the kernels are for {}", Activation::QuickGelu));
    }
    if width != heads * HEAD {
        return Some(format!("heads of {} columns, and the kernels are for {HEAD}", width / heads));
    }
    if !WIDTHS.contains(&width) {
        return Some(format!("width {width}, and the kernels are for {WIDTHS:?}"));
    }
    None
}

/// Widths that the norms are written for: the tests' models, ViT-B and ViT-L.
pub(crate) const WIDTHS: [usize; 4] = [128, 192, 768, 1024];

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

/// The tower on these kernels, where they are asked for and fit.
pub(crate) fn lanes(parts: &Parts, options: &Options) -> Result<Option<Arc<dyn Lanes>>> {
    let half = match options.arithmetic {
        Arithmetic::F32 => return Ok(None),
        Arithmetic::F16 => Half::F16,
        Arithmetic::Bf16 => Half::Bf16,
    };
    let views = views_of(options.views.sees);
    match options.operations {
        Operations::Candle => Ok(None),
        Operations::Twins => built(twin::Twin::new(half), parts, views),
        #[cfg(feature = "cuda")]
        Operations::Own if options.device.is_cuda() => built(cuda::Cuda::new(&options.device, half)?, parts, views),
        Operations::Own => Ok(None),
    }
}

/// Views in a sequence.
pub(crate) fn views_of(sees: ViewMode) -> usize {
    if sees == ViewMode::Both { 2 } else { 1 }
}

fn built<M: Machine>(machine: M, parts: &Parts, views: usize) -> Result<Option<Arc<dyn Lanes>>> {
    let refused = |why: String| {
        tracing::warn!(why, "this model runs in Candle's operations");
        Ok(None)
    };
    let first = &parts.layers.layers[0];
    if let Some(why) = misfit(parts.class.len(), first.heads, first.activation) {
        return refused(why);
    }
    let tower = KernelTower::new(machine, parts, views)?;
    match tower.misfit() {
        Some(why) => refused(why),
        None => Ok(Some(Arc::new(KernelLanes::new(tower)))),
    }
}

/// What buffers hold: bytes of pixels, 16-bit floats as their bits, places of rows, f32.
pub(crate) trait Element: bytemuck::Pod + Default + Send + Sync + OnGpu {
    /// Whether it is the machine's [`Half`].
    const IS_HALF: bool = false;
}

/// What a GPU's driver takes.
#[cfg(feature = "cuda")]
pub(crate) trait OnGpu: cuda::DeviceRepr + cuda::ValidAsZeroBits {}
#[cfg(feature = "cuda")]
impl<E: cuda::DeviceRepr + cuda::ValidAsZeroBits> OnGpu for E {}
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
