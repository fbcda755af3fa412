//! `x W^T` with its epilogue, on one thread: rows are cut into blocks that stay in the second-level cache, the packed
//! weight streams past them a panel at a time.

use std::cell::RefCell;

use half::bf16;
use rayon::prelude::*;

use super::aligned::Aligned;
use super::amx;
#[cfg(target_arch = "x86_64")]
use super::avx;
use super::isa::Isa;
use super::lanes::{Tile, finish_add, finish_silu, finish_store, versions};
use super::pack::{Operands, PANEL, PackedLinear, PanelKind};
use super::portable;

/// What happens to a finished sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epilogue {
    /// out = x W^T + b
    Store,
    /// out = silu(x W^T + b)
    Silu,
    /// out += x W^T + b
    Add,
}

/// Inputs summed in one go: 14 rows of 1,024 f32 and a panel of them (128 KiB) share the second-level cache with a block.
const K_BLOCK: usize = 1024;

/// Rows of a block: 1,024 inputs of 112 rows are 448 KiB, under half of the second-level cache of current servers.
const BLOCK_ROWS: usize = 112;

/// Buffers of one thread, kept between products.
#[derive(Default)]
pub(crate) struct GemmScratch {
    packed: Aligned,
    sums: Aligned,
}

/// The tile kernel of a packed weight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Bf16,
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Kernel {
    #[cfg(target_arch = "x86_64")]
    fn of(kind: PanelKind, isa: Isa) -> Kernel {
        match kind {
            PanelKind::Bf16Pairs if isa >= Isa::Amx => Kernel::Amx,
            PanelKind::Bf16Pairs => Kernel::Bf16,
            PanelKind::F32 if isa >= Isa::Avx512 => Kernel::Avx512,
            PanelKind::F32 if isa >= Isa::Avx2 => Kernel::Avx2,
            PanelKind::F32 => Kernel::Portable,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: PanelKind, _: Isa) -> Kernel {
        Kernel::Portable
    }

    fn tile_rows(self) -> usize {
        match self {
            Kernel::Portable => portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => avx::ROWS_AVX2,
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Bf16 => avx::ROWS_AVX512,
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => amx::ROWS,
        }
    }

    /// f32-sized places that a packed tile takes in the buffer.
    fn packed_len(self, rows: usize, k: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Bf16 => rows * k / 2,
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => amx::ROWS * k / 2,
            _ => rows * k,
        }
    }
}

/// `total` in parts of at most `max`, as equal as they can be: (start, length).
pub(super) fn even_parts(total: usize, max: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let parts = total.div_ceil(max);
    (0..parts).map(move |i| {
        let (start, end) = (total * i / parts, total * (i + 1) / parts);
        (start, end - start)
    })
}

/// x (rows, k) -> out (rows, n), both row-major without gaps.
pub(crate) fn linear(weight: &PackedLinear, x: &[f32], epilogue: Epilogue, out: &mut [f32], scratch: &mut GemmScratch) {
    assert!(
        x.len().is_multiple_of(weight.k) && x.len() / weight.k * weight.n == out.len(),
        "shapes of a linear"
    );
    let panels = match weight.kind {
        PanelKind::F32 => Panels::F32(weight.panels_f32()),
        PanelKind::Bf16Pairs => Panels::Bf16(weight.panels_bf16()),
    };
    let product = Product {
        isa: weight.isa,
        operands: weight.operands,
        panels,
        n: weight.n,
        k_padded: weight.k_padded,
        bias: Some(&weight.bias),
    };
    product.run(
        Rows {
            values: x,
            stride: weight.k,
            k: weight.k,
        },
        epilogue,
        out,
        weight.n,
        scratch,
    );
}

/// As [`linear`], its rows over all threads.
pub(crate) fn linear_parallel(weight: &PackedLinear, x: &[f32], epilogue: Epilogue, out: &mut [f32]) {
    thread_local! {
        static SCRATCH: RefCell<GemmScratch> = RefCell::default();
    }
    let rows = (x.len() / weight.k)
        .div_ceil(rayon::current_num_threads())
        .clamp(1, BLOCK_ROWS);
    x.par_chunks(rows * weight.k)
        .zip(out.par_chunks_mut(rows * weight.n))
        .for_each(|(x, out)| {
            SCRATCH.with_borrow_mut(|scratch| linear(weight, x, epilogue, out, scratch));
        });
}

/// Packed weights of a product.
#[derive(Clone, Copy)]
pub(super) enum Panels<'a> {
    F32(&'a [f32]),
    Bf16(&'a [u16]),
}

/// Activations of a product: rows of `k` values, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) k: usize,
}

impl Rows<'_> {
    fn count(&self) -> usize {
        (self.values.len() + self.stride - self.k) / self.stride
    }
}

/// One packed right-hand side.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) isa: Isa,
    pub(super) operands: Operands,
    pub(super) panels: Panels<'a>,
    pub(super) n: usize,
    /// Inputs as the panels hold them: at least `Rows::k`, the rest zeros.
    pub(super) k_padded: usize,
    pub(super) bias: Option<&'a [f32]>,
}

static NO_BIAS: [f32; PANEL] = [0.0; PANEL];

impl Product<'_> {
    /// out: rows of `n` values, `out_stride` apart.
    #[allow(clippy::too_many_arguments)] // two sides, how it ends, and where
    pub(super) fn run(
        &self,
        x: Rows<'_>,
        epilogue: Epilogue,
        out: &mut [f32],
        out_stride: usize,
        scratch: &mut GemmScratch,
    ) {
        let kind = match self.panels {
            Panels::F32(_) => PanelKind::F32,
            Panels::Bf16(_) => PanelKind::Bf16Pairs,
        };
        let kernel = Kernel::of(kind, self.isa);
        #[cfg(target_arch = "x86_64")]
        let _tiles = (kernel == Kernel::Amx).then(amx::Configured::new);
        for (start, rows) in even_parts(x.count(), BLOCK_ROWS) {
            let x = Rows {
                values: &x.values[start * x.stride..][..(rows - 1) * x.stride + x.k],
                ..x
            };
            let out = &mut out[start * out_stride..][..(rows - 1) * out_stride + self.n];
            self.block(kernel, x, epilogue, out, out_stride, scratch);
        }
    }

    #[allow(clippy::too_many_arguments)] // the two sides of one product, and how it ends
    fn block(
        &self,
        kernel: Kernel,
        x: Rows<'_>,
        epilogue: Epilogue,
        out: &mut [f32],
        out_stride: usize,
        scratch: &mut GemmScratch,
    ) {
        let tiles = even_parts(x.count(), kernel.tile_rows());
        let tile_count = tiles.clone().count();
        let panel_count = self.n.div_ceil(PANEL);
        let k_blocks = self.k_padded.div_ceil(K_BLOCK);
        let tile_len = kernel.tile_rows() * PANEL;
        let kept = if k_blocks > 1 { panel_count * tile_count } else { 1 };
        let packed_stride = kernel
            .packed_len(kernel.tile_rows(), K_BLOCK.min(self.k_padded))
            .next_multiple_of(16);
        let packed = scratch.packed.slice_mut::<f32>(tile_count * packed_stride);
        let sums = scratch.sums.slice_mut::<f32>(kept * tile_len);
        for k_block in 0..k_blocks {
            let k_start = k_block * K_BLOCK;
            let k = K_BLOCK.min(self.k_padded - k_start);
            let (first, last) = (k_block == 0, k_block + 1 == k_blocks);
            for ((start, rows), packed) in tiles.clone().zip(packed.chunks_exact_mut(packed_stride)) {
                let part = Part {
                    x,
                    start,
                    rows,
                    k_start,
                    k,
                    operands: self.operands,
                };
                pack_tile(kernel, self.isa, part, &mut packed[..kernel.packed_len(rows, k)]);
            }
            for panel in 0..panel_count {
                let columns = PANEL.min(self.n - panel * PANEL);
                let bias = self.bias.map_or(&NO_BIAS[..], |b| &b[panel * PANEL..][..PANEL]);
                for (i, (start, rows)) in tiles.clone().enumerate() {
                    let slot = if k_blocks > 1 { panel * tile_count + i } else { 0 };
                    let sums = &mut sums[slot * tile_len..][..tile_len];
                    let packed = &packed[i * packed_stride..][..kernel.packed_len(rows, k)];
                    let at = (panel * self.k_padded + k_start) * PANEL;
                    self.tile(kernel, rows, packed, at, k, sums, first);
                    if last {
                        let out = &mut out[start * out_stride + panel * PANEL..];
                        let tile = Tile {
                            sums: &sums[..rows * PANEL],
                            bias,
                            columns,
                            out,
                            stride: out_stride,
                        };
                        match epilogue {
                            Epilogue::Store => finish_store(self.isa, tile),
                            Epilogue::Silu => finish_silu(self.isa, tile),
                            Epilogue::Add => finish_add(self.isa, tile),
                        }
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn tile(&self, kernel: Kernel, rows: usize, a: &[f32], at: usize, k: usize, sums: &mut [f32], first: bool) {
        match (kernel, self.panels) {
            (Kernel::Portable, Panels::F32(b)) => {
                portable::tile_f32(rows, a, &b[at..at + k * PANEL], &mut sums[..rows * PANEL], first);
            }
            // SAFETY (of all four): `Kernel::of` chose the kernel by an `Isa`, which exists only where the CPU has it.
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, Panels::F32(b)) => unsafe {
                avx::tile_avx2(rows, a, &b[at..at + k * PANEL], sums, first);
            },
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Panels::F32(b)) => unsafe {
                avx::tile_avx512(rows, a, &b[at..at + k * PANEL], sums, first);
            },
            #[cfg(target_arch = "x86_64")]
            (Kernel::Bf16, Panels::Bf16(b)) => unsafe {
                avx::tile_bf16(rows, bytemuck::cast_slice(a), &b[at..at + k * PANEL], sums, first);
            },
            #[cfg(target_arch = "x86_64")]
            (Kernel::Amx, Panels::Bf16(b)) => unsafe {
                let a = &bytemuck::cast_slice(a)[..amx::ROWS * k];
                amx::tile(&mut amx::Hardware, rows, a, &b[at..at + k * PANEL], sums, first);
            },
            _ => unreachable!("a kernel fits its panels"),
        }
    }
}

/// The part of the activations that one packed tile holds.
#[derive(Clone, Copy)]
struct Part<'a> {
    x: Rows<'a>,
    start: usize,
    rows: usize,
    k_start: usize,
    k: usize,
    operands: Operands,
}

impl Part<'_> {
    /// Row `r` from `k_start` on: what exists of its `k` values.
    #[inline(always)]
    fn row(&self, r: usize) -> &[f32] {
        let at = (self.start + r) * self.x.stride;
        &self.x.values[at + self.k_start..at + self.x.k.min(self.k_start + self.k)]
    }
}

fn pack_tile(kernel: Kernel, isa: Isa, part: Part<'_>, packed: &mut [f32]) {
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Bf16 => pack_pairs(isa, part, bytemuck::cast_slice_mut(packed)),
        #[cfg(target_arch = "x86_64")]
        Kernel::Amx => pack_tile_rows(isa, part, bytemuck::cast_slice_mut(packed)),
        _ => pack_columns(isa, part, packed),
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
    for r in 0..part.rows {
        let row = part.row(r);
        for (pair, column) in packed.chunks_exact_mut(part.rows).enumerate() {
            let at = |i: usize| row.get(i).copied().map_or(0, bf16_bits);
            column[r] = at(2 * pair) | at(2 * pair + 1) << 16;
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
    if x.is_nan() {
        u32::from(bf16::NAN.to_bits())
    } else {
        rounded
    }
}

versions! { fn pack_columns(part: Part<'_>, packed: &mut [f32]) = pack_columns_body }
versions! { fn pack_pairs(part: Part<'_>, packed: &mut [u32]) = pack_pairs_body }
versions! { fn pack_tile_rows(part: Part<'_>, packed: &mut [u16]) = pack_tile_rows_body }

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Values in [-1, 1) without order.
    fn values(seed: u32, len: usize) -> Vec<f32> {
        let mut state = u64::from(seed);
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / 8_388_608.0 - 1.0
        };
        (0..len).map(|_| next()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_kernel_equals_the_plain_sum(
            rows in 1usize..150, n in 1usize..100, k in prop_oneof![1usize..200, 1000usize..1100, Just(3072)], seed: u32,
        ) {
            let (x, w, b) = (values(seed, rows * k), values(!seed, n * k), values(seed ^ 7, n));
            for isa in Isa::available() {
                for operands in [Operands::F32, Operands::Bf16, Operands::F16] {
                    let weight = PackedLinear::new(&w, Some(&b), n, operands, isa);
                    for epilogue in [Epilogue::Store, Epilogue::Silu, Epilogue::Add] {
                        let before = if epilogue == Epilogue::Add { 0.5 } else { f32::NAN };
                        let mut out = vec![before; rows * n];
                        linear(&weight, &x, epilogue, &mut out, &mut GemmScratch::default());
                        for (r, c) in [(0, 0), (rows - 1, n - 1), (rows / 2, n / 3), (rows / 3, n / 2)] {
                            let dot: f64 = (0..k)
                                .map(|i| f64::from(operands.round(x[r * k + i])) * f64::from(operands.round(w[c * k + i])))
                                .sum();
                            let sum = dot + f64::from(b[c]);
                            let want = match epilogue {
                                Epilogue::Store => sum,
                                Epilogue::Silu => sum / (1.0 + (-sum).exp()),
                                Epilogue::Add => sum + 0.5,
                            };
                            let got = f64::from(out[r * n + c]);
                            prop_assert!((got - want).abs() < 1e-6 * (k as f64).max(50.0),
                                "{isa} {operands:?} {epilogue:?} ({rows}, {k}) x ({n}, {k}) at ({r}, {c}): {got} not {want}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_is_the_same_to_the_bit_in_any_batch() {
        let (n, k) = (96, 1100);
        let (x, w) = (values(1, 200 * k), values(2, n * k));
        for isa in Isa::available() {
            for operands in [Operands::F32, Operands::Bf16] {
                let weight = PackedLinear::new(&w, None, n, operands, isa);
                let mut all = vec![0.0; 200 * n];
                linear(&weight, &x, Epilogue::Store, &mut all, &mut GemmScratch::default());
                for rows in [1, 13, 99] {
                    let mut some = vec![0.0; rows * n];
                    linear(
                        &weight,
                        &x[50 * k..][..rows * k],
                        Epilogue::Store,
                        &mut some,
                        &mut GemmScratch::default(),
                    );
                    assert_eq!(some, all[50 * n..][..rows * n], "{isa} {operands:?}, {rows} rows");
                }
            }
        }
    }

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
