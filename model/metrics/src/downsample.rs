//! Smaller planes by the mean of squares of pixels, of which every `f`-th from the first is kept. An even square reaches
//! right and down, and an odd side keeps its last pixel. The plane is mirrored with its edge pixel beyond the border, as by
//! MATLAB's `imfilter(..., 'symmetric')`.

use crate::plane::Plane;

/// Returns the means of `factor` by `factor` pixels, `ceil(side / factor)` in a row and column.
#[inline(always)]
pub(crate) fn downsample(plane: &Plane, factor: usize) -> Plane {
    let (width, height) = (plane.width.div_ceil(factor), plane.height.div_ceil(factor));
    let share = 1.0 / (factor * factor) as f64;
    let mut values = vec![0.0; width * height];
    let mut columns = vec![0.0; width * factor];
    for (y, row) in values.chunks_exact_mut(width).enumerate() {
        sum_rows(plane, y * factor..(y + 1) * factor, &mut columns[..]);
        for (mean, square) in row.iter_mut().zip(columns.chunks_exact(factor)) {
            *mean = sum_in_order(square) * share;
        }
    }
    Plane::new(values, width, height)
}

#[inline(always)]
fn sum_in_order(values: &[f64]) -> f64 {
    let mut total = 0.0;
    for value in values {
        total += value;
    }
    total
}

/// Sums rows of the plane that has `(factor - 1) / 2` rows and columns more above and at its left, where the rows are
/// `factor`. Writes as many columns as fit.
#[inline(always)]
fn sum_rows(plane: &Plane, rows: std::ops::Range<usize>, columns: &mut [f64]) {
    let before = (rows.len() - 1) / 2;
    let inside = plane.width.min(columns.len() - before);
    let end = before + inside;
    columns.fill(0.0);
    for y in rows {
        let row = plane.row(mirrored(y, before, plane.height));
        for (sum, value) in columns[before..end].iter_mut().zip(row) {
            *sum += value;
        }
    }
    for x in (0..before).chain(end..columns.len()) {
        columns[x] = columns[before + mirrored(x, before, plane.width)];
    }
}

/// Returns which of `count` rows or columns lies at `index` when `before` mirrored ones are put in front.
fn mirrored(index: usize, before: usize, count: usize) -> usize {
    if index < before {
        before - 1 - index
    } else if index - before < count {
        index - before
    } else {
        2 * count - 1 - (index - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Plane {
        Plane::new([values, values].concat(), values.len(), 2)
    }

    #[test]
    fn an_even_square_reaches_right_and_mirrors_the_last_pixel() {
        assert_eq!(downsample(&row(&[1.0, 3.0, 8.0]), 2).values, [2.0, 8.0]);
    }

    #[test]
    fn an_odd_square_is_centred_and_mirrors_the_first_pixel() {
        let plane = Plane::new([3.0, 6.0, 9.0, 12.0].repeat(3), 4, 3);
        // (3 + 3 + 6) / 3 and (9 + 12 + 12) / 3; the rows are equal.
        let small = downsample(&plane, 3);
        assert_eq!((small.width, small.height), (2, 1));
        assert!((small.values[0] - 4.0).abs() < 1e-14 && (small.values[1] - 11.0).abs() < 1e-14, "{small:?}");
    }

    #[test]
    fn rows_are_taken_as_columns_are() {
        let plane = Plane::new(vec![1.0, 3.0, 8.0], 1, 3);
        assert_eq!(downsample(&plane, 2).values, [2.0, 8.0]);
    }
}
