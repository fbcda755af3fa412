//! How a model is to run.

use candle_core::Device;

use crate::Arithmetic;
use crate::picture::Views;

/// How a model is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What of a picture is looked at.
    pub views: Views,
    /// The class of arithmetic.
    pub arithmetic: Arithmetic,
    /// Where.
    pub device: Device,
    /// By what.
    pub kernels: KernelSet,
}

/// What computes a model's visual tower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelSet {
    /// Our own kernels: on the CPU in every class of arithmetic, on a GPU in 16 bits for the models that they fit. Else as
    /// [`KernelSet::Candle`].
    #[default]
    Native,
    /// Candle's: to look at what layers attend to, and to compare.
    Candle,
    /// What our GPU's kernels compute, in plain Rust on the CPU, in 16 bits: to test them.
    Reference,
}

impl Default for Options {
    /// The paper's views in f32 on the CPU.
    fn default() -> Options {
        Options {
            views: Views::default(),
            arithmetic: Arithmetic::F32,
            device: Device::Cpu,
            kernels: KernelSet::Native,
        }
    }
}
