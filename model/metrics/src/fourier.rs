//! Discrete Fourier transforms of planes of any size in double precision: mixed radix (Stockham), and Bluestein's chirp
//! where a side has a prime factor above 13. Columns are transformed `LANES` at a time, one in each lane of a vector.
//!
//! Not a library's: RustFFT takes its roots of unity from the sine of the standard library, which is the C library's and
//! differs between systems and CPUs. Here they are `libm`'s, and no operation is fused, so all CPUs give the same bits.

use std::array;
use std::f64::consts::PI;

use crate::instruction_set::InstructionSet;

/// Number of columns that are transformed at once: two registers of AVX-512.
const LANES: usize = 16;

/// A complex number.
type Complex = [f64; 2];

/// Real and imaginary parts of a plane, or of `LANES` columns of one: row-major.
#[derive(Clone, Default)]
pub(crate) struct ComplexPlane {
    pub(crate) re: Vec<f64>,
    pub(crate) im: Vec<f64>,
}

impl ComplexPlane {
    pub(crate) fn zeros(length: usize) -> Self {
        Self { re: vec![0.0; length], im: vec![0.0; length] }
    }

    /// Exchanges the parts: a transform between two exchanges is the inverse one, but for its factor.
    pub(crate) fn exchange_parts(&mut self) {
        std::mem::swap(&mut self.re, &mut self.im);
    }
}

/// Transforms planes of one size.
pub(crate) struct Fourier {
    instructions: InstructionSet,
    width: usize,
    height: usize,
    columns: Transform,
    rows: Transform,
}

impl Fourier {
    pub(crate) fn new(instructions: InstructionSet, width: usize, height: usize) -> Self {
        let columns = Transform::new(instructions, height);
        let rows = Transform::new(instructions, width);
        Self { instructions, width, height, columns, rows }
    }

    /// Returns the transform of a plane, without a factor: `(height, width)`, frequency 0 first.
    pub(crate) fn forward(&self, plane: &ComplexPlane) -> ComplexPlane {
        let transposed = self.transform_columns(&self.columns, plane, self.width);
        self.transform_columns(&self.rows, &transposed, self.height)
    }

    /// Returns the inverse transform of a plane, without the factor `1 / (width * height)`.
    pub(crate) fn inverse(&self, mut plane: ComplexPlane) -> ComplexPlane {
        plane.exchange_parts();
        let mut result = self.forward(&plane);
        result.exchange_parts();
        result
    }

    /// Transforms the columns of a plane of `width` columns and returns the transposed result.
    fn transform_columns(&self, transform: &Transform, plane: &ComplexPlane, width: usize) -> ComplexPlane {
        let length = transform.length;
        let mut result = ComplexPlane::zeros(plane.re.len());
        let mut strip = ComplexPlane::zeros(length * LANES);
        let mut scratch = ComplexPlane::default();
        for left in (0..width).step_by(LANES) {
            let columns = left..width.min(left + LANES);
            load_strip(&plane.re, width, columns.clone(), &mut strip.re);
            load_strip(&plane.im, width, columns.clone(), &mut strip.im);
            transform.run(self.instructions, &mut strip, &mut scratch);
            let target = left * length..columns.end * length;
            self.instructions.run(
                #[inline(always)]
                || {
                    store_transposed(&strip.re, length, &mut result.re[target.clone()]);
                    store_transposed(&strip.im, length, &mut result.im[target]);
                },
            );
        }
        result
    }
}

/// Copies columns into the lanes of a strip. Lanes beyond the last column keep what they have.
fn load_strip(values: &[f64], width: usize, columns: std::ops::Range<usize>, strip: &mut [f64]) {
    for (lanes, row) in strip.chunks_exact_mut(LANES).zip(values.chunks_exact(width)) {
        lanes[..columns.len()].copy_from_slice(&row[columns.clone()]);
    }
}

/// Copies lanes of a strip of `length` rows into rows, in square tiles.
#[inline(always)]
fn store_transposed(strip: &[f64], length: usize, rows: &mut [f64]) {
    for top in (0..length).step_by(LANES) {
        let end = length.min(top + LANES);
        for (lane, row) in rows.chunks_exact_mut(length).enumerate() {
            for (offset, value) in row[top..end].iter_mut().enumerate() {
                *value = strip[(top + offset) * LANES + lane];
            }
        }
    }
}

/// Transforms columns of one length.
struct Transform {
    length: usize,
    method: Method,
}

enum Method {
    Mixed(MixedRadix),
    Chirp(Chirp),
}

impl Transform {
    fn new(instructions: InstructionSet, length: usize) -> Self {
        let method = match MixedRadix::new(length) {
            Some(mixed) => Method::Mixed(mixed),
            None => Method::Chirp(Chirp::new(instructions, length)),
        };
        Self { length, method }
    }

    fn run(&self, instructions: InstructionSet, strip: &mut ComplexPlane, scratch: &mut ComplexPlane) {
        match &self.method {
            Method::Mixed(mixed) => mixed.run(instructions, strip, scratch),
            Method::Chirp(chirp) => chirp.run(instructions, strip, scratch),
        }
    }
}

/// Returns `exp(-2 pi i numerator / denominator)`.
fn root_of_unity(numerator: usize, denominator: usize) -> Complex {
    let angle = -2.0 * PI * (numerator % denominator) as f64 / denominator as f64;
    [libm::cos(angle), libm::sin(angle)]
}

/// A transform whose length has no prime factor above 13.
struct MixedRadix {
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
    roots: Vec<Complex>,
    /// For each part, the factors of the `radix` results.
    twiddles: Vec<Complex>,
}

impl MixedRadix {
    /// Returns the transform, or nothing if a prime factor is above 13.
    fn new(length: usize) -> Option<Self> {
        let mut passes = Vec::new();
        let (mut left, mut stride) = (length, 1);
        while left > 1 {
            let radix = [4, 2, 3, 5, 7, 11, 13].into_iter().find(|radix| left % radix == 0)?;
            let parts = left / radix;
            let twiddles = (0..parts).flat_map(|part| (0..radix).map(move |result| root_of_unity(part * result, left)));
            let roots = (0..radix).map(|power| root_of_unity(power, radix)).collect();
            passes.push(Pass { radix, parts, stride, roots, twiddles: twiddles.collect() });
            (left, stride) = (parts, stride * radix);
        }
        Some(Self { passes })
    }

    fn run(&self, instructions: InstructionSet, strip: &mut ComplexPlane, scratch: &mut ComplexPlane) {
        scratch.re.resize(strip.re.len(), 0.0);
        scratch.im.resize(strip.im.len(), 0.0);
        for pass in &self.passes {
            instructions.run(
                #[inline(always)]
                || pass.run(strip, scratch),
            );
            std::mem::swap(strip, scratch);
        }
        scratch.re.clear();
        scratch.im.clear();
    }
}

impl Pass {
    #[inline(always)]
    fn run(&self, from: &ComplexPlane, to: &mut ComplexPlane) {
        match self.radix {
            2 => self.combine(from, to, radix_2),
            3 => self.combine::<3>(from, to, odd_radix),
            4 => self.combine(from, to, radix_4),
            5 => self.combine::<5>(from, to, odd_radix),
            7 => self.combine::<7>(from, to, odd_radix),
            11 => self.combine::<11>(from, to, odd_radix),
            _ => self.combine::<13>(from, to, odd_radix),
        }
    }

    #[inline(always)]
    fn combine<const RADIX: usize>(
        &self,
        from: &ComplexPlane,
        to: &mut ComplexPlane,
        transform: impl Fn([Complex; RADIX], &[Complex; RADIX]) -> [Complex; RADIX],
    ) {
        let roots: &[Complex; RADIX] = self.roots[..].try_into().expect("as many roots as the radix");
        for (part, twiddles) in self.twiddles.as_chunks::<RADIX>().0.iter().enumerate() {
            for row in 0..self.stride {
                // Copies, so that the compiler knows that what is written is not read again.
                let mut block = Block::load(from, |index| (part + self.parts * index) * self.stride + row);
                block.transform(twiddles, roots, &transform);
                block.store(to, |index| (part * RADIX + index) * self.stride + row);
            }
        }
    }
}

/// `RADIX` rows of a strip.
struct Block<const RADIX: usize> {
    re: [[f64; LANES]; RADIX],
    im: [[f64; LANES]; RADIX],
}

impl<const RADIX: usize> Block<RADIX> {
    #[inline(always)]
    fn load(strip: &ComplexPlane, row: impl Fn(usize) -> usize) -> Self {
        let (re, im) = (strip.re.as_chunks::<LANES>().0, strip.im.as_chunks::<LANES>().0);
        Self { re: array::from_fn(|index| re[row(index)]), im: array::from_fn(|index| im[row(index)]) }
    }

    #[inline(always)]
    fn store(&self, strip: &mut ComplexPlane, row: impl Fn(usize) -> usize) {
        let (re, im) = (strip.re.as_chunks_mut::<LANES>().0, strip.im.as_chunks_mut::<LANES>().0);
        for index in 0..RADIX {
            re[row(index)] = self.re[index];
            im[row(index)] = self.im[index];
        }
    }

    #[inline(always)]
    fn transform(
        &mut self,
        twiddles: &[Complex; RADIX],
        roots: &[Complex; RADIX],
        transform: impl Fn([Complex; RADIX], &[Complex; RADIX]) -> [Complex; RADIX],
    ) {
        for lane in 0..LANES {
            let values = transform(array::from_fn(|index| [self.re[index][lane], self.im[index][lane]]), roots);
            for index in 0..RADIX {
                let [re, im] = multiply(values[index], twiddles[index]);
                self.re[index][lane] = re;
                self.im[index][lane] = im;
            }
        }
    }
}

#[inline(always)]
fn multiply([a, b]: Complex, [c, d]: Complex) -> Complex {
    [a * c - b * d, a * d + b * c]
}

#[inline(always)]
fn add([a, b]: Complex, [c, d]: Complex) -> Complex {
    [a + c, b + d]
}

#[inline(always)]
fn subtract([a, b]: Complex, [c, d]: Complex) -> Complex {
    [a - c, b - d]
}

#[inline(always)]
fn radix_2([a, b]: [Complex; 2], _: &[Complex; 2]) -> [Complex; 2] {
    [add(a, b), subtract(a, b)]
}

#[inline(always)]
fn radix_4([a, b, c, d]: [Complex; 4], _: &[Complex; 4]) -> [Complex; 4] {
    let (even, odd) = (add(a, c), add(b, d));
    let (even_difference, [re, im]) = (subtract(a, c), subtract(b, d));
    // The odd difference by -i.
    let turned = [im, -re];
    [add(even, odd), add(even_difference, turned), subtract(even, odd), subtract(even_difference, turned)]
}

/// Values `k` and `RADIX - k` share their cosines and have opposite sines.
#[inline(always)]
fn odd_radix<const RADIX: usize>(values: [Complex; RADIX], roots: &[Complex; RADIX]) -> [Complex; RADIX] {
    let mut sums = values;
    let mut differences = values;
    let mut results = values;
    for k in 1..=RADIX / 2 {
        sums[k] = add(values[k], values[RADIX - k]);
        differences[k] = subtract(values[k], values[RADIX - k]);
        results[0] = add(results[0], sums[k]);
    }
    for j in 1..=RADIX / 2 {
        let mut even = values[0];
        let mut odd = [0.0, 0.0];
        for k in 1..=RADIX / 2 {
            let [cosine, sine] = roots[j * k % RADIX];
            even = add(even, [cosine * sums[k][0], cosine * sums[k][1]]);
            odd = add(odd, [-sine * differences[k][1], sine * differences[k][0]]);
        }
        results[j] = add(even, odd);
        results[RADIX - j] = subtract(even, odd);
    }
    results
}

/// Bluestein's transform: `jk = (j^2 + k^2 - (j - k)^2) / 2` makes of it a convolution with a chirp, which is done with
/// transforms of a power of two.
struct Chirp {
    length: usize,
    /// `exp(-pi i k^2 / length)`.
    chirp: Vec<Complex>,
    /// The transform of the conjugate chirp around 0, divided by the padded length.
    response: Vec<Complex>,
    padded: MixedRadix,
}

impl Chirp {
    fn new(instructions: InstructionSet, length: usize) -> Self {
        let padded_length = (2 * length - 1).next_power_of_two();
        let padded = MixedRadix::new(padded_length).expect("a power of two has no large factor");
        let chirp: Vec<Complex> = (0..length).map(|k| root_of_unity(k * k, 2 * length)).collect();
        let mut strip = ComplexPlane::zeros(padded_length * LANES);
        for (k, [cosine, sine]) in chirp.iter().enumerate() {
            for row in [k, (padded_length - k) % padded_length] {
                strip.re[row * LANES] = *cosine;
                strip.im[row * LANES] = -sine;
            }
        }
        padded.run(instructions, &mut strip, &mut ComplexPlane::default());
        let share = 1.0 / padded_length as f64;
        let response = (0..padded_length).map(|k| [strip.re[k * LANES] * share, strip.im[k * LANES] * share]).collect();
        Self { length, chirp, response, padded }
    }

    fn run(&self, instructions: InstructionSet, strip: &mut ComplexPlane, scratch: &mut ComplexPlane) {
        let padded_length = self.response.len() * LANES;
        self.multiply(instructions, strip, &self.chirp);
        strip.re.resize(padded_length, 0.0);
        strip.im.resize(padded_length, 0.0);
        self.padded.run(instructions, strip, scratch);
        self.multiply(instructions, strip, &self.response);
        strip.exchange_parts();
        self.padded.run(instructions, strip, scratch);
        strip.exchange_parts();
        strip.re.truncate(self.length * LANES);
        strip.im.truncate(self.length * LANES);
        self.multiply(instructions, strip, &self.chirp);
    }

    /// Multiplies each row of a strip by its factor.
    fn multiply(&self, instructions: InstructionSet, strip: &mut ComplexPlane, factors: &[Complex]) {
        instructions.run(
            #[inline(always)]
            || {
                let rows = strip.re.as_chunks_mut::<LANES>().0.iter_mut().zip(strip.im.as_chunks_mut::<LANES>().0);
                for ((re, im), factor) in rows.zip(factors) {
                    for lane in 0..LANES {
                        [re[lane], im[lane]] = multiply([re[lane], im[lane]], *factor);
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<f64> {
        (0..length).map(|i| (i * i * 7919 % 1009) as f64 - 500.0).collect()
    }

    /// The definition, at one frequency.
    fn coefficient(plane: &ComplexPlane, width: usize, height: usize, kx: usize, ky: usize) -> Complex {
        let mut sum = [0.0, 0.0];
        for y in 0..height {
            for x in 0..width {
                let turn = multiply(root_of_unity(kx * x, width), root_of_unity(ky * y, height));
                sum = add(sum, multiply([plane.re[y * width + x], plane.im[y * width + x]], turn));
            }
        }
        sum
    }

    /// Each radix, their mixtures, and chirps of prime and composite lengths.
    #[test]
    fn transforms_are_those_of_the_definition_and_back() {
        for (width, height) in [(1, 1), (2, 3), (20, 7), (33, 16), (39, 30), (17, 6), (38, 53)] {
            let plane = ComplexPlane { re: noise(width * height), im: noise(width * height + 5)[5..].to_vec() };
            let fourier = Fourier::new(InstructionSet::detect(), width, height);
            let spectrum = fourier.forward(&plane);
            for (kx, ky) in [(0, 0), (width - 1, height / 2), (width / 3, height - 1)] {
                let expected = coefficient(&plane, width, height, kx, ky);
                let index = ky * width + kx;
                let error = subtract([spectrum.re[index], spectrum.im[index]], expected);
                assert!(error[0].abs() + error[1].abs() < 1e-8, "{width}x{height} at {kx}, {ky}: {error:?}");
            }
            let back = fourier.inverse(spectrum);
            let count = (width * height) as f64;
            for (found, expected) in back.re.iter().chain(&back.im).zip(plane.re.iter().chain(&plane.im)) {
                assert!((found / count - expected).abs() < 1e-10, "{width}x{height}");
            }
        }
    }
}
