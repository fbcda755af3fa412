//! Feature similarity with colour (Zhang 2011) by the authors' `FeatureSIM.m` of 2010: similarity of phase congruency,
//! gradients and the two chromatic channels, weighted by the greater phase congruency.

mod channels;

use crate::elementary::{exponential, natural_logarithm};
use crate::instruction_set::InstructionSet;
use crate::phase_congruency::FilterCache;
use crate::plane::{Plane, sum};
use crate::rgb_view::RgbView;
use crate::undefined::Undefined;
use channels::channels;

/// Constants of the similarities.
const CONGRUENCY: f64 = 0.85;
const GRADIENT: f64 = 160.0;
const CHROMA: f64 = 200.0;
/// Exponent of the chromatic similarity.
const CHROMA_EXPONENT: f64 = 0.03;
/// `cos(0.03 pi)`: the real part of a power of -1, which the authors take where a chromatic similarity is negative.
const NEGATIVE_CHROMA: f64 = 0.995_561_964_603_080_1;

/// Returns the similarity of two pictures of equal size.
///
/// # Errors
/// [`Undefined::Degenerate`] if a picture has one luma, or none has features.
pub(crate) fn fsimc(
    instructions: InstructionSet,
    filters: &FilterCache,
    picture: &RgbView<'_>,
    clear: &RgbView<'_>,
) -> Result<f64, Undefined> {
    let [first, second] = [picture, clear].map(|view| {
        instructions.run(
            #[inline(always)]
            || channels(view),
        )
    });
    if is_constant(&first[0]) || is_constant(&second[0]) {
        return Err(Undefined::Degenerate("a picture has one brightness"));
    }
    let filters = filters.get(instructions, first[0].width, first[0].height);
    let congruency = filters.phase_congruency([&first[0], &second[0]]);
    let value = instructions.run(
        #[inline(always)]
        || compare(&first, &second, &congruency),
    );
    if value.is_nan() {
        return Err(Undefined::Degenerate("the pictures have no features"));
    }
    Ok(value)
}

fn is_constant(plane: &Plane) -> bool {
    plane.values.iter().all(|value| *value == plane.values[0])
}

#[inline(always)]
fn compare(first: &[Plane; 3], second: &[Plane; 3], congruency: &[Plane; 2]) -> f64 {
    let (width, height) = (first[0].width, first[0].height);
    let mut gradients = [vec![0.0; width], vec![0.0; width]];
    let (mut similar, mut weights) = (vec![0.0; width], vec![0.0; width]);
    let (mut similar_sum, mut weight_sum) = (0.0, 0.0);
    for y in 0..height {
        write_gradients(&first[0], y, &mut gradients[0]);
        write_gradients(&second[0], y, &mut gradients[1]);
        let congruency = congruency.each_ref().map(|plane| plane.row(y));
        write_luma_similarity(congruency, &gradients, &mut similar, &mut weights);
        multiply_by_chroma([first[1].row(y), second[1].row(y)], [first[2].row(y), second[2].row(y)], &mut similar);
        similar_sum += sum(&similar);
        weight_sum += sum(&weights);
    }
    similar_sum / weight_sum
}

#[inline(always)]
fn similarity(first: f64, second: f64, constant: f64) -> f64 {
    (2.0 * first * second + constant) / (first * first + second * second + constant)
}

/// Writes the magnitudes of the Scharr gradients of one row; there are zeros beyond the border.
#[inline(always)]
fn write_gradients(plane: &Plane, y: usize, magnitudes: &mut [f64]) {
    let padded = |y: Option<usize>| {
        let mut row = vec![0.0; plane.width + 2];
        if let Some(y) = y.filter(|y| *y < plane.height) {
            row[1..=plane.width].copy_from_slice(plane.row(y));
        }
        row
    };
    let (above, middle, below) = (padded(y.checked_sub(1)), padded(Some(y)), padded(Some(y + 1)));
    let length = magnitudes.len() + 2;
    let (above, middle, below) = (&above[..length], &middle[..length], &below[..length]);
    for x in 0..magnitudes.len() {
        let corners = 3.0 * ((above[x + 2] - above[x]) + (below[x + 2] - below[x]));
        let horizontal = (corners + 10.0 * (middle[x + 2] - middle[x])) / 16.0;
        let corners = 3.0 * ((below[x] - above[x]) + (below[x + 2] - above[x + 2]));
        let vertical = (corners + 10.0 * (below[x + 1] - above[x + 1])) / 16.0;
        magnitudes[x] = (horizontal * horizontal + vertical * vertical).sqrt();
    }
}

/// Writes the weight of each pixel and, times that, the similarity of congruency and gradients.
#[inline(always)]
fn write_luma_similarity(congruency: [&[f64]; 2], gradients: &[Vec<f64>; 2], similar: &mut [f64], weights: &mut [f64]) {
    let width = similar.len();
    let weights = &mut weights[..width];
    let [p, q] = congruency.map(|row| &row[..width]);
    let [g, h] = [&gradients[0][..width], &gradients[1][..width]];
    for x in 0..width {
        weights[x] = p[x].max(q[x]);
        similar[x] = similarity(p[x], q[x], CONGRUENCY) * similarity(g[x], h[x], GRADIENT) * weights[x];
    }
}

#[inline(always)]
fn multiply_by_chroma(i: [&[f64]; 2], q: [&[f64]; 2], similar: &mut [f64]) {
    let width = similar.len();
    let [i, j] = i.map(|row| &row[..width]);
    let [q, r] = q.map(|row| &row[..width]);
    for x in 0..width {
        let chroma = similarity(i[x], j[x], CHROMA) * similarity(q[x], r[x], CHROMA);
        similar[x] *= chroma_power(chroma);
    }
}

/// Returns the real part of `chroma^0.03`.
#[inline(always)]
fn chroma_power(chroma: f64) -> f64 {
    // 0 becomes 1e-9 instead of 0.
    let power = exponential(CHROMA_EXPONENT * natural_logarithm(chroma.abs().max(f64::MIN_POSITIVE)));
    if chroma < 0.0 { NEGATIVE_CHROMA * power } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_negative_similarities_are_real_parts() {
        assert!((chroma_power(0.5) - libm::pow(0.5, 0.03)).abs() < 1e-14);
        let expected = libm::pow(0.5, 0.03) * libm::cos(0.03 * std::f64::consts::PI);
        assert!((chroma_power(-0.5) - expected).abs() < 1e-14);
        assert!(chroma_power(0.0) < 1e-8);
    }

    #[test]
    fn gradients_of_a_ramp_are_its_slope_but_at_the_border() {
        let ramp = Plane::new((0..25).map(|i| f64::from(i % 5 * 3)).collect(), 5, 5);
        let mut magnitudes = vec![0.0; 5];
        write_gradients(&ramp, 2, &mut magnitudes);
        assert_eq!(magnitudes[1..4], [6.0; 3]);
        assert_eq!(magnitudes[4], 9.0);
    }

    #[test]
    fn a_picture_of_one_colour_has_no_features() {
        let (flat, other) = ([7; 300], std::array::from_fn::<u8, 300, _>(|i| (i * 37 % 251) as u8));
        let [flat, other] = [&flat, &other].map(|samples| RgbView::new(samples, 10, 10));
        let (set, filters) = (InstructionSet::detect(), FilterCache::default());
        assert!(matches!(fsimc(set, &filters, &other, &flat), Err(Undefined::Degenerate(_))));
        assert!((fsimc(set, &filters, &other, &other).unwrap() - 1.0).abs() < 1e-12);
    }
}
