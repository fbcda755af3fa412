//! Weights in the order in which the kernels read them.
//!
//! A weight (n, k) becomes panels of [`PANEL`] outputs: f32 as `[k][PANEL]`, bf16 as `[k / 2][PANEL][2]` (pairs along
//! k, as `vdpbf16ps` and AMX expect them). It is packed once, when the model is loaded.

use half::{bf16, f16};
use rayon::prelude::*;

use super::aligned_buffer::AlignedBuffer;
use super::isa::Isa;
use super::packed_layout::{K_STEP, PANEL};

/// What the operands of a weight product are rounded to. Sums are always in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    F32,
    Bf16,
    F16,
}

impl Operands {
    pub(super) fn round(self, x: f32) -> f32 {
        match self {
            Operands::F32 => x,
            Operands::Bf16 => bf16::from_f32(x).to_f32(),
            Operands::F16 => f16::from_f32(x).to_f32(),
        }
    }
}

/// Packed weights, or a part of them. Their layout in memory decides the kernel.
#[derive(Clone, Copy)]
pub(super) enum Panels<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

impl Panels<'_> {
    /// Returns `len` values from `start`.
    pub(super) fn part(&self, start: usize, len: usize) -> Self {
        match self {
            Panels::F32(b) => Panels::F32(&b[start..start + len]),
            Panels::Bf16(b) => Panels::Bf16(&b[start..start + len]),
        }
    }
}

/// `y = x W^T + b`, packed for one instruction set.
pub(crate) struct PackedLinear {
    pub(super) n: usize,
    pub(super) k: usize,
    /// `k` including the padding.
    pub(super) k_padded: usize,
    pub(super) operands: Operands,
    pub(super) isa: Isa,
    /// Whether the panels hold pairs of bf16 instead of f32.
    pairs: bool,
    panels: AlignedBuffer,
    /// Zeros if the linear layer has no bias; padded to whole panels.
    pub(super) bias: Vec<f32>,
}

impl PackedLinear {
    /// Packs `weight` (n, k), row-major, and `bias` (n), if any.
    pub(crate) fn new(weight: &[f32], bias: Option<&[f32]>, n: usize, operands: Operands, isa: Isa) -> PackedLinear {
        assert!(n > 0 && weight.len().is_multiple_of(n) && bias.is_none_or(|b| b.len() == n));
        let k = weight.len() / n;
        let k_padded = k.next_multiple_of(K_STEP);
        let pairs = operands == Operands::Bf16 && isa >= Isa::Avx512Bf16;
        let n_padded = n.next_multiple_of(PANEL);
        let value_at = |row: usize, col: usize| if row < n && col < k { weight[row * k + col] } else { 0.0 };
        let panels = if pairs {
            let mut panels = AlignedBuffer::zeroed::<u16>(n_padded * k_padded);
            let values = panels.slice_mut::<u16>(n_padded * k_padded);
            values.par_chunks_mut(PANEL * k_padded).enumerate().for_each(|(panel, values)| {
                for (pair, values) in values.chunks_exact_mut(2 * PANEL).enumerate() {
                    for (column, value) in values.iter_mut().enumerate() {
                        let x = value_at(panel * PANEL + column / 2, 2 * pair + column % 2);
                        *value = bf16::from_f32(x).to_bits();
                    }
                }
            });
            panels
        } else {
            let mut panels = AlignedBuffer::zeroed::<f32>(n_padded * k_padded);
            let values = panels.slice_mut::<f32>(n_padded * k_padded);
            values.par_chunks_mut(PANEL * k_padded).enumerate().for_each(|(panel, values)| {
                for (col, values) in values.chunks_exact_mut(PANEL).enumerate() {
                    for (row, value) in values.iter_mut().enumerate() {
                        *value = operands.round(value_at(panel * PANEL + row, col));
                    }
                }
            });
            panels
        };
        let mut padded_bias = vec![0.0; n_padded];
        if let Some(bias) = bias {
            padded_bias[..n].copy_from_slice(bias);
        }
        PackedLinear { n, k, k_padded, operands, isa, pairs, panels, bias: padded_bias }
    }

    pub(crate) fn outputs(&self) -> usize {
        self.n
    }

    pub(super) fn panels(&self) -> Panels<'_> {
        if self.pairs { Panels::Bf16(self.panels.as_slice()) } else { Panels::F32(self.panels.as_slice()) }
    }
}
