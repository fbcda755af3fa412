//! Local statistics in 7x7 Gaussian windows and the mean-subtracted contrast-normalised (MSCN) coefficients made of them,
//! which NIQE, BRISQUE, FADE and PIQE share.
//!
//! Where a window is flat, or its levels balance around the centre, `x - mean` is rounding noise of either sign. A
//! difference below [`BALANCED`] is therefore replaced by a value that the metric chooses, so that the sign does not
//! depend on the order of a sum.

use crate::plane::Plane;
use crate::window::gaussian;

/// Side of the window.
const SIDE: usize = 7;

/// Number of pixels on each side of the centre.
const RADIUS: usize = SIDE / 2;

/// Standard deviation of the Gaussian.
const SIGMA: f64 = 7.0 / 6.0;

/// Differences to the local mean below this are rounding noise: the noise is at most 1e-13, and the least true difference
/// of 8-bit pictures, at full or half size, is about 1e-8.
const BALANCED: f64 = 1e-10;

/// Variances below this are rounding noise: the noise of `E[x²] - E[x]²` is at most 1e-10, and the least true variance of
/// gray levels that are integers is 1.5e-4.
const VARIANCE_NOISE: f64 = 1e-9;

/// How a picture continues beyond its border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Border {
    /// The edge pixel is repeated: NIQE, FADE and PIQE.
    Replicate,
    /// Zeros: BRISQUE.
    Zero,
}

/// How a metric computes its windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) border: Border,
    /// Replaces `x - mean` where it is below 1e-10: 0 in NIQE, BRISQUE and PIQE, -1e-14 in FADE.
    pub(crate) balanced: f64,
}

/// The MSCN coefficients and the statistics they were made of, each of the picture's size.
pub(crate) struct LocalStatistics {
    /// `(x - mean) / (deviation + 1)`.
    pub(crate) mscn: Plane,
    /// Standard deviation, exactly 0 in flat windows.
    pub(crate) deviation: Plane,
    /// Weighted mean: `x - difference`, with the replaced difference in balanced windows.
    pub(crate) mean: Plane,
}

/// Returns the MSCN coefficients of a picture.
#[inline(always)]
pub(crate) fn mscn(picture: &Plane, windows: Windows) -> Plane {
    let mut rows = WindowRows::new(picture, windows.border);
    let mut mscn = vec![0.0; picture.values.len()];
    for (y, mscn) in mscn.chunks_exact_mut(picture.width).enumerate() {
        rows.compute(y);
        let statistics = rows.mean.iter().zip(&rows.variance);
        for ((mscn, x), (mean, variance)) in mscn.iter_mut().zip(picture.row(y)).zip(statistics) {
            *mscn = difference(*x, *mean, windows.balanced) / (deviation(*variance) + 1.0);
        }
    }
    Plane::new(mscn, picture.width, picture.height)
}

/// Returns the MSCN coefficients of a picture with the local deviation and mean.
#[inline(always)]
pub(crate) fn local_statistics(picture: &Plane, windows: Windows) -> LocalStatistics {
    let (width, height) = (picture.width, picture.height);
    let mut rows = WindowRows::new(picture, windows.border);
    let [mut mscn, mut deviations, mut means] = [(); 3].map(|()| vec![0.0; picture.values.len()]);
    for y in 0..height {
        rows.compute(y);
        let row = y * width..(y + 1) * width;
        let outputs = mscn[row.clone()].iter_mut().zip(&mut deviations[row.clone()]).zip(&mut means[row]);
        let statistics = rows.mean.iter().zip(&rows.variance);
        for (((mscn, sigma), mu), (x, (mean, variance))) in outputs.zip(picture.row(y).iter().zip(statistics)) {
            let difference = difference(*x, *mean, windows.balanced);
            *sigma = deviation(*variance);
            *mu = *x - difference;
            *mscn = difference / (*sigma + 1.0);
        }
    }
    LocalStatistics {
        mscn: Plane::new(mscn, width, height),
        deviation: Plane::new(deviations, width, height),
        mean: Plane::new(means, width, height),
    }
}

/// Returns `x - mean`, or `balanced` where that is rounding noise.
#[inline(always)]
fn difference(x: f64, mean: f64, balanced: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() < BALANCED { balanced } else { difference }
}

#[inline(always)]
fn deviation(variance: f64) -> f64 {
    if variance < VARIANCE_NOISE { 0.0 } else { variance.sqrt() }
}

/// The rows of a picture and of what lies beyond its border.
struct BorderedRows<'a> {
    picture: &'a Plane,
    border: Border,
    zeros: Vec<f64>,
}

impl BorderedRows<'_> {
    /// Returns the rows from `y - RADIUS` to `y + RADIUS`.
    #[inline(always)]
    fn around(&self, y: usize) -> [&[f64]; SIDE] {
        let last = self.picture.height - 1;
        std::array::from_fn(|k| {
            let row = (y + k).saturating_sub(RADIUS).min(last);
            let inside = row + RADIUS == y + k;
            if inside || self.border == Border::Replicate { self.picture.row(row) } else { &self.zeros }
        })
    }
}

/// The weighted mean and variance of the windows around the pixels of one row.
struct WindowRows<'a> {
    source: BorderedRows<'a>,
    weights: [f64; RADIUS + 1],
    /// Weighted sums over the columns of the windows, with `RADIUS` more of them at both ends.
    columns: Vec<f64>,
    /// The same of the squared levels.
    square_columns: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl<'a> WindowRows<'a> {
    #[inline(always)]
    fn new(picture: &'a Plane, border: Border) -> Self {
        let width = picture.width;
        Self {
            source: BorderedRows { picture, border, zeros: vec![0.0; width] },
            weights: weights(),
            columns: vec![0.0; width + 2 * RADIUS],
            square_columns: vec![0.0; width + 2 * RADIUS],
            mean: vec![0.0; width],
            variance: vec![0.0; width],
        }
    }

    /// Computes `mean` and `variance` for the pixels of row `y`.
    #[inline(always)]
    fn compute(&mut self, y: usize) {
        let rows = self.source.around(y);
        let inside = RADIUS..RADIUS + self.mean.len();
        weigh(rows, self.weights, &mut self.columns[inside.clone()]);
        weigh_squares(rows, self.weights, &mut self.square_columns[inside]);
        if self.source.border == Border::Replicate {
            repeat_ends(&mut self.columns);
            repeat_ends(&mut self.square_columns);
        }
        weigh(shifted(&self.columns), self.weights, &mut self.mean);
        weigh(shifted(&self.square_columns), self.weights, &mut self.variance);
        for (variance, mean) in self.variance.iter_mut().zip(&self.mean) {
            *variance -= mean * mean;
        }
    }
}

/// Returns the weights of the pixels at distance 0, 1, 2 and 3.
fn weights() -> [f64; RADIUS + 1] {
    let window = gaussian::<SIDE>(SIGMA);
    std::array::from_fn(|distance| window[RADIUS - distance])
}

/// Writes the weighted sum of seven rows, the middle one being the fourth.
#[inline(always)]
fn weigh(rows: [&[f64]; SIDE], weights: [f64; RADIUS + 1], sums: &mut [f64]) {
    let [a, b, c, d, e, f, g] = rows.map(|row| &row[..sums.len()]);
    for (x, sum) in sums.iter_mut().enumerate() {
        *sum = (weights[0] * d[x] + weights[1] * (c[x] + e[x]))
            + (weights[2] * (b[x] + f[x]) + weights[3] * (a[x] + g[x]));
    }
}

/// Writes the weighted sum of the squares of seven rows.
#[inline(always)]
fn weigh_squares(rows: [&[f64]; SIDE], weights: [f64; RADIUS + 1], sums: &mut [f64]) {
    let [a, b, c, d, e, f, g] = rows.map(|row| &row[..sums.len()]);
    for (x, sum) in sums.iter_mut().enumerate() {
        let near = weights[0] * (d[x] * d[x]) + weights[1] * (c[x] * c[x] + e[x] * e[x]);
        let far = weights[2] * (b[x] * b[x] + f[x] * f[x]) + weights[3] * (a[x] * a[x] + g[x] * g[x]);
        *sum = near + far;
    }
}

/// Returns the seven parts of a row that begin at its first seven values.
#[inline(always)]
fn shifted(row: &[f64]) -> [&[f64]; SIDE] {
    std::array::from_fn(|k| &row[k..row.len() + k + 1 - SIDE])
}

/// Repeats the first and last of the values inside the border.
#[inline(always)]
fn repeat_ends(row: &mut [f64]) {
    let last = row.len() - RADIUS - 1;
    let (left, right) = (row[RADIUS], row[last]);
    row[..RADIUS].fill(left);
    row[last + 1..].fill(right);
}

/// Returns how many of the windows around the pixels of a picture have one gray level. Beyond the border, the edge pixel
/// is repeated or there are zeros, as in the windows of the metric.
#[inline(always)]
pub(crate) fn count_flat_windows(levels: &[u8], width: usize, border: Border) -> usize {
    let height = levels.len() / width;
    let mut flat_rows = FlatRows::new(width);
    let mut count = 0;
    for y in 0..height + 2 * RADIUS {
        let row = y.saturating_sub(RADIUS).min(height - 1);
        if border == Border::Zero && row + RADIUS != y {
            flat_rows.push(&vec![0; width], border);
        } else {
            flat_rows.push(&levels[row * width..][..width], border);
        }
        count += flat_rows.count_complete();
    }
    count
}

/// How many rows in a row, up to the last one pushed, have the same level at all places of a window.
struct FlatRows {
    /// The row before, with `RADIUS` more levels at both ends.
    before: Vec<u8>,
    row: Vec<u8>,
    /// Per pixel: the number of rows, at most `SIDE`.
    runs: Vec<u8>,
}

impl FlatRows {
    #[inline(always)]
    fn new(width: usize) -> Self {
        Self { before: vec![0; width + 2 * RADIUS], row: vec![0; width + 2 * RADIUS], runs: vec![0; width] }
    }

    #[inline(always)]
    fn push(&mut self, levels: &[u8], border: Border) {
        std::mem::swap(&mut self.before, &mut self.row);
        let width = levels.len();
        self.row[RADIUS..RADIUS + width].copy_from_slice(levels);
        if border == Border::Replicate {
            self.row[..RADIUS].fill(levels[0]);
            self.row[RADIUS + width..].fill(levels[width - 1]);
        }
        let [a, b, c, d, e, f, g]: [&[u8]; SIDE] = std::array::from_fn(|k| &self.row[k..][..width]);
        let above = &self.before[RADIUS..][..width];
        for (x, run) in self.runs.iter_mut().enumerate() {
            let middle = d[x];
            let flat = (a[x] == middle) & (b[x] == middle) & (c[x] == middle) & (e[x] == middle);
            let flat = flat & (f[x] == middle) & (g[x] == middle);
            let continued = if above[x] == middle { *run } else { 0 };
            *run = if flat { (continued + 1).min(SIDE as u8) } else { 0 };
        }
    }

    /// Returns how many windows end with the last row and are flat.
    #[inline(always)]
    fn count_complete(&self) -> usize {
        self.runs.iter().filter(|run| usize::from(**run) == SIDE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aids::{SIDE, aids, assert_near};

    const BLIND: Windows = Windows { border: Border::Replicate, balanced: 0.0 };

    /// Levels without a pattern, some of them equal to their neighbours.
    fn levels(width: usize, height: usize) -> Vec<u8> {
        let scramble = |place: usize| (place.wrapping_mul(2_654_435_761) >> 7) as u8;
        (0..width * height).map(|place| if place % width < 9 { 77 } else { scramble(place) }).collect()
    }

    fn plane(levels: &[u8], width: usize) -> Plane {
        Plane::new(levels.iter().map(|level| f64::from(*level)).collect(), width, levels.len() / width)
    }

    /// Returns the level at a place that may lie beyond the border.
    fn level(levels: &[u8], width: usize, border: Border, y: isize, x: isize) -> u8 {
        let height = (levels.len() / width) as isize;
        let (inner_y, inner_x) = (y.clamp(0, height - 1), x.clamp(0, width as isize - 1));
        let beyond = (inner_y, inner_x) != (y, x);
        if beyond && border == Border::Zero { 0 } else { levels[inner_y as usize * width + inner_x as usize] }
    }

    /// Returns the levels of the window around each pixel, with their weights.
    fn windows(levels: &[u8], width: usize, border: Border) -> Vec<Vec<(f64, u8)>> {
        let weight = |offset: isize| weights()[offset.unsigned_abs()];
        let window = |place: usize| {
            let (y, x) = ((place / width) as isize, (place % width) as isize);
            let offsets = (-3..=3).flat_map(|dy| (-3..=3).map(move |dx| (dy, dx)));
            offsets.map(|(dy, dx)| (weight(dy) * weight(dx), level(levels, width, border, y + dy, x + dx))).collect()
        };
        (0..levels.len()).map(window).collect()
    }

    #[test]
    fn weights_are_the_published_ones() {
        let expected = [0.34263151546524945, 0.2372960771171706, 0.07882796468173002, 0.012560200468474614];
        for (weight, expected) in weights().into_iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-16);
        }
    }

    #[test]
    fn a_corner_has_the_known_coefficients() {
        let Some((aids, levels)) = aids() else { return };
        for (border, name) in [(Border::Replicate, "mscn_edge_3x3_corner"), (Border::Zero, "mscn_zero_3x3_corner")] {
            let found = mscn(&plane(&levels, SIDE), Windows { border, balanced: 0.0 });
            for y in 0..3 {
                assert_near(&found.row(y)[..3], &aids[name][y], 1e-11);
            }
        }
    }

    #[test]
    fn statistics_equal_sums_over_each_window() {
        for border in [Border::Replicate, Border::Zero] {
            for (width, height) in [(31, 17), (2, 5), (1, 1)] {
                let levels = levels(width, height);
                let picture = plane(&levels, width);
                let found = local_statistics(&picture, Windows { border, balanced: 0.0 });
                assert_eq!(found.mscn, mscn(&picture, Windows { border, balanced: 0.0 }));
                for (place, window) in windows(&levels, width, border).into_iter().enumerate() {
                    let x = f64::from(levels[place]);
                    let mean: f64 = window.iter().map(|(weight, level)| weight * f64::from(*level)).sum();
                    let variance: f64 =
                        window.iter().map(|(weight, level)| weight * (f64::from(*level) - mean).powi(2)).sum();
                    assert!((found.mean.values[place] - mean).abs() < 1e-11);
                    assert!((found.deviation.values[place] - variance.sqrt()).abs() < 1e-7);
                    assert!((found.mscn.values[place] - (x - mean) / (variance.sqrt() + 1.0)).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn flat_windows_get_the_chosen_difference_and_no_deviation() {
        for level in 0..=255 {
            let picture = plane(&[level; 100], 10);
            let found = local_statistics(&picture, Windows { balanced: -1e-14, ..BLIND });
            assert!(found.mscn.values.iter().all(|value| *value == -1e-14), "level {level}");
            assert!(found.deviation.values.iter().all(|value| *value == 0.0), "level {level}");
        }
    }

    #[test]
    fn balanced_windows_get_the_chosen_difference() {
        // A ramp: each level is the mean of its window, whose deviation is not zero.
        let ramp: Vec<u8> = (0..20 * 20).map(|place| 3 * (place % 20) as u8).collect();
        let found = local_statistics(&plane(&ramp, 20), BLIND);
        for y in 0..20 {
            assert!(found.mscn.row(y)[3..17].iter().all(|value| *value == 0.0));
            assert!(found.deviation.row(y)[3..17].iter().all(|value| *value > 3.0));
        }
    }

    #[test]
    fn flat_windows_are_counted_with_their_border() {
        for border in [Border::Replicate, Border::Zero] {
            for (width, height) in [(40, 23), (9, 4), (1, 1)] {
                let mut levels = levels(width, height);
                levels[width * height / 2..].fill(0);
                let is_flat = |window: &Vec<(f64, u8)>| window.iter().all(|(_, level)| *level == window[0].1);
                let expected = windows(&levels, width, border).iter().filter(|window| is_flat(window)).count();
                assert_eq!(count_flat_windows(&levels, width, border), expected, "{border:?} {width}x{height}");
            }
        }
    }
}
