//! Products of matrices with any strides, on one thread, by the `gemm` crate: for attention's small products in
//! training, and the gradients of weights.

use gemm::Parallelism;

/// A matrix as a view: element (i, j) at `i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
}

impl<'a> View<'a> {
    /// Makes a view of rows of `columns` values, `stride` apart.
    pub(crate) fn rows(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> View<'a> {
        View { values, rows, columns, row: stride, column: 1 }
    }

    /// Returns the transpose, without moving values.
    pub(crate) fn t(self) -> View<'a> {
        View { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }

    /// Returns the index after the last value that the view reads.
    fn end(&self) -> usize {
        (self.rows - 1) * self.row + (self.columns - 1) * self.column + 1
    }
}

/// The destination of a product, and whether the product is added to its values.
pub(crate) struct Target<'a> {
    pub(crate) values: &'a mut [f32],
    /// Distance between rows.
    pub(crate) stride: usize,
    pub(crate) add: bool,
}

impl<'a> Target<'a> {
    /// Overwrites the values.
    pub(crate) fn overwrite(values: &'a mut [f32], stride: usize) -> Target<'a> {
        Target { values, stride, add: false }
    }

    /// Adds to the values.
    pub(crate) fn accumulate(values: &'a mut [f32], stride: usize) -> Target<'a> {
        Target { values, stride, add: true }
    }
}

/// Computes out (+)= scale * a b.
pub(crate) fn product(a: View<'_>, b: View<'_>, scale: f32, out: Target<'_>) {
    assert_eq!(a.columns, b.rows, "shapes of a product");
    if a.rows == 0 || b.columns == 0 {
        return;
    }
    let end = (a.rows - 1) * out.stride + b.columns;
    assert!(a.columns > 0 && a.end() <= a.values.len() && b.end() <= b.values.len() && end <= out.values.len());
    assert!(b.columns <= out.stride || a.rows == 1, "rows of the product do not overlap");
    // SAFETY: every index that is read or written lies within its slice, as asserted; `out` does not alias the inputs.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.values.as_mut_ptr(),
            1,
            out.stride as isize,
            out.add,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_views_is_the_plain_sum_in_its_place() {
        let a: Vec<f32> = (0..60).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let b: Vec<f32> = (0..80).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
        let (left, right) = (View::rows(&a[2..], 4, 3, 9), View::rows(&b[1..], 5, 3, 8).t());
        let mut out = vec![1.0; 4 * 7];
        product(left, right, 0.5, Target::accumulate(&mut out, 7));
        for i in 0..4 {
            for j in 0..7 {
                let dot: f32 = (0..3).map(|k| a[2 + i * 9 + k] * b[1 + j.min(4) * 8 + k]).sum();
                let want = if j < 5 { 1.0 + 0.5 * dot } else { 1.0 };
                assert_eq!(out[i * 7 + j], want, "({i}, {j})");
            }
        }
    }
}
