//! The bf16 tile kernel on AMX: 32 rows x 32 outputs in four tile registers.
//!
//! The kernel is written over [`Tiles`], six operations of one instruction each, so that a plain Rust model of the tile
//! registers can test its addressing on any machine. Before AMX is used, [`usable`] multiplies once on the hardware and
//! compares with plain sums: a machine where they differ is treated as one without AMX.

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

use half::bf16;

use super::packed_layout::PANEL;

/// Rows of a tile of sums: two tile registers of 16.
pub(super) const ROWS: usize = 32;

/// bf16 values in a row of a tile register.
const K_TILE: usize = 32;

/// The operations of the eight tile registers (16 rows of 64 bytes) that the kernel needs.
///
/// # Safety
/// The addresses must be valid for 16 rows of 64 bytes, `stride` bytes apart, and the registers must be configured.
pub(super) trait Tiles {
    unsafe fn zero<const T: usize>(&mut self);
    unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize);
    unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize);
    /// Computes sums (16, 16) f32 += a (16, 32) bf16 x b (16, 16, 2) bf16.
    unsafe fn multiply<const SUMS: usize, const A: usize, const B: usize>(&mut self);
}

/// Computes sums (32, PANEL) = or += a (32, k) b (k / 2, PANEL, 2)^T. Rows past `rows` are zeros in a and undefined in
/// sums.
///
/// # Safety
/// The same conditions as for [`Tiles`].
pub(super) unsafe fn tile(tiles: &mut impl Tiles, rows: usize, a: &[u16], b: &[u16], sums: &mut [f32], first: bool) {
    let k = a.len() / ROWS;
    assert!(k.is_multiple_of(K_TILE) && b.len() >= k * PANEL && rows <= ROWS && sums.len() == ROWS * PANEL);
    let sum_stride = PANEL * size_of::<f32>();
    let a_stride = k * size_of::<u16>();
    let b_stride = 2 * PANEL * size_of::<u16>();
    // SAFETY: a holds 32 rows of k values, b k / 2 rows of 2 * PANEL, and sums 32 rows of PANEL.
    unsafe {
        let byte_offset = |row: usize, column: usize| (row * PANEL + column) * size_of::<f32>();
        let out = sums.as_mut_ptr().cast::<u8>();
        if first {
            tiles.zero::<0>();
            tiles.zero::<1>();
            tiles.zero::<2>();
            tiles.zero::<3>();
        } else {
            tiles.load::<0>(out.add(byte_offset(0, 0)), sum_stride);
            tiles.load::<1>(out.add(byte_offset(0, 16)), sum_stride);
            tiles.load::<2>(out.add(byte_offset(16, 0)), sum_stride);
            tiles.load::<3>(out.add(byte_offset(16, 16)), sum_stride);
        }
        for step in 0..k / K_TILE {
            let a = a.as_ptr().add(step * K_TILE).cast::<u8>();
            let b = b.as_ptr().add(step * K_TILE * PANEL).cast::<u8>();
            tiles.load::<6>(b, b_stride);
            tiles.load::<7>(b.add(64), b_stride);
            tiles.load::<4>(a, a_stride);
            tiles.multiply::<0, 4, 6>();
            tiles.multiply::<1, 4, 7>();
            if rows > 16 {
                tiles.load::<5>(a.add(16 * a_stride), a_stride);
                tiles.multiply::<2, 5, 6>();
                tiles.multiply::<3, 5, 7>();
            }
        }
        tiles.store::<0>(out.add(byte_offset(0, 0)), sum_stride);
        tiles.store::<1>(out.add(byte_offset(0, 16)), sum_stride);
        tiles.store::<2>(out.add(byte_offset(16, 0)), sum_stride);
        tiles.store::<3>(out.add(byte_offset(16, 16)), sum_stride);
    }
}

/// The CPU's own tile registers.
pub(super) struct Hardware;

impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn zero<const T: usize>(&mut self) {
        // SAFETY: writes a tile register, which the compiler never uses.
        unsafe { asm!("tilezero tmm{t}", t = const T, options(nostack, nomem, preserves_flags)) }
    }

    #[inline(always)]
    unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize) {
        // SAFETY: the caller guarantees the addresses.
        unsafe {
            asm!("tileloadd tmm{t}, [{from} + {stride}*1]", t = const T, from = in(reg) from, stride = in(reg) stride,
                options(nostack, readonly, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize) {
        // SAFETY: the caller guarantees the addresses.
        unsafe {
            asm!("tilestored [{to} + {stride}*1], tmm{t}", t = const T, to = in(reg) to, stride = in(reg) stride,
                options(nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn multiply<const SUMS: usize, const A: usize, const B: usize>(&mut self) {
        // SAFETY: touches tile registers only, which the compiler never uses.
        unsafe {
            asm!("tdpbf16ps tmm{s}, tmm{a}, tmm{b}", s = const SUMS, a = const A, b = const B,
                options(nostack, nomem, preserves_flags));
        }
    }
}

/// The tile registers of this thread, configured as 16 rows of 64 bytes each until this is dropped.
pub(super) struct Configured(PhantomData<*const ()>);

impl Configured {
    pub(super) fn new() -> Configured {
        #[repr(C, align(64))]
        struct Palette([u8; 64]);
        let mut palette = Palette([0; 64]);
        palette.0[0] = 1;
        for register in 0..8 {
            palette.0[16 + 2 * register] = 64; // bytes a row
            palette.0[48 + register] = 16; // rows
        }
        // SAFETY: the palette is 64 valid bytes; `Isa::Amx` exists only where the system has granted AMX.
        unsafe { asm!("ldtilecfg [{0}]", in(reg) &palette.0, options(nostack, readonly, preserves_flags)) }
        Configured(PhantomData)
    }
}

impl Drop for Configured {
    fn drop(&mut self) {
        // SAFETY: frees the registers' state, which only this module uses.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}

/// Returns whether CPU and system offer AMX with bf16 and its products are correct. Checked once.
pub(super) fn usable() -> bool {
    static USABLE: OnceLock<bool> = OnceLock::new();
    *USABLE.get_or_init(|| {
        if !(offered() && granted()) {
            return false;
        }
        let is_correct = computes_correct_products();
        if !is_correct {
            tracing::error!("amx computes wrong products and is not used");
        }
        is_correct
    })
}

fn offered() -> bool {
    const TILE: u32 = 1 << 24;
    const BF16: u32 = 1 << 22;
    const OSXSAVE: u32 = 1 << 27;
    const TILE_STATE: u64 = 0b11 << 17;
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    let edx = __cpuid_count(7, 0).edx;
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE means that xgetbv may be used.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nostack, nomem, preserves_flags)) }
    let enabled = u64::from(high) << 32 | u64::from(low);
    edx & TILE != 0 && edx & BF16 != 0 && enabled & TILE_STATE == TILE_STATE
}

/// Asks Linux for the tile registers, which a process gets only on request.
#[cfg(target_os = "linux")]
fn granted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    // SAFETY: a system call without pointers.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn granted() -> bool {
    false
}

fn computes_correct_products() -> bool {
    let _tiles = Configured::new();
    // SAFETY: AMX is offered and granted, and the registers are configured.
    check(|a, b, sums, first| unsafe { tile(&mut Hardware, CHECKED_ROWS, a, b, sums, first) })
}

/// Rows of the check.
const CHECKED_ROWS: usize = 29;

/// Multiplies small integers, whose products and sums are exact in any order: (29, 96) x (96, 32), twice into one sum.
fn check(multiply: impl Fn(&[u16], &[u16], &mut [f32], bool)) -> bool {
    const K: usize = 96;
    let value = |i: usize| (i * 7919 % 31) as f32 - 15.0;
    let bits = |x: f32| bf16::from_f32(x).to_bits();
    let a: Vec<u16> = (0..ROWS * K).map(|i| if i < CHECKED_ROWS * K { bits(value(i)) } else { 0 }).collect();
    let b: Vec<u16> = (0..K * PANEL).map(|i| bits(value(3 * i + 1))).collect();
    let mut sums = vec![f32::NAN; ROWS * PANEL];
    multiply(&a, &b, &mut sums, true);
    multiply(&a, &b, &mut sums, false);
    sums[..CHECKED_ROWS * PANEL].iter().enumerate().all(|(i, got)| {
        let (row, column) = (i / PANEL, i % PANEL);
        let weight = |k: usize| value(3 * ((k / 2) * 2 * PANEL + 2 * column + k % 2) + 1);
        let want: f32 = (0..K).map(|k| value(row * K + k) * weight(k)).sum();
        *got == 2.0 * want
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tile registers in plain Rust, after Intel's manual.
    struct Model([[[u8; 64]; 16]; 8]);

    fn float(row: &[u8; 64], i: usize) -> f32 {
        f32::from_le_bytes(row[4 * i..4 * i + 4].try_into().unwrap())
    }

    fn half(row: &[u8; 64], i: usize) -> f32 {
        bf16::from_le_bytes(row[2 * i..2 * i + 2].try_into().unwrap()).to_f32()
    }

    impl Tiles for Model {
        unsafe fn zero<const T: usize>(&mut self) {
            self.0[T] = [[0; 64]; 16];
        }

        unsafe fn load<const T: usize>(&mut self, from: *const u8, stride: usize) {
            for (r, row) in self.0[T].iter_mut().enumerate() {
                *row = unsafe { from.add(r * stride).cast::<[u8; 64]>().read_unaligned() };
            }
        }

        unsafe fn store<const T: usize>(&mut self, to: *mut u8, stride: usize) {
            for (r, row) in self.0[T].iter().enumerate() {
                unsafe { to.add(r * stride).cast::<[u8; 64]>().write_unaligned(*row) };
            }
        }

        unsafe fn multiply<const SUMS: usize, const A: usize, const B: usize>(&mut self) {
            for m in 0..16 {
                for n in 0..16 {
                    let mut sum = float(&self.0[SUMS][m], n);
                    for k in 0..16 {
                        for i in 0..2 {
                            sum += half(&self.0[A][m], 2 * k + i) * half(&self.0[B][k], 2 * n + i);
                        }
                    }
                    self.0[SUMS][m][4 * n..4 * n + 4].copy_from_slice(&sum.to_le_bytes());
                }
            }
        }
    }

    #[test]
    fn the_kernel_addresses_its_tiles_rightly() {
        assert!(check(|a, b, sums, first| {
            let mut model = Model([[[0xff; 64]; 16]; 8]);
            unsafe { tile(&mut model, CHECKED_ROWS, a, b, sums, first) }
        }));
    }

    #[test]
    fn the_check_sees_a_wrong_product() {
        assert!(!check(|a, b, sums, first| {
            let mut model = Model([[[0; 64]; 16]; 8]);
            unsafe { tile(&mut model, CHECKED_ROWS, a, b, sums, first) }
            sums[100] += 1.0;
        }));
    }
}
