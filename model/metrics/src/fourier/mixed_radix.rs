//! Transforms of columns whose length has no prime factor above 13 (Stockham).

use pulp::{Simd, WithSimd};

use super::complex::{Complex, Scalar, root_of_unity};
use super::strip::{LANES, Rows, RowsView};
use crate::instruction_set::InstructionSet;

/// A transform whose length has no prime factor above 13.
pub(super) struct MixedRadix {
    passes: Vec<Pass>,
}

/// One pass over the strip. Combines `radix` parts of a length; what was combined before it lies together.
struct Pass {
    radix: usize,
    /// Length that is left to be transformed, divided by the radix.
    parts: usize,
    /// Rows of the strip that belong together.
    stride: usize,
    /// Roots of unity of the radix.
    roots: Vec<Scalar>,
    /// For each part, the factors of the `radix` results.
    twiddles: Vec<Scalar>,
}

impl MixedRadix {
    /// Returns the transform, or nothing if a prime factor is above 13.
    pub(super) fn new(length: usize) -> Option<Self> {
        let mut passes = Vec::new();
        let (mut left, mut stride) = (length, 1);
        while left > 1 {
            let radix = [8, 4, 2, 3, 5, 7, 11, 13].into_iter().find(|radix| left % radix == 0)?;
            let parts = left / radix;
            let twiddles = (0..parts).flat_map(|part| (0..radix).map(move |result| root_of_unity(part * result, left)));
            let roots = (0..radix).map(|power| root_of_unity(power, radix)).collect();
            passes.push(Pass { radix, parts, stride, roots, twiddles: twiddles.collect() });
            (left, stride) = (parts, stride * radix);
        }
        Some(Self { passes })
    }

    /// Writes the transform into the first buffer.
    pub(super) fn run(&self, instructions: InstructionSet, from: RowsView<'_>, buffers: &mut [Rows; 2]) {
        let [result, scratch] = buffers;
        result.resize(from.len());
        scratch.resize(from.len());
        let Some((first, others)) = self.passes.split_first() else {
            result.re.copy_from_slice(from.re);
            result.im.copy_from_slice(from.im);
            return;
        };
        instructions.dispatch(PassOver { pass: first, from, to: result });
        for pass in others {
            instructions.dispatch(PassOver { pass, from: result.view(), to: scratch });
            std::mem::swap(result, scratch);
        }
    }
}

/// One pass and what it reads and writes.
struct PassOver<'a> {
    pass: &'a Pass,
    from: RowsView<'a>,
    to: &'a mut Rows,
}

impl WithSimd for PassOver<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (from, to) = (self.from, self.to);
        match self.pass.radix {
            2 => self.pass.combine(simd, from, to, radix_2),
            3 => self.pass.combine::<S, 3>(simd, from, to, odd_radix),
            4 => self.pass.combine(simd, from, to, radix_4),
            5 => self.pass.combine::<S, 5>(simd, from, to, odd_radix),
            7 => self.pass.combine::<S, 7>(simd, from, to, odd_radix),
            8 => self.pass.combine(simd, from, to, radix_8),
            11 => self.pass.combine::<S, 11>(simd, from, to, odd_radix),
            _ => self.pass.combine::<S, 13>(simd, from, to, odd_radix),
        }
    }
}

impl Pass {
    #[inline(always)]
    fn combine<S: Simd, const RADIX: usize>(
        &self,
        simd: S,
        from: RowsView<'_>,
        to: &mut Rows,
        transform: impl Fn(S, [Complex<S>; RADIX], &[Complex<S>; RADIX]) -> [Complex<S>; RADIX],
    ) {
        // Loops fill the arrays: the functions of arrays are not compiled for the instruction set with their caller.
        let mut roots = [Complex::zero(simd); RADIX];
        let mut factors = roots;
        let mut values = roots;
        for (root, number) in roots.iter_mut().zip(&self.roots) {
            *root = Complex::splat(simd, *number);
        }
        for (part, twiddles) in self.twiddles.as_chunks::<RADIX>().0.iter().enumerate() {
            for (factor, twiddle) in factors.iter_mut().zip(twiddles) {
                *factor = Complex::splat(simd, *twiddle);
            }
            let mut sources = [from; RADIX];
            for (index, rows) in sources.iter_mut().enumerate() {
                *rows = from.rows((part + self.parts * index) * self.stride, self.stride);
            }
            let [re, im] = to.rows_mut(part * RADIX * self.stride, RADIX * self.stride);
            for row in 0..self.stride {
                for vector in 0..LANES / S::F64_LANES {
                    for (value, rows) in values.iter_mut().zip(&sources) {
                        *value = Complex::load([&rows.re[row], &rows.im[row]], vector);
                    }
                    let results = transform(simd, values, &roots);
                    for index in 0..RADIX {
                        // The factors of part 0, which is all of the last pass, are 1.
                        let has_factor = index > 0 && part > 0;
                        let result =
                            if has_factor { results[index].multiply(simd, factors[index]) } else { results[index] };
                        let target = index * self.stride + row;
                        result.store([&mut re[target], &mut im[target]], vector);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn radix_2<S: Simd>(simd: S, [a, b]: [Complex<S>; 2], _: &[Complex<S>; 2]) -> [Complex<S>; 2] {
    [a.add(simd, b), a.subtract(simd, b)]
}

#[inline(always)]
fn radix_4<S: Simd>(simd: S, [a, b, c, d]: [Complex<S>; 4], _: &[Complex<S>; 4]) -> [Complex<S>; 4] {
    let (even, odd) = (a.add(simd, c), b.add(simd, d));
    let (even_difference, odd_difference) = (a.subtract(simd, c), b.subtract(simd, d));
    [
        even.add(simd, odd),
        even_difference.subtract_turned(simd, odd_difference),
        even.subtract(simd, odd),
        even_difference.add_turned(simd, odd_difference),
    ]
}

#[inline(always)]
fn radix_8<S: Simd>(simd: S, values: [Complex<S>; 8], roots: &[Complex<S>; 8]) -> [Complex<S>; 8] {
    let [a, b, c, d, e, f, g, h] = values;
    let roots_4 = &[roots[0], roots[2], roots[4], roots[6]];
    let even = radix_4(simd, [a, c, e, g], roots_4);
    let odd = radix_4(simd, [b, d, f, h], roots_4);
    let (first, third) = (odd[1].multiply(simd, roots[1]), odd[3].multiply(simd, roots[3]));
    [
        even[0].add(simd, odd[0]),
        even[1].add(simd, first),
        even[2].subtract_turned(simd, odd[2]),
        even[3].add(simd, third),
        even[0].subtract(simd, odd[0]),
        even[1].subtract(simd, first),
        even[2].add_turned(simd, odd[2]),
        even[3].subtract(simd, third),
    ]
}

/// Values `k` and `RADIX - k` share their cosines and have opposite sines.
#[inline(always)]
fn odd_radix<S: Simd, const RADIX: usize>(
    simd: S,
    values: [Complex<S>; RADIX],
    roots: &[Complex<S>; RADIX],
) -> [Complex<S>; RADIX] {
    let mut sums = values;
    let mut differences = values;
    let mut results = values;
    for k in 1..=RADIX / 2 {
        sums[k] = values[k].add(simd, values[RADIX - k]);
        differences[k] = values[k].subtract(simd, values[RADIX - k]);
        results[0] = results[0].add(simd, sums[k]);
    }
    for j in 1..=RADIX / 2 {
        let mut even = values[0].add(simd, sums[1].scale(simd, roots[j].re));
        let mut odd = differences[1].scale(simd, roots[j].im);
        for k in 2..=RADIX / 2 {
            let root = roots[j * k % RADIX];
            even = even.add(simd, sums[k].scale(simd, root.re));
            odd = odd.add(simd, differences[k].scale(simd, root.im));
        }
        results[j] = even.add_turned(simd, odd);
        results[RADIX - j] = even.subtract_turned(simd, odd);
    }
    results
}
