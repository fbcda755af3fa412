//! The arithmetic of the towers on a CPU: packed weights, matrix products with fused epilogues, attention, norms.
//!
//! Activations are f32 in every class of arithmetic; a class tells what the two operands of a weight product are
//! rounded to. Nothing here depends on how rows are batched: each output is summed over `k` in one fixed order, so a
//! window's numbers are the same in any batch. The caller distributes work over threads ([`layer_ops`]).

mod aligned_buffer;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx;
mod elementwise;
pub(crate) mod elementwise_backward;
mod gemm;
mod isa;
mod kernel;
pub(crate) mod layer_ops;
mod pack_activations;
mod pack_weights;
mod packed_layout;
mod portable;
pub(crate) mod strided_gemm;

pub(crate) use elementwise::{layer_norm_rows, softmax_rows};
pub(crate) use gemm::{Epilogue, GemmScratch, add_transposed_product, linear, linear_parallel};
pub use isa::Isa;
pub(crate) use pack_weights::{Operands, PackedLinear};
