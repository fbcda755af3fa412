//! Halves a picture as MATLAB's `imresize(x, 0.5)`: a cubic (a = -0.5) stretched by two against aliasing, mirrored with the
//! edge pixel at the border. The weights are dyadic, so the half of 8-bit levels is exact and no order of sums matters.

use crate::plane::Plane;

/// Half of the symmetric weights, in 256ths: of the pixels at distance 0.5, 1.5, 2.5 and 3.5 from the centre.
const WEIGHTS: [f64; 4] = [111.0 / 256.0, 29.0 / 256.0, -9.0 / 256.0, -3.0 / 256.0];

/// Pixels before pixel `2 i` that the weights of pixel `i` reach; they reach one more after it.
const BEFORE: usize = 3;

/// Number of weights.
const TAPS: usize = 2 * WEIGHTS.len();

/// Returns the picture at half size: sides of `ceil(n / 2)`, not clipped to levels.
#[inline(always)]
pub(crate) fn half(picture: &Plane) -> Plane {
    let (width, height) = (picture.width.div_ceil(2), picture.height.div_ceil(2));
    let mut values = vec![0.0; width * height];
    let mut columns = vec![0.0; picture.width];
    let mut split = SplitRow::new(picture.width);
    for (y, row) in values.chunks_exact_mut(width).enumerate() {
        weigh(std::array::from_fn(|tap| picture.row(mirrored(2 * y + tap, picture.height))), &mut columns);
        split.fill(&columns);
        weigh(split.taps(width), row);
    }
    Plane::new(values, width, height)
}

/// Writes the weighted sum of eight rows.
#[inline(always)]
fn weigh(rows: [&[f64]; TAPS], sums: &mut [f64]) {
    let [a, b, c, d, e, f, g, h] = rows.map(|row| &row[..sums.len()]);
    for (x, sum) in sums.iter_mut().enumerate() {
        let near = WEIGHTS[0] * (d[x] + e[x]) + WEIGHTS[1] * (c[x] + f[x]);
        let far = WEIGHTS[2] * (b[x] + g[x]) + WEIGHTS[3] * (a[x] + h[x]);
        *sum = near + far;
    }
}

/// Returns the place of the pixel `place - BEFORE` in a mirrored row of `size` pixels.
#[inline(always)]
fn mirrored(place: usize, size: usize) -> usize {
    let period = 2 * size;
    // A row may be shorter than its mirrored border: add enough periods before the remainder.
    let place = (place + BEFORE * period - BEFORE) % period;
    if place < size { place } else { period - 1 - place }
}

/// The pixels of a mirrored row, those with an even place apart from those with an odd one, so that both are read in order.
struct SplitRow {
    /// Pixels -3, -1, 1, ...
    odd: Vec<f64>,
    /// Pixels -2, 0, 2, ...
    even: Vec<f64>,
}

impl SplitRow {
    fn new(width: usize) -> Self {
        let count = width.div_ceil(2) + WEIGHTS.len() - 1;
        Self { odd: vec![0.0; count], even: vec![0.0; count] }
    }

    #[inline(always)]
    fn fill(&mut self, row: &[f64]) {
        let (pairs, _) = row.as_chunks::<2>();
        // The pixels 1, 2, 3, ... up to the last whole pair.
        for (pair, odd) in pairs.iter().zip(&mut self.odd[2..]) {
            *odd = pair[1];
        }
        for (pair, even) in pairs.iter().zip(&mut self.even[1..]) {
            *even = pair[0];
        }
        let count = self.odd.len();
        for place in (0..2).chain((pairs.len() + 1).min(count)..count) {
            self.odd[place] = row[mirrored(2 * place, row.len())];
            self.even[place] = row[mirrored(2 * place + 1, row.len())];
        }
    }

    /// Returns what each weight multiplies.
    #[inline(always)]
    fn taps(&self, width: usize) -> [&[f64]; TAPS] {
        std::array::from_fn(
            |tap| if tap % 2 == 0 { &self.odd[tap / 2..][..width] } else { &self.even[tap / 2..][..width] },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_has_the_half_of_matlab() {
        // `aids.json`: `imresize_half_of_0_to_6`.
        let expected = [0.44921875, 2.48828125, 4.5703125, 5.984375];
        let ramp: Vec<f64> = (0..7).map(f64::from).collect();
        assert_eq!(half(&Plane::new(ramp.clone(), 7, 1)).values, expected);
        assert_eq!(half(&Plane::new(ramp, 1, 7)).values, expected);
    }

    #[test]
    fn a_corner_has_the_known_half() {
        let Some((aids, levels)) = crate::aids::aids() else { return };
        let found = half(&Plane::from_levels(&levels, crate::aids::SIDE));
        for y in 0..3 {
            crate::aids::assert_near(&found.row(y)[..3], &aids["imresize_half_3x3_corner"][y], 1e-12);
        }
        assert_eq!(Some(found.values.iter().sum()), aids["imresize_half_sum"].as_f64());
    }

    #[test]
    fn each_pixel_is_the_weighted_sum_around_it() {
        let weights = [-3.0, -9.0, 29.0, 111.0, 111.0, 29.0, -9.0, -3.0];
        for (width, height) in [(1, 1), (2, 1), (3, 2), (4, 5), (9, 12), (33, 8)] {
            let level = |place: usize| (place.wrapping_mul(2_654_435_761) >> 8 & 255) as f64;
            let picture = Plane::new((0..width * height).map(level).collect(), width, height);
            let found = half(&picture);
            assert_eq!((found.width, found.height), (width.div_ceil(2), height.div_ceil(2)));
            for y in 0..found.height {
                for x in 0..found.width {
                    let taps = (0..TAPS).flat_map(|i| (0..TAPS).map(move |j| (i, j)));
                    let pixel =
                        |i: usize, j: usize| picture.row(mirrored(2 * y + i, height))[mirrored(2 * x + j, width)];
                    let sum: f64 = taps.map(|(i, j)| weights[i] * weights[j] * pixel(i, j)).sum();
                    assert_eq!(found.row(y)[x], sum / 65536.0, "{width}x{height}: {y}, {x}");
                }
            }
        }
    }
}
