//! Complex numbers in vectors, one in each lane. No operation is fused, so that all instruction sets give the same bits.

use std::f64::consts::PI;

use pulp::Simd;

use super::strip::Lanes;

/// A complex number.
pub(super) type Scalar = [f64; 2];

/// A complex number for each lane of a vector of `S`.
#[derive(Clone, Copy)]
pub(super) struct Complex<S: Simd> {
    pub(super) re: S::f64s,
    pub(super) im: S::f64s,
}

impl<S: Simd> Complex<S> {
    /// Loads one of the vectors of a row: its real and its imaginary parts.
    #[inline(always)]
    pub(super) fn load(row: [&Lanes; 2], vector: usize) -> Self {
        let [re, im] = row;
        Self { re: S::as_simd_f64s(&re.0).0[vector], im: S::as_simd_f64s(&im.0).0[vector] }
    }

    /// Stores one of the vectors of a row.
    #[inline(always)]
    pub(super) fn store(self, [re, im]: [&mut Lanes; 2], vector: usize) {
        S::as_mut_simd_f64s(&mut re.0).0[vector] = self.re;
        S::as_mut_simd_f64s(&mut im.0).0[vector] = self.im;
    }

    #[inline(always)]
    pub(super) fn zero(simd: S) -> Self {
        Self::splat(simd, [0.0, 0.0])
    }

    #[inline(always)]
    pub(super) fn splat(simd: S, [re, im]: Scalar) -> Self {
        Self { re: simd.splat_f64s(re), im: simd.splat_f64s(im) }
    }

    #[inline(always)]
    pub(super) fn add(self, simd: S, other: Self) -> Self {
        Self { re: simd.add_f64s(self.re, other.re), im: simd.add_f64s(self.im, other.im) }
    }

    #[inline(always)]
    pub(super) fn subtract(self, simd: S, other: Self) -> Self {
        Self { re: simd.sub_f64s(self.re, other.re), im: simd.sub_f64s(self.im, other.im) }
    }

    /// Adds `i other`.
    #[inline(always)]
    pub(super) fn add_turned(self, simd: S, other: Self) -> Self {
        Self { re: simd.sub_f64s(self.re, other.im), im: simd.add_f64s(self.im, other.re) }
    }

    /// Subtracts `i other`.
    #[inline(always)]
    pub(super) fn subtract_turned(self, simd: S, other: Self) -> Self {
        Self { re: simd.add_f64s(self.re, other.im), im: simd.sub_f64s(self.im, other.re) }
    }

    /// Multiplies by a real number.
    #[inline(always)]
    pub(super) fn scale(self, simd: S, factor: S::f64s) -> Self {
        Self { re: simd.mul_f64s(self.re, factor), im: simd.mul_f64s(self.im, factor) }
    }

    #[inline(always)]
    pub(super) fn multiply(self, simd: S, other: Self) -> Self {
        let re = simd.sub_f64s(simd.mul_f64s(self.re, other.re), simd.mul_f64s(self.im, other.im));
        let im = simd.add_f64s(simd.mul_f64s(self.re, other.im), simd.mul_f64s(self.im, other.re));
        Self { re, im }
    }
}

/// Returns `exp(-2 pi i numerator / denominator)`.
pub(super) fn root_of_unity(numerator: usize, denominator: usize) -> Scalar {
    let angle = -2.0 * PI * (numerator % denominator) as f64 / denominator as f64;
    [libm::cos(angle), libm::sin(angle)]
}
