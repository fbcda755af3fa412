//! The tile kernels behind one interface: which one a packed weight uses, how it packs its activations, how it is
//! called.

use super::isa::Isa;
use super::pack_activations::{TileInput, pack_columns, pack_pairs, pack_tile_rows};
use super::pack_weights::{PackedLinear, Panels};
use super::packed_layout::PANEL;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{amx, avx};

/// Rows of a block: 768 f32 inputs of 112 rows take 336 KiB, a third of the second-level cache of current servers.
pub(super) const BLOCK_ROWS: usize = 112;

/// Rows of a block for AMX, whose CPUs have 2 MiB and whose inputs are bf16: a multiple of its tile's 32 rows.
#[cfg(target_arch = "x86_64")]
const BLOCK_ROWS_AMX: usize = 416;

/// The tile kernel of a packed weight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kernel {
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
    /// Chooses the best kernel for these panels on this CPU.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn select(panels: Panels<'_>, isa: Isa) -> Kernel {
        match panels {
            Panels::Bf16(_) if isa >= Isa::Amx => Kernel::Amx,
            Panels::Bf16(_) => Kernel::Bf16,
            Panels::F32(_) if isa >= Isa::Avx512 => Kernel::Avx512,
            Panels::F32(_) if isa >= Isa::Avx2 => Kernel::Avx2,
            Panels::F32(_) => Kernel::Portable,
        }
    }

    /// Chooses the best kernel for these panels on this CPU.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn select(panels: Panels<'_>, _: Isa) -> Kernel {
        assert!(matches!(panels, Panels::F32(_)));
        Kernel::Portable
    }

    pub(super) fn tile_rows(self) -> usize {
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

    /// Returns the number of rows that share a pass over the weight.
    pub(super) fn block_rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => BLOCK_ROWS_AMX,
            _ => BLOCK_ROWS,
        }
    }

    /// Returns the length of a packed tile, in f32 values.
    pub(super) fn packed_len(self, rows: usize, k: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Bf16 => rows * k / 2,
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => amx::ROWS * k / 2,
            _ => rows * k,
        }
    }

    /// Packs a tile's activations into [`Kernel::packed_len`] values.
    pub(super) fn pack(self, isa: Isa, part: TileInput<'_>, packed: &mut [f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Bf16 => pack_pairs(isa, part, bytemuck::cast_slice_mut(packed)),
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx => pack_tile_rows(isa, part, bytemuck::cast_slice_mut(packed)),
            _ => pack_columns(isa, part, packed),
        }
    }

    /// Computes sums (rows, PANEL) = or += packed activations times packed weights; `sums` has room for a whole tile.
    pub(super) fn tile(self, rows: usize, a: &[f32], b: Panels<'_>, sums: &mut [f32], first: bool) {
        match (self, b) {
            (Kernel::Portable, Panels::F32(b)) => {
                portable::tile_f32(rows, a, b, &mut sums[..rows * PANEL], first);
            }
            // SAFETY (of all four): a kernel is chosen by an `Isa`, which exists only where the CPU has it.
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2, Panels::F32(b)) => unsafe { avx::tile_avx2(rows, a, b, sums, first) },
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx512, Panels::F32(b)) => unsafe { avx::tile_avx512(rows, a, b, sums, first) },
            #[cfg(target_arch = "x86_64")]
            (Kernel::Bf16, Panels::Bf16(b)) => unsafe {
                avx::tile_bf16(rows, bytemuck::cast_slice(a), b, sums, first);
            },
            #[cfg(target_arch = "x86_64")]
            (Kernel::Amx, Panels::Bf16(b)) => unsafe {
                amx::tile(&mut amx::Hardware, rows, bytemuck::cast_slice(a), b, sums, first);
            },
            _ => unreachable!("a kernel fits its panels"),
        }
    }
}

impl PackedLinear {
    /// Returns the number of rows that share a pass over the weight.
    pub(super) fn block_rows(&self) -> usize {
        Kernel::select(self.panels(), self.isa).block_rows()
    }
}
