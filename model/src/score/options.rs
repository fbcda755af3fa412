//! How a model is to run.

use candle_core::Device;

use crate::Arithmetic;
use crate::picture::Views;

/// How a model is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The parts of a picture that the model sees.
    pub views: Views,
    /// The class of arithmetic.
    pub arithmetic: Arithmetic,
    /// The device that the visual tower runs on.
    pub device: Device,
    /// The kernels that compute the visual tower.
    pub kernels: KernelSet,
}

/// The kernels that compute a model's visual tower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelSet {
    /// This crate's kernels: on the CPU in every class of arithmetic, on a GPU in 16 bits for the models that they
    /// support. Elsewhere the same as [`KernelSet::Candle`].
    #[default]
    Native,
    /// Candle's operations: to see what layers attend to, and for comparison.
    Candle,
    /// The GPU kernels' arithmetic in plain Rust on the CPU, in 16 bits: to test the kernels.
    Reference,
}

impl Default for Options {
    /// Returns the paper's views in f32 on the CPU.
    fn default() -> Options {
        Options {
            views: Views::default(),
            arithmetic: Arithmetic::F32,
            device: Device::Cpu,
            kernels: KernelSet::Native,
        }
    }
}
