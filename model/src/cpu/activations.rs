//! Activations in the order in which a kernel reads them: the left-hand side of a product, packed a tile at a time.

use half::bf16;

use super::gemm::K_BLOCK;
use super::isa::Isa;
use super::lanes::versions;
use super::pack::Operands;

/// Activations of a product: rows of `k` values, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) k: usize,
}

impl Rows<'_> {
    pub(super) fn count(&self) -> usize {
        (self.values.len() + self.stride - self.k) / self.stride
    }
}

/// The part of the activations that one packed tile holds.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) x: Rows<'a>,
    /// First row.
    pub(super) start: usize,
    pub(super) rows: usize,
    /// First input.
    pub(super) k_start: usize,
    pub(super) k: usize,
    pub(super) operands: Operands,
}

impl Part<'_> {
    /// Row `r` from `k_start` on: what exists of its `k` values.
    #[inline(always)]
    fn row(&self, r: usize) -> &[f32] {
        let at = (self.start + r) * self.x.stride;
        &self.x.values[at + self.k_start..at + self.x.k.min(self.k_start + self.k)]
    }
}

/// (k, rows) of f32.
#[inline(always)]
fn pack_columns_body<const FMA: bool>(part: Part<'_>, packed: &mut [f32]) {
    for r in 0..part.rows {
        let row = part.row(r);
        let (filled, padding) = packed.split_at_mut(row.len() * part.rows);
        for (x, column) in row.iter().zip(filled.chunks_exact_mut(part.rows)) {
            column[r] = match part.operands {
                Operands::F32 => *x,
                operands => operands.round(*x),
            };
        }
        for column in padding.chunks_exact_mut(part.rows) {
            column[r] = 0.0;
        }
    }
}

/// (k / 2, rows) of pairs of bf16.
#[inline(always)]
fn pack_pairs_body<const FMA: bool>(part: Part<'_>, packed: &mut [u32]) {
    let mut line = [0; K_BLOCK / 2];
    let line = &mut line[..part.k / 2];
    for r in 0..part.rows {
        let row = part.row(r);
        let (pairs, rest) = row.as_chunks::<2>();
        for (pair, [low, high]) in line.iter_mut().zip(pairs) {
            *pair = bf16_bits(*low) | bf16_bits(*high) << 16;
        }
        if let [last] = rest {
            line[pairs.len()] = bf16_bits(*last);
        }
        for (column, pair) in packed.chunks_exact_mut(part.rows).zip(line.iter()) {
            column[r] = *pair;
        }
    }
}

/// (rows, k) of bf16, zeros below and to the right.
#[inline(always)]
fn pack_tile_rows_body<const FMA: bool>(part: Part<'_>, packed: &mut [u16]) {
    for (r, packed) in packed.chunks_exact_mut(part.k).enumerate() {
        let row = if r < part.rows { part.row(r) } else { &[] };
        let (filled, padding) = packed.split_at_mut(row.len());
        for (packed, x) in filled.iter_mut().zip(row) {
            *packed = bf16_bits(*x) as u16;
        }
        padding.fill(0);
    }
}

/// Rounds to nearest, ties to even, without a branch; NaN stays NaN.
#[inline(always)]
fn bf16_bits(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { u32::from(bf16::NAN.to_bits()) } else { rounded }
}

versions! { pub(super) fn pack_columns(part: Part<'_>, packed: &mut [f32]) = pack_columns_body }
versions! { pub(super) fn pack_pairs(part: Part<'_>, packed: &mut [u32]) = pack_pairs_body }
versions! { pub(super) fn pack_tile_rows(part: Part<'_>, packed: &mut [u16]) = pack_tile_rows_body }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_as_the_half_crate() {
        for bits in (0..=u32::MAX).step_by(65_521) {
            let x = f32::from_bits(bits);
            if !x.is_nan() {
                assert_eq!(bf16_bits(x), u32::from(bf16::from_f32(x).to_bits()), "{x}");
            }
        }
        assert!(bf16::from_bits(bf16_bits(f32::NAN) as u16).is_nan());
    }
}
