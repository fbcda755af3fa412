//! Packs activations, the left-hand side of a product, a tile at a time in the order in which a kernel reads them.

use half::bf16;

use super::elementwise::multiversion;
use super::isa::Isa;
use super::pack_weights::Operands;

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
pub(super) struct TileInput<'a> {
    pub(super) x: Rows<'a>,
    /// First row.
    pub(super) start: usize,
    pub(super) rows: usize,
    /// First input.
    pub(super) k_start: usize,
    pub(super) k: usize,
    pub(super) operands: Operands,
}

impl TileInput<'_> {
    /// Returns row `r` from `k_start` on: the values that exist of its `k`.
    #[inline(always)]
    fn row(&self, r: usize) -> &[f32] {
        let offset = (self.start + r) * self.x.stride;
        &self.x.values[offset + self.k_start..offset + self.x.k.min(self.k_start + self.k)]
    }
}

/// Inputs that are transposed at a time: 64 inputs of a tile's rows stay in the first-level cache, read and written.
const STRIP: usize = 64;

/// Passes each row in strips, zeros after the row's end: (first input, row, values, how many count).
#[inline(always)]
fn for_each_strip(part: TileInput<'_>, mut each: impl FnMut(usize, usize, &[f32; STRIP], usize)) {
    for start in (0..part.k).step_by(STRIP) {
        let count = STRIP.min(part.k - start);
        for r in 0..part.rows {
            let row = part.row(r);
            let row = &row[start.min(row.len())..(start + count).min(row.len())];
            match row.first_chunk() {
                Some(whole) => each(start, r, whole, count),
                None => {
                    let mut padded = [0.0; STRIP];
                    padded[..row.len()].copy_from_slice(row);
                    each(start, r, &padded, count);
                }
            }
        }
    }
}

/// Packs (k, rows) of f32.
#[inline(always)]
fn pack_columns_body<const FMA: bool>(part: TileInput<'_>, packed: &mut [f32]) {
    for_each_strip(part, |start, r, strip, count| {
        let columns = packed[start * part.rows..].chunks_exact_mut(part.rows);
        for (x, column) in strip[..count].iter().zip(columns) {
            column[r] = match part.operands {
                Operands::F32 => *x,
                operands => operands.round(*x),
            };
        }
    });
}

/// Packs (k / 2, rows) of pairs of bf16.
#[inline(always)]
fn pack_pairs_body<const FMA: bool>(part: TileInput<'_>, packed: &mut [u32]) {
    for_each_strip(part, |start, r, strip, count| {
        let mut pairs = [0; STRIP / 2];
        for (pair, [low, high]) in pairs.iter_mut().zip(strip.as_chunks().0) {
            *pair = bf16_bits(*low) | bf16_bits(*high) << 16;
        }
        let columns = packed[start / 2 * part.rows..].chunks_exact_mut(part.rows);
        for (pair, column) in pairs[..count / 2].iter().zip(columns) {
            column[r] = *pair;
        }
    });
}

/// Packs (rows, k) of bf16, with zeros below and to the right.
#[inline(always)]
fn pack_tile_rows_body<const FMA: bool>(part: TileInput<'_>, packed: &mut [u16]) {
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

multiversion! { pub(super) fn pack_columns(part: TileInput<'_>, packed: &mut [f32]) = pack_columns_body }
multiversion! { pub(super) fn pack_pairs(part: TileInput<'_>, packed: &mut [u32]) = pack_pairs_body }
multiversion! { pub(super) fn pack_tile_rows(part: TileInput<'_>, packed: &mut [u16]) = pack_tile_rows_body }

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
