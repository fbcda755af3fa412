//! Tile kernels in AVX2, AVX-512 and AVX-512 bf16: a tile of sums stays in registers over the whole of k.

// The compiler unrolls plain indices over constant bounds into registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::packed_layout::PANEL;

/// 6 rows x 16 outputs of f32 fill 12 of the 16 registers of AVX2.
pub(super) const ROWS_AVX2: usize = 6;

/// 14 rows x 32 outputs of f32 fill 28 of the 32 registers of AVX-512; two more hold weights, one an activation.
pub(super) const ROWS_AVX512: usize = 14;

/// Calls `$kernel::<ROWS>` for the given number of rows.
macro_rules! by_rows {
    ($rows:expr, $kernel:ident $args:tt, $($n:literal)*) => {
        // SAFETY: the caller guarantees the CPU's features, and lengths are asserted before.
        match $rows {
            $($n => unsafe { $kernel::<$n> $args },)*
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}

/// Loads the sums so far into registers. These are macros, since a function that is not inlined would pass them through
/// memory.
macro_rules! load_sums {
    ($rows:ident, $sums:expr, $first:expr) => {{
        let mut acc = [[_mm512_setzero_ps(); 2]; $rows];
        if !$first {
            for r in 0..$rows {
                acc[r] = [_mm512_loadu_ps($sums.add(r * PANEL)), _mm512_loadu_ps($sums.add(r * PANEL + 16))];
            }
        }
        acc
    }};
}

macro_rules! store_sums {
    ($rows:ident, $sums:expr, $acc:ident) => {
        for r in 0..$rows {
            _mm512_storeu_ps($sums.add(r * PANEL), $acc[r][0]);
            _mm512_storeu_ps($sums.add(r * PANEL + 16), $acc[r][1]);
        }
    };
}

/// Computes sums (rows, PANEL) = or += a (k, rows)^T b (k, PANEL), all packed.
///
/// # Safety
/// The CPU must have AVX2 and FMA.
pub(super) unsafe fn tile_avx2(rows: usize, a: &[f32], b: &[f32], sums: &mut [f32], first: bool) {
    let k = a.len() / rows;
    assert!(b.len() >= k * PANEL && sums.len() >= rows * PANEL);
    by_rows!(rows, avx2(k, a.as_ptr(), b.as_ptr(), sums.as_mut_ptr(), first), 1 2 3 4 5 6)
}

/// Computes the same as [`tile_avx2`], in AVX-512.
///
/// # Safety
/// The CPU must have AVX-512 F.
pub(super) unsafe fn tile_avx512(rows: usize, a: &[f32], b: &[f32], sums: &mut [f32], first: bool) {
    let k = a.len() / rows;
    assert!(b.len() >= k * PANEL && sums.len() >= rows * PANEL);
    by_rows!(rows, avx512(k, a.as_ptr(), b.as_ptr(), sums.as_mut_ptr(), first), 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

/// Computes the same as [`tile_avx512`] over pairs of bf16: a (k / 2, rows), b (k / 2, PANEL, 2).
///
/// # Safety
/// The CPU must have AVX-512 F and BF16.
pub(super) unsafe fn tile_bf16(rows: usize, a: &[u32], b: &[u16], sums: &mut [f32], first: bool) {
    let pairs = a.len() / rows;
    assert!(b.len() >= pairs * 2 * PANEL && sums.len() >= rows * PANEL);
    by_rows!(rows, bf16(pairs, a.as_ptr(), b.as_ptr(), sums.as_mut_ptr(), first), 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const ROWS: usize>(k: usize, a: *const f32, b: *const f32, sums: *mut f32, first: bool) {
    for half in 0..2 {
        // SAFETY: the caller checked that a holds k * ROWS values, b k * PANEL and sums ROWS * PANEL.
        unsafe {
            let sums = sums.add(half * 16);
            let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
            if !first {
                for r in 0..ROWS {
                    acc[r] = [_mm256_loadu_ps(sums.add(r * PANEL)), _mm256_loadu_ps(sums.add(r * PANEL + 8))];
                }
            }
            let (mut a, mut b) = (a, b.add(half * 16));
            for _ in 0..k {
                let w = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
                for r in 0..ROWS {
                    let x = _mm256_broadcast_ss(&*a.add(r));
                    acc[r][0] = _mm256_fmadd_ps(x, w[0], acc[r][0]);
                    acc[r][1] = _mm256_fmadd_ps(x, w[1], acc[r][1]);
                }
                a = a.add(ROWS);
                b = b.add(PANEL);
            }
            for r in 0..ROWS {
                _mm256_storeu_ps(sums.add(r * PANEL), acc[r][0]);
                _mm256_storeu_ps(sums.add(r * PANEL + 8), acc[r][1]);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn avx512<const ROWS: usize>(k: usize, a: *const f32, b: *const f32, sums: *mut f32, first: bool) {
    // SAFETY: the caller checked that a holds k * ROWS values, b k * PANEL and sums ROWS * PANEL.
    unsafe {
        let mut acc = load_sums!(ROWS, sums, first);
        let (mut a, mut b) = (a, b);
        for _ in 0..k {
            let w = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
            for r in 0..ROWS {
                let x = _mm512_set1_ps(*a.add(r));
                acc[r][0] = _mm512_fmadd_ps(x, w[0], acc[r][0]);
                acc[r][1] = _mm512_fmadd_ps(x, w[1], acc[r][1]);
            }
            a = a.add(ROWS);
            b = b.add(PANEL);
        }
        store_sums!(ROWS, sums, acc);
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn bf16<const ROWS: usize>(pairs: usize, a: *const u32, b: *const u16, sums: *mut f32, first: bool) {
    // SAFETY: the caller checked that a holds pairs * ROWS values, b pairs * 2 * PANEL and sums ROWS * PANEL.
    unsafe {
        let mut acc = load_sums!(ROWS, sums, first);
        let (mut a, mut b) = (a, b);
        for _ in 0..pairs {
            let w: [__m512bh; 2] = std::mem::transmute([_mm512_loadu_ps(b.cast()), _mm512_loadu_ps(b.add(32).cast())]);
            for r in 0..ROWS {
                let x: __m512bh = std::mem::transmute(_mm512_set1_epi32(*a.add(r) as i32));
                acc[r][0] = _mm512_dpbf16_ps(acc[r][0], x, w[0]);
                acc[r][1] = _mm512_dpbf16_ps(acc[r][1], x, w[1]);
            }
            a = a.add(ROWS);
            b = b.add(2 * PANEL);
        }
        store_sums!(ROWS, sums, acc);
    }
}
