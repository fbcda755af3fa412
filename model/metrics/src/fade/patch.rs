//! Patches of 8x8 pixels and their moments. Each sum has eight parts, one for a column of the patch, which are added in
//! pairs.

use crate::plane::Plane;

/// Side of a patch.
pub(super) const SIDE: usize = 8;

/// Number of pixels.
pub(super) const AREA: usize = SIDE * SIDE;

/// Values of a patch in rows.
pub(super) type Patch = [[f64; SIDE]; SIDE];

/// Returns the length of the whole patches in a side.
pub(super) fn whole(length: usize) -> usize {
    length / SIDE * SIDE
}

/// Returns the upper left places `(x, y)` of the patches of a picture, row by row.
pub(super) fn places(width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    let columns = move |y| (0..width / SIDE).map(move |column| (SIDE * column, y));
    (0..height / SIDE).flat_map(move |row| columns(SIDE * row))
}

/// Returns the patch whose upper left pixel is at a place.
#[inline(always)]
pub(super) fn patch_at(plane: &Plane, (x, y): (usize, usize)) -> Patch {
    let mut patch = [[0.0; SIDE]; SIDE];
    for (row, into) in patch.iter_mut().enumerate() {
        into.copy_from_slice(&plane.row(y + row)[x..x + SIDE]);
    }
    patch
}

/// Returns the products of two patches' values.
#[inline(always)]
pub(super) fn product(a: &Patch, b: &Patch) -> Patch {
    let mut product = *a;
    for (value, factor) in product.as_flattened_mut().iter_mut().zip(b.as_flattened()) {
        *value *= factor;
    }
    product
}

/// Returns the quotients of two patches' values.
#[inline(always)]
pub(super) fn quotient(a: &Patch, b: &Patch) -> Patch {
    let mut quotient = *a;
    for (value, divisor) in quotient.as_flattened_mut().iter_mut().zip(b.as_flattened()) {
        *value /= divisor;
    }
    quotient
}

/// Returns a patch with the opposite signs.
#[inline(always)]
pub(super) fn negated(patch: &Patch) -> Patch {
    let mut negated = *patch;
    for value in negated.as_flattened_mut() {
        *value = -*value;
    }
    negated
}

#[inline(always)]
pub(super) fn mean(patch: &Patch) -> f64 {
    total(patch) / AREA as f64
}

/// Returns the variance, with 63 as its divisor.
#[inline(always)]
pub(super) fn variance(patch: &Patch) -> f64 {
    let mean = mean(patch);
    let mut squares = *patch;
    for value in squares.as_flattened_mut() {
        let deviation = *value - mean;
        *value = deviation * deviation;
    }
    total(&squares) / (AREA - 1) as f64
}

/// Returns the variance of the values that are not negative, with their number less one as its divisor: 0 of one value,
/// NaN of none.
#[inline(always)]
pub(super) fn variance_of_not_negative(patch: &Patch) -> f64 {
    let mut kept = *patch;
    let mut weights = [[1.0; SIDE]; SIDE];
    for (value, weight) in kept.as_flattened_mut().iter_mut().zip(weights.as_flattened_mut()) {
        *weight = if *value >= 0.0 { 1.0 } else { 0.0 };
        *value = if *value >= 0.0 { *value } else { 0.0 };
    }
    let count = total(&weights);
    // NaN if no value is kept.
    let mean = total(&kept) / count;
    for (value, weight) in kept.as_flattened_mut().iter_mut().zip(weights.as_flattened()) {
        let deviation = *value - mean;
        *value = weight * (deviation * deviation);
    }
    total(&kept) / (count - 1.0).max(1.0)
}

#[inline(always)]
fn total(patch: &Patch) -> f64 {
    let mut sums = [0.0; SIDE];
    for row in patch {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += value;
        }
    }
    add_in_pairs(sums)
}

#[inline(always)]
pub(super) fn add_in_pairs([a, b, c, d, e, f, g, h]: [f64; SIDE]) -> f64 {
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(value: impl Fn(usize) -> f64) -> Patch {
        std::array::from_fn(|row| std::array::from_fn(|column| value(SIDE * row + column)))
    }

    #[test]
    fn places_are_those_of_whole_patches_row_by_row() {
        assert_eq!(places(17, 23).collect::<Vec<_>>(), [(0, 0), (8, 0), (0, 8), (8, 8)]);
        assert_eq!((whole(16), whole(23)), (16, 16));
    }

    #[test]
    fn moments_of_0_to_63() {
        let patch = patch(|index| index as f64);
        assert_eq!((mean(&patch), variance(&patch)), (31.5, 64.0 * 65.0 / 12.0));
    }

    #[test]
    fn variance_of_a_part_divides_by_its_number_less_one() {
        let three = patch(|index| if index < 3 { index as f64 } else { -1.0 });
        assert_eq!(variance_of_not_negative(&three), 1.0);
        // The 61 ones and the zero that are not positive.
        let others = variance_of_not_negative(&negated(&three));
        assert!((others - (61.0 / 62.0) / 61.0).abs() < 1e-16);
        assert_eq!(variance_of_not_negative(&patch(|index| if index == 7 { 3.0 } else { -1.0 })), 0.0);
        assert!(variance_of_not_negative(&patch(|_| -1e-28)).is_nan());
    }
}
