//! The tile kernel in plain Rust: every other kernel is compared with it, and it runs on CPUs without AVX2.

use super::packed_layout::PANEL;

/// Rows of a tile.
pub(super) const ROWS: usize = 4;

/// Computes sums (rows, PANEL) = or += a (k, rows)^T b (k, PANEL), all packed.
pub(super) fn tile_f32(rows: usize, a: &[f32], b: &[f32], sums: &mut [f32], first: bool) {
    if first {
        sums.fill(0.0);
    }
    for (a, b) in a.chunks_exact(rows).zip(b.chunks_exact(PANEL)) {
        for (a, sums) in a.iter().zip(sums.chunks_exact_mut(PANEL)) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
}
