//! Moments of MSCN coefficients and of their products with neighbours, which NIQE takes per block and BRISQUE of the whole
//! picture. Neighbours wrap around the block, as `circshift` makes them.

use std::ops::Range;

use crate::generalized_gaussian::Moments;
use crate::plane::Plane;

/// A part of a plane.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

/// Moments of the coefficients and of their products with four neighbours.
pub(crate) struct NeighbourMoments {
    pub(crate) values: Moments,
    /// Products with the neighbours to the left, above, above to the left and above to the right.
    ///
    /// BRISQUE rolls up and right in the last, which gives the same products at other places.
    pub(crate) products: [Moments; 4],
}

/// Returns the moments of a block.
#[inline(always)]
pub(crate) fn neighbour_moments(mscn: &Plane, block: &Block) -> NeighbourMoments {
    let width = block.columns.len();
    let row = |y: usize| &mscn.row(y)[block.columns.clone()];
    let mut above = vec![0.0; width + 2];
    let mut current = vec![0.0; width + 2];
    wrap(row(block.rows.end - 1), &mut above);
    let mut values = Moments::default();
    let mut products = [Moments::default(); 4];
    for y in block.rows.clone() {
        let row = row(y);
        wrap(row, &mut current);
        values.add_values(row);
        products[0].add_products(row, &current[..width]);
        products[1].add_products(row, &above[1..=width]);
        products[2].add_products(row, &above[..width]);
        products[3].add_products(row, &above[2..]);
        std::mem::swap(&mut above, &mut current);
    }
    NeighbourMoments { values, products }
}

/// Copies a row with its last value in front and its first value behind.
#[inline(always)]
fn wrap(row: &[f64], wrapped: &mut [f64]) {
    let width = row.len();
    wrapped[1..=width].copy_from_slice(row);
    wrapped[0] = row[width - 1];
    wrapped[width + 1] = row[0];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_equal_those_of_rolled_blocks() {
        let values: Vec<f64> = (0..13 * 11).map(|place: usize| ((place * 37) % 101) as f64 / 50.0 - 1.0).collect();
        let mscn = Plane::new(values, 13, 11);
        let block = Block { rows: 2..9, columns: 3..12 };
        let found = neighbour_moments(&mscn, &block);
        let (height, width) = (7, 9);
        let value = |y: usize, x: usize| mscn.row(2 + y % height)[3 + x % width];
        // NIQE's rolls down and right, and the one that BRISQUE has instead of the last.
        for (place, (down, right)) in [(0, (0, 1)), (1, (1, 0)), (2, (1, 1)), (3, (1, width - 1)), (3, (height - 1, 1))]
        {
            let mut sum = 0.0;
            for y in 0..height {
                for x in 0..width {
                    let product = value(y, x) * value(y + height - down, x + width - right);
                    sum += product * product;
                }
            }
            let expected = sum / (height * width) as f64;
            assert!((found.products[place].mean_square() - expected).abs() < 1e-15, "roll {down}, {right}");
        }
    }
}
