//! The Mahalanobis distance with the pseudo-inverse of a covariance, by Jacobi's rotations of a symmetric matrix. Only the
//! four operations and square roots are used, in a fixed order.

/// Sweeps over all pairs of rows; seven to ten are usual.
const SWEEPS_MAX: usize = 60;

/// Values off the diagonal below this share of the largest number are taken as 0.
const NEGLIGIBLE: f64 = 1e-3 * f64::EPSILON;

/// Returns `vector' pinv(matrix) vector` for a symmetric matrix. As in MATLAB's `pinv`, eigenvalues up to `N` times the
/// spacing of doubles at the largest one count as 0.
#[inline(always)]
pub(crate) fn inverse_form<const N: usize>(matrix: &[[f64; N]; N], vector: &[f64; N]) -> f64 {
    let (eigenvalues, components) = diagonalise(*matrix, *vector);
    let largest = eigenvalues.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let tolerance = N as f64 * (largest.next_up() - largest);
    let mut form = 0.0;
    for (value, component) in eigenvalues.iter().zip(&components) {
        if value.abs() > tolerance {
            form += component * component / value;
        }
    }
    form
}

/// Returns the eigenvalues and the components of the vector along the eigenvectors.
#[inline(always)]
fn diagonalise<const N: usize>(mut matrix: [[f64; N]; N], mut vector: [f64; N]) -> ([f64; N], [f64; N]) {
    let largest = matrix.as_flattened().iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for _ in 0..SWEEPS_MAX {
        let mut rotated = false;
        for p in 0..N {
            for q in p + 1..N {
                if matrix[p][q].abs() > NEGLIGIBLE * largest {
                    rotate(&mut matrix, &mut vector, p, q);
                    rotated = true;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    (std::array::from_fn(|place| matrix[place][place]), vector)
}

/// Rotates the axes `p` and `q` so that the matrix is 0 at their crossing.
#[inline(always)]
fn rotate<const N: usize>(matrix: &mut [[f64; N]; N], vector: &mut [f64; N], p: usize, q: usize) {
    let crossing = matrix[p][q];
    let cotangent = (matrix[q][q] - matrix[p][p]) / (2.0 * crossing);
    let tangent = (1.0 / (cotangent.abs() + (cotangent * cotangent + 1.0).sqrt())).copysign(cotangent);
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    let (mut row_p, mut row_q) = (matrix[p], matrix[q]);
    for (a, b) in row_p.iter_mut().zip(&mut row_q) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
    row_p[p] = matrix[p][p] - tangent * crossing;
    row_q[q] = matrix[q][q] + tangent * crossing;
    row_p[q] = 0.0;
    row_q[p] = 0.0;
    for (row, (a, b)) in matrix.iter_mut().zip(row_p.iter().zip(&row_q)) {
        row[p] = *a;
        row[q] = *b;
    }
    (matrix[p], matrix[q]) = (row_p, row_q);
    (vector[p], vector[q]) = (cosine * vector[p] - sine * vector[q], sine * vector[p] + cosine * vector[q]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_that_of_the_inverse() {
        // The inverse of [2 1; 1 2] is [2 -1; -1 2] / 3.
        let form = inverse_form(&[[2.0, 1.0], [1.0, 2.0]], &[3.0, -1.0]);
        assert!((form - (2.0 * 9.0 + 2.0 * 3.0 + 2.0) / 3.0).abs() < 1e-14);
    }

    #[test]
    fn directions_without_variance_are_left_out() {
        // Rank 1: pinv(u u') = u u' / |u|^4.
        let u = [1.0, 2.0, -2.0];
        let matrix = u.map(|a| u.map(|b| a * b));
        let form = inverse_form(&matrix, &[4.0, 1.0, 1.0]);
        assert!((form - 16.0 / 81.0).abs() < 1e-15, "{form}");
        assert_eq!(inverse_form(&[[0.0; 3]; 3], &u), 0.0);
    }

    #[test]
    fn form_undoes_a_product_with_an_ill_conditioned_matrix() {
        // A Hilbert matrix plus a little; x' M inv(M) M x = x' M x.
        const N: usize = 12;
        let matrix: [[f64; N]; N] = std::array::from_fn(|i| {
            std::array::from_fn(|j| 1.0 / (i + j + 1) as f64 + if i == j { 1e-6 } else { 0.0 })
        });
        let x: [f64; N] = std::array::from_fn(|i| (i as f64 * 1.7) % 3.0 - 1.0);
        let product = matrix.map(|row| row.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>());
        let expected: f64 = product.iter().zip(&x).map(|(a, b)| a * b).sum();
        let form = inverse_form(&matrix, &product);
        assert!((form / expected - 1.0).abs() < 1e-9, "{form} {expected}");
    }
}
