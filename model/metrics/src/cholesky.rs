//! Cholesky's factor of a small matrix, in a fixed order of operations.

/// Returns the lower triangle `L` with `L L' = matrix`, or nothing if the matrix is not symmetric and positive
/// definite.
pub(crate) fn cholesky<const N: usize>(matrix: &[[f64; N]; N]) -> Option<[[f64; N]; N]> {
    let mut lower = [[0.0; N]; N];
    for row in 0..N {
        for column in 0..=row {
            if matrix[row][column] != matrix[column][row] {
                return None;
            }
            let known = (0..column).fold(0.0, |sum, k| sum + lower[row][k] * lower[column][k]);
            let rest = matrix[row][column] - known;
            lower[row][column] = if row == column { rest.sqrt() } else { rest / lower[column][column] };
        }
        // The root of a negative number is NaN.
        if lower[row][row].is_nan() || lower[row][row] == 0.0 {
            return None;
        }
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_of_three_rows_is_the_known_one() {
        let matrix = [[4.0, 12.0, -16.0], [12.0, 37.0, -43.0], [-16.0, -43.0, 98.0]];
        assert_eq!(cholesky(&matrix), Some([[2.0, 0.0, 0.0], [6.0, 1.0, 0.0], [-8.0, 5.0, 3.0]]));
    }

    #[test]
    fn other_matrices_have_no_factor() {
        assert_eq!(cholesky(&[[1.0, 2.0], [2.0, 1.0]]), None);
        assert_eq!(cholesky(&[[1.0, 0.5], [0.4, 1.0]]), None);
        assert_eq!(cholesky(&[[0.0]]), None);
    }
}
