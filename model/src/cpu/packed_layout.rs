//! The layout that packed weights have in memory, and that every tile kernel reads.

/// Outputs in a panel: two AVX-512 registers of f32.
pub(super) const PANEL: usize = 32;

/// `k` is padded with zeros to a multiple of this: one AMX tile row of bf16.
pub(super) const K_STEP: usize = 32;
