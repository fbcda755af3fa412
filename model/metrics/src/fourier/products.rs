//! Products of the rows of a strip and factors.

use pulp::{Simd, WithSimd};

use super::complex::{Complex, Scalar};
use super::strip::{LANES, Lanes, Rows, RowsView};

/// Writes a strip of a spectrum times a filter.
pub(super) struct Filtered<'a> {
    pub(super) spectrum: RowsView<'a>,
    pub(super) filter: &'a [Lanes],
    pub(super) product: &'a mut Rows,
}

impl WithSimd for Filtered<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let spectrum = self.spectrum.re.iter().zip(self.spectrum.im);
        let product = self.product.re.iter_mut().zip(&mut self.product.im);
        for ((factors, (re, im)), (product_re, product_im)) in self.filter.iter().zip(spectrum).zip(product) {
            for vector in 0..LANES / S::F64_LANES {
                let factor = S::as_simd_f64s(&factors.0).0[vector];
                let value: Complex<S> = Complex::load([re, im], vector);
                value.scale(simd, factor).store([&mut *product_re, &mut *product_im], vector);
            }
        }
    }
}

/// Writes each row times its factor. There are as many products as factors.
pub(super) struct RowProducts<'a> {
    pub(super) from: RowsView<'a>,
    pub(super) factors: &'a [Scalar],
    pub(super) products: &'a mut Rows,
}

impl WithSimd for RowProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let from = self.from.re.iter().zip(self.from.im);
        let products = self.products.re.iter_mut().zip(&mut self.products.im);
        for ((factor, (re, im)), (product_re, product_im)) in self.factors.iter().zip(from).zip(products) {
            let factor = Complex::splat(simd, *factor);
            for vector in 0..LANES / S::F64_LANES {
                let value: Complex<S> = Complex::load([re, im], vector);
                value.multiply(simd, factor).store([&mut *product_re, &mut *product_im], vector);
            }
        }
    }
}
