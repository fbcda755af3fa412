//! Discrete Fourier transforms of planes of any size in double precision: mixed radix, and Bluestein's chirp where a side
//! has a prime factor above 13. Columns are transformed `LANES` at a time, one in each lane of a vector.
//!
//! Not a library's: RustFFT takes its roots of unity from the sine of the standard library, which is the C library's and
//! differs between systems and CPUs. Here they are `libm`'s, and no operation is fused, so all CPUs give the same bits.

mod chirp;
mod complex;
mod mixed_radix;
mod products;
mod strip;

use crate::instruction_set::InstructionSet;
use crate::plane::Plane;
use chirp::Chirp;
use mixed_radix::MixedRadix;
use products::Filtered;
pub(crate) use strip::{LANES, Lanes, Rows, RowsView};

/// Transforms planes of one size.
///
/// A plane has its columns in strips of `LANES`. A spectrum is transposed: its rows are the horizontal frequencies, and a
/// strip has `LANES` vertical ones. What lies in lanes beyond the last column is 0.
pub(crate) struct Fourier {
    instructions: InstructionSet,
    width: usize,
    height: usize,
    columns: Transform,
    rows: Transform,
}

/// Memory for the inverse transforms of `N` products of a spectrum.
pub(crate) struct Workspace<const N: usize> {
    /// The products whose rows are transformed, in strips of columns.
    halfway: [Rows; N],
    product: Rows,
    buffers: [[Rows; 2]; N],
}

impl Fourier {
    pub(crate) fn new(instructions: InstructionSet, width: usize, height: usize) -> Self {
        let columns = Transform::new(instructions, height);
        let rows = Transform::new(instructions, width);
        Self { instructions, width, height, columns, rows }
    }

    pub(crate) fn workspace<const N: usize>(&self) -> Workspace<N> {
        Workspace {
            halfway: std::array::from_fn(|_| Rows::zeros(self.width.div_ceil(LANES) * self.height)),
            product: Rows::zeros(self.width),
            buffers: std::array::from_fn(|_| Default::default()),
        }
    }

    /// Returns the spectra of two real planes, which are transformed as the parts of a complex one.
    pub(crate) fn forward(&self, planes: [&Plane; 2]) -> [Rows; 2] {
        let mut halfway = Rows::zeros(self.height.div_ceil(LANES) * self.width);
        let mut strip = Rows::zeros(self.height);
        let mut buffers = Default::default();
        for left in (0..self.width).step_by(LANES) {
            let columns = left..self.width.min(left + LANES);
            load_strip(planes[0], columns.clone(), &mut strip.re);
            load_strip(planes[1], columns.clone(), &mut strip.im);
            self.columns.run(self.instructions, strip.view(), &mut buffers);
            store_transposed(buffers[0].view(), columns, &mut halfway, self.width);
        }
        let mut both = Rows::with_capacity(halfway.re.len());
        for index in 0..self.height.div_ceil(LANES) {
            self.rows.run(self.instructions, halfway.strip(index, self.width), &mut buffers);
            both.re.extend_from_slice(&buffers[0].re);
            both.im.extend_from_slice(&buffers[0].im);
        }
        self.separate(&both)
    }

    /// Returns the spectra of the real part and the imaginary part: the spectrum of a real plane is its own conjugate at
    /// the opposite frequency.
    fn separate(&self, both: &Rows) -> [Rows; 2] {
        let mut spectra = [Rows::zeros(both.re.len()), Rows::zeros(both.re.len())];
        for y in 0..self.height {
            for x in 0..self.width {
                let (opposite_x, opposite_y) = ((self.width - x) % self.width, (self.height - y) % self.height);
                let (row, lane) = (y / LANES * self.width + x, y % LANES);
                let (opposite_row, opposite_lane) = (opposite_y / LANES * self.width + opposite_x, opposite_y % LANES);
                let [re, im] = [both.re[row].0[lane], both.im[row].0[lane]];
                let [opposite_re, opposite_im] =
                    [both.re[opposite_row].0[opposite_lane], both.im[opposite_row].0[opposite_lane]];
                spectra[0].re[row].0[lane] = 0.5 * (re + opposite_re);
                spectra[0].im[row].0[lane] = 0.5 * (im - opposite_im);
                spectra[1].re[row].0[lane] = 0.5 * (im + opposite_im);
                spectra[1].im[row].0[lane] = 0.5 * (opposite_re - re);
            }
        }
        spectra
    }

    /// Computes the inverse transforms of the products of a spectrum and each filter, without the factor
    /// `1 / (width * height)`. Hands on the results strip by strip, from the left to the right, with the strip's number.
    pub(crate) fn inverse_of_products<const N: usize>(
        &self,
        spectrum: &Rows,
        filters: [&[Lanes]; N],
        workspace: &mut Workspace<N>,
        mut receive: impl FnMut(usize, [RowsView<'_>; N]),
    ) {
        let Workspace { halfway, product, buffers } = workspace;
        for top in (0..self.height).step_by(LANES) {
            let index = top / LANES;
            let spectrum = spectrum.strip(index, self.width);
            for ((filter, halfway), buffers) in filters.iter().zip(&mut *halfway).zip(&mut *buffers) {
                let filter = &filter[index * self.width..][..self.width];
                self.instructions.dispatch(Filtered { spectrum, filter, product });
                self.rows.run(self.instructions, product.view().exchange_parts(), buffers);
                let rows = top..self.height.min(top + LANES);
                store_transposed(buffers[0].view(), rows, halfway, self.height);
            }
        }
        for index in 0..self.width.div_ceil(LANES) {
            for (halfway, buffers) in halfway.iter().zip(&mut *buffers) {
                self.columns.run(self.instructions, halfway.strip(index, self.height), buffers);
            }
            receive(index, buffers.each_ref().map(|[result, _]| result.view().exchange_parts()));
        }
    }
}

/// Returns the strips of the transposed plane, which are those of a spectrum.
pub(crate) fn transposed_strips(plane: &Plane) -> Vec<Lanes> {
    let mut strips = vec![Lanes::ZERO; plane.height.div_ceil(LANES) * plane.width];
    for y in 0..plane.height {
        for (x, value) in plane.row(y).iter().enumerate() {
            strips[y / LANES * plane.width + x].0[y % LANES] = *value;
        }
    }
    strips
}

/// Copies columns into the lanes of a strip. Lanes beyond the last column keep what they have.
fn load_strip(plane: &Plane, columns: std::ops::Range<usize>, strip: &mut [Lanes]) {
    for (lanes, row) in strip.iter_mut().zip(plane.values.chunks_exact(plane.width)) {
        lanes.0[..columns.len()].copy_from_slice(&row[columns.clone()]);
    }
}

/// Copies the lanes of a strip into the given rows of a plane whose strips have `height` rows, in square tiles. Compiled for
/// the baseline only: for AVX-512 the compiler would gather each row, which takes twice as long.
fn store_transposed(strip: RowsView<'_>, rows: std::ops::Range<usize>, plane: &mut Rows, height: usize) {
    for (from, to) in [(strip.re, &mut plane.re), (strip.im, &mut plane.im)] {
        let (tiles, rest) = from.as_chunks::<LANES>();
        let mut strips = to.chunks_exact_mut(height);
        for (tile, strip) in tiles.iter().zip(&mut strips) {
            for (lane, row) in strip[rows.clone()].iter_mut().enumerate() {
                *row = Lanes(std::array::from_fn(|column| tile[column].0[lane]));
            }
        }
        if rest.is_empty() {
            continue;
        }
        let strip = strips.next().expect("a strip has the columns that are left");
        for (lane, row) in strip[rows.clone()].iter_mut().enumerate() {
            for (value, column) in row.0.iter_mut().zip(rest) {
                *value = column.0[lane];
            }
        }
    }
}

/// Transforms columns of one length.
enum Transform {
    Mixed(MixedRadix),
    Chirp(Chirp),
}

impl Transform {
    fn new(instructions: InstructionSet, length: usize) -> Self {
        match MixedRadix::new(length) {
            Some(mixed) => Self::Mixed(mixed),
            None => Self::Chirp(Chirp::new(instructions, length)),
        }
    }

    /// Writes the transform of a strip into the first buffer.
    fn run(&self, instructions: InstructionSet, from: RowsView<'_>, buffers: &mut [Rows; 2]) {
        match self {
            Self::Mixed(mixed) => mixed.run(instructions, from, buffers),
            Self::Chirp(chirp) => chirp.run(instructions, from, buffers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::complex::{Scalar, root_of_unity};
    use super::*;

    fn noise(count: usize, offset: usize) -> Vec<f64> {
        (offset..count + offset).map(|i| (i * i * 7919 % 1009) as f64 - 500.0).collect()
    }

    /// The definition, at one frequency.
    fn coefficient(plane: &Plane, kx: usize, ky: usize) -> Scalar {
        let mut sum = [0.0, 0.0];
        for y in 0..plane.height {
            for x in 0..plane.width {
                let [a, b] = root_of_unity(kx * x, plane.width);
                let [c, d] = root_of_unity(ky * y, plane.height);
                let level = plane.row(y)[x];
                sum = [sum[0] + level * (a * c - b * d), sum[1] + level * (a * d + b * c)];
            }
        }
        sum
    }

    /// Each radix, their mixtures, and chirps of prime and composite lengths.
    #[test]
    fn transforms_are_those_of_the_definition_and_back() {
        let sizes = [(1, 1), (2, 3), (20, 7), (33, 16), (39, 30), (64, 22), (17, 6), (38, 53)];
        for (width, height) in sizes {
            let planes = [0, 5].map(|offset| Plane::new(noise(width * height, offset), width, height));
            let fourier = Fourier::new(InstructionSet::detect(), width, height);
            let spectra = fourier.forward(planes.each_ref());
            for (plane, spectrum) in planes.iter().zip(&spectra) {
                for (kx, ky) in [(0, 0), (width - 1, height / 2), (width / 3, height - 1)] {
                    let [re, im] = coefficient(plane, kx, ky);
                    let (row, lane) = (ky / LANES * width + kx, ky % LANES);
                    let error = (spectrum.re[row].0[lane] - re).abs() + (spectrum.im[row].0[lane] - im).abs();
                    assert!(error < 1e-8, "{width}x{height} at {kx}, {ky}: {error}");
                }
                assert_inverse(&fourier, spectrum, plane);
            }
        }
    }

    /// The filters are 1 and 2: one inverse is the plane, the other twice that.
    fn assert_inverse(fourier: &Fourier, spectrum: &Rows, plane: &Plane) {
        let filters = [1.0, 2.0].map(|factor| vec![Lanes([factor; LANES]); spectrum.re.len()]);
        let filters = filters.each_ref().map(Vec::as_slice);
        let mut strips = 0;
        fourier.inverse_of_products(spectrum, filters, &mut fourier.workspace(), |strip, results| {
            strips += 1;
            for (y, x) in (0..plane.height).flat_map(|y| (0..plane.width).map(move |x| (y, x))) {
                if x / LANES != strip {
                    continue;
                }
                for (factor, result) in [1.0, 2.0].into_iter().zip(results) {
                    let count = (plane.width * plane.height) as f64;
                    let [re, im] = [result.re[y].0[x % LANES] / count, result.im[y].0[x % LANES] / count];
                    assert!((re - factor * plane.row(y)[x]).abs() + im.abs() < 1e-9, "{y}, {x}: {re}, {im}");
                }
            }
        });
        assert_eq!(strips, plane.width.div_ceil(LANES));
    }
}
