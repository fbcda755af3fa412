//! Separable windows over several planes at once, without their border (MATLAB's `filter2(..., 'valid')`). Rows are filtered
//! as they come and only as many are kept as the window is high, so memory does not grow with the height. Knows no metric.

use std::array;

/// Returns a Gaussian window of `TAPS` weights with the sum 1.
pub(crate) fn gaussian<const TAPS: usize>(deviation: f64) -> [f64; TAPS] {
    let centre = (TAPS - 1) as f64 / 2.0;
    let weights: [f64; TAPS] = array::from_fn(|tap| {
        let distance = tap as f64 - centre;
        libm::exp(-(distance * distance) / (2.0 * deviation * deviation))
    });
    let total = weights.iter().fold(0.0, |sum, weight| sum + weight);
    weights.map(|weight| weight / total)
}

/// One row of each of `PLANES` planes.
pub(crate) type Rows<const PLANES: usize> = [Vec<f64>; PLANES];

/// The size of the planes before they are filtered.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Filters `PLANES` planes with a symmetric window in both directions. `fill` writes row `y` of each plane; `take` gets each
/// filtered row of each plane, from the top. There are `TAPS - 1` rows and columns fewer than before, so none of a plane
/// that is smaller than the window.
#[inline(always)]
pub(crate) fn filter_rows<const PLANES: usize, const TAPS: usize>(
    size: Size,
    window: &[f64; TAPS],
    mut fill: impl FnMut(usize, &mut Rows<PLANES>),
    mut take: impl FnMut(&Rows<PLANES>),
) {
    if size.width < TAPS || size.height < TAPS {
        return;
    }
    let width = size.width - TAPS + 1;
    let mut source: Rows<PLANES> = array::from_fn(|_| vec![0.0; size.width]);
    let mut filtered: Rows<PLANES> = array::from_fn(|_| vec![0.0; width]);
    // The rows that were filtered horizontally: row `y` lies at `y % TAPS`.
    let mut recent: [[Vec<f64>; TAPS]; PLANES] = array::from_fn(|_| array::from_fn(|_| vec![0.0; width]));
    for y in 0..size.height {
        fill(y, &mut source);
        for (source, recent) in source.iter().zip(&mut recent) {
            weigh(array::from_fn(|tap| &source[tap..]), window, &mut recent[y % TAPS]);
        }
        if y + 1 < TAPS {
            continue;
        }
        for (recent, filtered) in recent.iter().zip(&mut filtered) {
            weigh(array::from_fn(|tap| &recent[(y + 1 + tap) % TAPS][..]), window, filtered);
        }
        take(&filtered);
    }
}

/// Writes the weighted sum of rows. The weights are symmetric, so the two rows of one weight are added first.
#[inline(always)]
fn weigh<const TAPS: usize>(rows: [&[f64]; TAPS], weights: &[f64; TAPS], sums: &mut [f64]) {
    let width = sums.len();
    let rows = rows.map(|row| &row[..width]);
    for x in 0..width {
        let mut sum = weights[TAPS / 2] * rows[TAPS / 2][x];
        for tap in 0..TAPS / 2 {
            sum += weights[tap] * (rows[tap][x] + rows[TAPS - 1 - tap][x]);
        }
        sums[x] = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `aids.json`: `gauss11_sigma_1_5`.
    #[test]
    fn gaussian_has_the_known_weights() {
        let window = gaussian::<11>(1.5);
        let expected = [0.00102838008447911, 0.007598758135239185, 0.03600077212843083, 0.10936068950970002];
        for (weight, expected) in window.iter().zip(expected) {
            assert!((weight - expected).abs() < 1e-16, "{weight} {expected}");
        }
        assert!((window[5] - 0.26601172486179436).abs() < 1e-15);
    }

    #[test]
    fn filtering_without_border_keeps_the_order_of_rows_and_columns() {
        let size = Size { width: 5, height: 4 };
        let mut found = Vec::new();
        filter_rows(
            size,
            &[0.25, 0.5, 0.25],
            |y, rows: &mut Rows<2>| {
                rows[0].copy_from_slice(&[0.0, 1.0, 4.0, 9.0, 16.0]);
                rows[1].fill((y * y) as f64);
            },
            |rows| found.push(rows.clone()),
        );
        // The second difference of a square is 2, so the window adds a half.
        let of_columns = [1.5, 4.5, 9.5].to_vec();
        assert_eq!(found, [[of_columns.clone(), vec![1.5; 3]], [of_columns, vec![4.5; 3]]]);
    }

    #[test]
    fn a_plane_smaller_than_the_window_has_no_rows() {
        filter_rows(Size { width: 2, height: 9 }, &[0.25, 0.5, 0.25], |_, _: &mut Rows<1>| {}, |_| panic!("a row"));
    }
}
