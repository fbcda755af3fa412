//! `x W^T` with its epilogue, on one thread: rows are cut into blocks that stay in the second-level cache, and the
//! packed weight streams past them one panel at a time.

use std::cell::RefCell;

use rayon::prelude::*;

use super::aligned_buffer::AlignedBuffer;
#[cfg(target_arch = "x86_64")]
use super::amx;
use super::elementwise::{Tile, finish_add, finish_gelu, finish_silu, finish_store};
use super::isa::Isa;
use super::kernel::{BLOCK_ROWS, Kernel};
use super::pack_activations::{Rows, TileInput};
use super::pack_weights::{Operands, PackedLinear, Panels};
use super::packed_layout::PANEL;

/// The operation on a finished sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epilogue {
    /// out = x W^T + b
    Store,
    /// out = silu(x W^T + b)
    Silu,
    /// out = gelu(x W^T + b)
    Gelu,
    /// out += x W^T + b
    Add,
}

/// Inputs summed in one pass: the width of ViT-B. 14 rows of f32 and a panel (138 KiB) share the second-level cache
/// with a block. Not a power of two, which would map the rows of an AMX tile to few sets of the first-level cache.
const K_BLOCK: usize = 768;

/// Buffers of one thread, kept between products.
#[derive(Default)]
pub(crate) struct GemmScratch {
    packed: AlignedBuffer,
    sums: AlignedBuffer,
}

/// Splits `total` into parts of at most `max`, as equal as possible: (start, length).
pub(super) fn even_parts(total: usize, max: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let parts = total.div_ceil(max);
    (0..parts).map(move |i| {
        let (start, end) = (total * i / parts, total * (i + 1) / parts);
        (start, end - start)
    })
}

/// Computes x (rows, k) -> out (rows, n), both row-major without gaps.
pub(crate) fn linear(weight: &PackedLinear, x: &[f32], epilogue: Epilogue, out: &mut [f32], scratch: &mut GemmScratch) {
    let (n, k) = (weight.n, weight.k);
    assert!(x.len().is_multiple_of(k) && x.len() / k * n == out.len(), "shapes of a linear");
    let product = Product {
        isa: weight.isa,
        operands: weight.operands,
        panels: weight.panels(),
        n,
        k_padded: weight.k_padded,
        bias: Some(&weight.bias),
    };
    let x = Rows { values: x, stride: k, k };
    product.run(x, epilogue, OutputRows { values: out, stride: n }, scratch);
}

/// Computes the same as [`linear`], with the rows distributed over all threads.
pub(crate) fn linear_parallel(weight: &PackedLinear, x: &[f32], epilogue: Epilogue, out: &mut [f32]) {
    thread_local! {
        static SCRATCH: RefCell<GemmScratch> = RefCell::default();
    }
    let rows = (x.len() / weight.k).div_ceil(rayon::current_num_threads()).clamp(1, BLOCK_ROWS);
    x.par_chunks(rows * weight.k).zip(out.par_chunks_mut(rows * weight.n)).for_each(|(x, out)| {
        SCRATCH.with_borrow_mut(|scratch| linear(weight, x, epilogue, out, scratch));
    });
}

/// Adds the gradient of a weight: out (n, k) += y^T x of y (rows, n), its rows `y_stride` apart, and x (rows, k).
pub(crate) fn add_transposed_product(y: &[f32], y_stride: usize, x: &[f32], k: usize, out: &mut [f32]) {
    #[derive(Default)]
    struct TransposeScratch {
        transposed: AlignedBuffer,
        panels: AlignedBuffer,
        gemm: GemmScratch,
    }
    thread_local! {
        static SCRATCH: RefCell<TransposeScratch> = RefCell::default();
    }
    let (rows, n) = (x.len() / k, out.len() / k);
    assert!(x.len() == rows * k && out.len() == n * k && y.len() >= (rows - 1) * y_stride + n, "shapes of a product");
    SCRATCH.with_borrow_mut(|TransposeScratch { transposed, panels, gemm }| {
        let transposed = transposed.slice_mut::<f32>(n * rows);
        transpose(y, y_stride, n, transposed);
        let panels = panels.slice_mut::<f32>(k.div_ceil(PANEL) * PANEL * rows);
        for (panel, values) in panels.chunks_exact_mut(PANEL * rows).enumerate() {
            let columns = panel * PANEL..k.min((panel + 1) * PANEL);
            for (row, values) in x.chunks_exact(k).zip(values.chunks_exact_mut(PANEL)) {
                values[..columns.len()].copy_from_slice(&row[columns.clone()]);
                values[columns.len()..].fill(0.0);
            }
        }
        let panels = Panels::F32(panels);
        let isa = Isa::current();
        let product = Product { isa, operands: Operands::F32, panels, n: k, k_padded: rows, bias: None };
        let y = Rows { values: transposed, stride: rows, k: rows };
        product.run(y, Epilogue::Add, OutputRows { values: out, stride: k }, gemm);
    });
}

/// Transposes x (rows, n), its rows `stride` apart, to out (n, rows). In squares, so that both sides stay in the cache.
fn transpose(x: &[f32], stride: usize, n: usize, out: &mut [f32]) {
    const SIDE: usize = 16;
    let rows = out.len() / n;
    for (row, column) in (0..rows).step_by(SIDE).flat_map(|row| (0..n).step_by(SIDE).map(move |column| (row, column))) {
        for j in column..n.min(column + SIDE) {
            for i in row..rows.min(row + SIDE) {
                out[j * rows + i] = x[i * stride + j];
            }
        }
    }
}

/// The destination of a product: rows `stride` apart.
pub(super) struct OutputRows<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) stride: usize,
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
    pub(super) fn run(&self, x: Rows<'_>, epilogue: Epilogue, out: OutputRows<'_>, scratch: &mut GemmScratch) {
        let kernel = Kernel::select(self.panels, self.isa);
        #[cfg(target_arch = "x86_64")]
        let _tiles = (kernel == Kernel::Amx).then(amx::Configured::new);
        for (start, rows) in even_parts(x.count(), kernel.block_rows()) {
            let x = Rows { values: &x.values[start * x.stride..][..(rows - 1) * x.stride + x.k], ..x };
            let values = &mut out.values[start * out.stride..][..(rows - 1) * out.stride + self.n];
            let block = Block { kernel, product: self, x };
            block.run(epilogue, OutputRows { values, stride: out.stride }, scratch);
        }
    }
}

/// Rows that share a pass over the weights.
struct Block<'a> {
    kernel: Kernel,
    product: &'a Product<'a>,
    x: Rows<'a>,
}

impl Block<'_> {
    fn run(&self, epilogue: Epilogue, out: OutputRows<'_>, scratch: &mut GemmScratch) {
        let Block { kernel, product, x } = self;
        let tiles = even_parts(x.count(), kernel.tile_rows());
        let tile_count = tiles.clone().count();
        let panel_count = product.n.div_ceil(PANEL);
        let k_blocks = product.k_padded.div_ceil(K_BLOCK);
        let tile_len = kernel.tile_rows() * PANEL;
        // Sums are kept only if another block of inputs follows.
        let kept = if k_blocks > 1 { panel_count * tile_count } else { 1 };
        let packed_stride = kernel.packed_len(kernel.tile_rows(), K_BLOCK.min(product.k_padded)).next_multiple_of(16);
        let packed = scratch.packed.slice_mut::<f32>(tile_count * packed_stride);
        let sums = scratch.sums.slice_mut::<f32>(kept * tile_len);
        for k_block in 0..k_blocks {
            let k_start = k_block * K_BLOCK;
            let k = K_BLOCK.min(product.k_padded - k_start);
            let (first, last) = (k_block == 0, k_block + 1 == k_blocks);
            for ((start, rows), packed) in tiles.clone().zip(packed.chunks_exact_mut(packed_stride)) {
                let part = TileInput { x: *x, start, rows, k_start, k, operands: product.operands };
                kernel.pack(product.isa, part, &mut packed[..kernel.packed_len(rows, k)]);
            }
            for panel in 0..panel_count {
                let weights = product.panels.part((panel * product.k_padded + k_start) * PANEL, k * PANEL);
                for (i, (start, rows)) in tiles.clone().enumerate() {
                    let slot = if k_blocks > 1 { panel * tile_count + i } else { 0 };
                    let sums = &mut sums[slot * tile_len..][..tile_len];
                    let packed = &packed[i * packed_stride..][..kernel.packed_len(rows, k)];
                    kernel.tile(rows, packed, weights, sums, first);
                    if last {
                        let stride = out.stride;
                        let values = &mut out.values[start * stride + panel * PANEL..];
                        self.finish(epilogue, panel, &sums[..rows * PANEL], OutputRows { values, stride });
                    }
                }
            }
        }
    }

    /// Writes the sums (rows, PANEL) of a panel to out, through bias and epilogue.
    fn finish(&self, epilogue: Epilogue, panel: usize, sums: &[f32], out: OutputRows<'_>) {
        let isa = self.product.isa;
        let tile = Tile {
            sums,
            bias: self.product.bias.map_or(&NO_BIAS[..], |bias| &bias[panel * PANEL..][..PANEL]),
            columns: PANEL.min(self.product.n - panel * PANEL),
            out: out.values,
            stride: out.stride,
        };
        match epilogue {
            Epilogue::Store => finish_store(isa, tile),
            Epilogue::Silu => finish_silu(isa, tile),
            Epilogue::Gelu => finish_gelu(isa, tile),
            Epilogue::Add => finish_add(isa, tile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns values in [-1, 1) in no order.
    fn values(seed: u32, len: usize) -> Vec<f32> {
        let mut state = u64::from(seed);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
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
                    for epilogue in [Epilogue::Store, Epilogue::Silu, Epilogue::Gelu, Epilogue::Add] {
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
                                Epilogue::Gelu => {
                                    0.5 * sum * (1.0 + candle_core::cpu::erf::erf_f64(sum / 2f64.sqrt()))
                                }
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_transposed_product_is_added(rows in 1usize..120, n in 1usize..70, k in 1usize..100, seed: u32) {
            let stride = n + 3;
            let (y, x) = (values(seed, rows * stride), values(!seed, rows * k));
            let mut out = vec![0.5; n * k];
            add_transposed_product(&y, stride, &x, k, &mut out);
            for (i, j) in [(0, 0), (n - 1, k - 1), (n / 2, k / 3)] {
                let sum: f64 = (0..rows).map(|r| f64::from(y[r * stride + i]) * f64::from(x[r * k + j])).sum();
                prop_assert!((f64::from(out[i * k + j]) - 0.5 - sum).abs() < 1e-4, "({i}, {j}): {}", out[i * k + j]);
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
                    linear(&weight, &x[50 * k..][..rows * k], Epilogue::Store, &mut some, &mut GemmScratch::default());
                    assert_eq!(some, all[50 * n..][..rows * n], "{isa} {operands:?}, {rows} rows");
                }
            }
        }
    }
}
