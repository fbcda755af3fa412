//! Mean CIEDE2000 colour difference (Sharma, Wu, Dalal 2005) with `kL = kC = kH = 1`. The hue angles of the definition are
//! replaced by their sines and cosines, so a pixel needs square roots and polynomials only: no branch, no call, and the
//! loop becomes vector instructions.
//!
//! Hues are the vectors `(a', b')`. Their difference is `2 sqrt(C1 C2) sin(dh / 2)`, their mean the direction of the
//! bisector of the shorter arc; multiples of the mean hue follow from its sine and cosine.

use crate::elementary::{exponential, polynomial};
use crate::lab::{CHUNK, LabChunk, LabConverter};
use crate::plane::sum;
use crate::rgb_view::RgbView;

/// `25^7`.
const CHROMA_HALF: f64 = 6_103_515_625.0;

/// Cosine and sine of the angles in the definition, in degrees: 30, 6, 63, 275.
const TURN_30: [f64; 2] = [0.866_025_403_784_438_6, 0.5];
const TURN_6: [f64; 2] = [0.994_521_895_368_273_3, 0.104_528_463_267_653_47];
const TURN_63: [f64; 2] = [0.453_990_499_739_546_8, 0.891_006_524_188_367_9];
const TURN_275: [f64; 2] = [0.087_155_742_747_658_18, -0.996_194_698_091_745_5];

/// Returns the mean difference over the pixels of two pictures of equal size.
#[inline(always)]
pub(crate) fn ciede2000(picture: &RgbView<'_>, clear: &RgbView<'_>) -> f64 {
    let converter = LabConverter::new();
    let [first, second] = [picture, clear].map(|view| view.samples().as_chunks::<3>().0);
    let mut differences = [0.0; CHUNK];
    let mut total = 0.0;
    for (first, second) in first.chunks(CHUNK).zip(second.chunks(CHUNK)) {
        write_differences(&converter.convert(first), &converter.convert(second), &mut differences);
        total += sum(&differences[..first.len()]);
    }
    total / first.len() as f64
}

#[inline(always)]
fn write_differences(first: &LabChunk, second: &LabChunk, differences: &mut [f64; CHUNK]) {
    for (x, value) in differences.iter_mut().enumerate() {
        *value = difference([first.l[x], first.a[x], first.b[x]], [second.l[x], second.a[x], second.b[x]]);
    }
}

/// Returns the difference of two colours in CIELAB.
#[inline(always)]
fn difference([l1, a1, b1]: [f64; 3], [l2, a2, b2]: [f64; 3]) -> f64 {
    let mean_chroma = 0.5 * ((a1 * a1 + b1 * b1).sqrt() + (a2 * a2 + b2 * b2).sqrt());
    let stretch = 1.5 - 0.5 * saturation(mean_chroma);
    let (a1, a2) = (stretch * a1, stretch * a2);
    let (c1, c2) = ((a1 * a1 + b1 * b1).sqrt(), (a2 * a2 + b2 * b2).sqrt());
    let hue = compare_hues([a1, b1, c1], [a2, b2, c2]);

    let lightness = 0.5 * (l1 + l2) - 50.0;
    let chroma = 0.5 * (c1 + c2);
    let lightness_square = lightness * lightness;
    let lightness_weight = 1.0 + 0.015 * lightness_square / (20.0 + lightness_square).sqrt();
    let chroma_weight = 1.0 + 0.045 * chroma;
    let hue_weight = 1.0 + 0.015 * chroma * hue_factor(hue.cosine, hue.sine);
    let rotation = -2.0 * saturation(chroma) * sine_of_turn(hue.cosine, hue.sine);

    let dl = (l2 - l1) / lightness_weight;
    let dc = (c2 - c1) / chroma_weight;
    let dh = hue.difference / hue_weight;
    // The form is positive definite but for rounding: the rotation is at most sqrt(3) in size, below 2.
    (dl * dl + dc * dc + dh * dh + rotation * dc * dh).max(0.0).sqrt()
}

/// Returns `sqrt(c^7 / (c^7 + 25^7))`.
#[inline(always)]
fn saturation(chroma: f64) -> f64 {
    let square = chroma * chroma;
    let seventh = square * square * square * chroma;
    (seventh / (seventh + CHROMA_HALF)).sqrt()
}

/// The hues of two colours.
struct HuePair {
    /// `2 sqrt(C1 C2) sin((h2 - h1) / 2)`, 0 if a colour is gray.
    difference: f64,
    /// The cosine of the mean hue.
    cosine: f64,
    /// The sine of the mean hue.
    sine: f64,
}

/// Compares the hues of two colours `(a', b', C')`.
#[inline(always)]
fn compare_hues([a1, b1, c1]: [f64; 3], [a2, b2, c2]: [f64; 3]) -> HuePair {
    let product = c1 * c2;
    let is_gray = product == 0.0;
    let dot = a1 * a2 + b1 * b2;
    let cross = a1 * b2 - a2 * b1;
    // Opposite hues: the definition goes from the smaller angle to the larger, so forwards if the first is below 180 degrees.
    let first_is_smaller = b1 > 0.0 || (b1 == 0.0 && a1 > 0.0);
    let direction = if cross > 0.0 || (cross == 0.0 && first_is_smaller) { 1.0 } else { -1.0 };
    // Both vectors with the length C1 C2. Their sum bisects the angle; if it is obtuse, the sum may vanish, and the bisector
    // is taken as normal to the difference.
    let (x1, y1, x2, y2) = (a1 * c2, b1 * c2, a2 * c1, b2 * c1);
    let is_acute = dot >= 0.0;
    let x = if is_acute { x1 + x2 } else { direction * (y2 - y1) };
    let y = if is_acute { y1 + y2 } else { direction * (x1 - x2) };
    let length = if is_gray { 1.0 } else { (x * x + y * y).sqrt() };
    let root = if is_gray { 1.0 } else { product.sqrt() };
    let numerator = if is_acute { 2.0 * root * cross } else { direction * length };
    let denominator = if is_acute { length } else { root };
    HuePair { difference: if is_gray { 0.0 } else { numerator / denominator }, cosine: x / length, sine: y / length }
}

/// Returns `T`, the dependence of the hue's weight on the mean hue.
#[inline(always)]
fn hue_factor(cosine: f64, sine: f64) -> f64 {
    let (cosine_2, sine_2) = (2.0 * cosine * cosine - 1.0, 2.0 * sine * cosine);
    let (cosine_3, sine_3) = (cosine * (2.0 * cosine_2 - 1.0), sine * (2.0 * cosine_2 + 1.0));
    let (cosine_4, sine_4) = (2.0 * cosine_2 * cosine_2 - 1.0, 2.0 * sine_2 * cosine_2);
    let minus_30 = cosine * TURN_30[0] + sine * TURN_30[1];
    let plus_6 = cosine_3 * TURN_6[0] - sine_3 * TURN_6[1];
    let minus_63 = cosine_4 * TURN_63[0] + sine_4 * TURN_63[1];
    1.0 - 0.17 * minus_30 + 0.24 * cosine_2 + 0.32 * plus_6 - 0.20 * minus_63
}

/// Returns the sine of twice the rotation, `sin(60° exp(-((h - 275°) / 25°)^2))`.
#[inline(always)]
fn sine_of_turn(cosine: f64, sine: f64) -> f64 {
    let from_275 = cosine * TURN_275[0] + sine * TURN_275[1];
    let per_25_degrees = 180.0 / 25.0 / std::f64::consts::PI;
    let bell = exponential(-per_25_degrees * per_25_degrees * square_of_angle(from_275));
    // The definition does not go round: 0 to 90 degrees are 185 and more away from 275, and the bell is below 1e-23.
    let bell = if cosine >= 0.0 && sine >= 0.0 { 0.0 } else { bell };
    sine_below_60_degrees(std::f64::consts::FRAC_PI_3 * bell)
}

/// Returns the square of an angle (in radians, up to 180 degrees) from its cosine: the cosine of a quarter of it is `1 - z`
/// with `z` below 0.3, and the square of that is `2 sum((2z)^n / (n^2 binomial(2n, n)))`.
#[inline(always)]
fn square_of_angle(cosine: f64) -> f64 {
    const TERMS: [f64; 16] = square_terms();
    let half = (0.5 + 0.5 * cosine).max(0.0).sqrt();
    let z = 1.0 - (0.5 + 0.5 * half).sqrt();
    16.0 * z * polynomial(&TERMS, z)
}

/// Coefficients of `z^0`, `z^1` and so on of the series, divided by `z`.
const fn square_terms() -> [f64; 16] {
    let mut terms = [0.0; 16];
    let (mut power, mut binomial) = (1.0, 1.0);
    let mut n = 1;
    while n <= 16 {
        let order = n as f64;
        power *= 2.0;
        binomial *= 2.0 * (2.0 * order - 1.0) / order;
        terms[n - 1] = 2.0 * power / (order * order * binomial);
        n += 1;
    }
    terms
}

/// Returns the sine of an angle of 0 to 60 degrees, in radians, by its series.
#[inline(always)]
fn sine_below_60_degrees(angle: f64) -> f64 {
    const TERMS: [f64; 9] = sine_terms();
    angle * polynomial(&TERMS, angle * angle)
}

/// `(-1)^n / (2n + 1)!` for `n` from 0.
const fn sine_terms() -> [f64; 9] {
    let mut terms = [1.0; 9];
    let mut n = 1;
    while n < 9 {
        terms[n] = -terms[n - 1] / (2 * n * (2 * n + 1)) as f64;
        n += 1;
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1 of Sharma, Wu and Dalal (2005): two colours in CIELAB and their difference to four decimals.
    const SHARMA: [([f64; 3], [f64; 3], f64); 34] = [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 3.1571, -77.2803], [50.0, 0.0, -82.7485], 2.8615),
        ([50.0, 2.8361, -74.02], [50.0, 0.0, -82.7485], 3.4412),
        ([50.0, -1.3802, -84.2814], [50.0, 0.0, -82.7485], 1.0),
        ([50.0, -1.1848, -84.8006], [50.0, 0.0, -82.7485], 1.0),
        ([50.0, -0.9009, -85.5211], [50.0, 0.0, -82.7485], 1.0),
        ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
        ([50.0, -1.0, 2.0], [50.0, 0.0, 0.0], 2.3669),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0009], 7.1792),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.001], 7.1792),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0011], 7.2195),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0012], 7.2195),
        ([50.0, -0.001, 2.49], [50.0, 0.0009, -2.49], 4.8045),
        ([50.0, -0.001, 2.49], [50.0, 0.001, -2.49], 4.8045),
        ([50.0, -0.001, 2.49], [50.0, 0.0011, -2.49], 4.7461),
        ([50.0, 2.5, 0.0], [50.0, 0.0, -2.5], 4.3065),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([50.0, 2.5, 0.0], [61.0, -5.0, 29.0], 22.8977),
        ([50.0, 2.5, 0.0], [56.0, -27.0, -3.0], 31.903),
        ([50.0, 2.5, 0.0], [58.0, 24.0, 15.0], 19.4535),
        ([50.0, 2.5, 0.0], [50.0, 3.1736, 0.5854], 1.0),
        ([50.0, 2.5, 0.0], [50.0, 3.2972, 0.0], 1.0),
        ([50.0, 2.5, 0.0], [50.0, 1.8634, 0.5757], 1.0),
        ([50.0, 2.5, 0.0], [50.0, 3.2592, 0.335], 1.0),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
        ([63.0109, -31.0961, -5.8663], [62.8187, -29.7946, -4.0864], 1.263),
        ([61.2901, 3.7196, -5.3901], [61.4292, 2.248, -4.962], 1.8731),
        ([35.0831, -44.1164, 3.7933], [35.0232, -40.0716, 1.5901], 1.8645),
        ([22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373),
        ([36.4612, 47.858, 18.3852], [36.2715, 50.5065, 21.2231], 1.4146),
        ([90.8027, -2.0831, 1.441], [91.1528, -1.6435, 0.0447], 1.4441),
        ([90.9257, -0.5406, -0.9208], [88.6381, -0.8985, -0.7239], 1.5381),
        ([6.7747, -0.2908, -2.4247], [5.8714, -0.0985, -2.2286], 0.6377),
        ([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082),
    ];

    #[test]
    fn published_pairs_have_their_differences() {
        for (first, second, expected) in SHARMA {
            let found = difference(first, second);
            assert!((found - expected).abs() < 5.1e-5, "{first:?} {second:?}: {found}, expected {expected}");
        }
    }

    #[test]
    fn differences_are_symmetric() {
        for (first, second, _) in SHARMA {
            let (found, reversed) = (difference(first, second), difference(second, first));
            assert!((found - reversed).abs() < 1e-12, "{first:?} {second:?}: {found} {reversed}");
        }
    }

    /// The definition with its angles, on colours of all hues and chromas.
    #[test]
    fn differences_are_those_of_the_definition_with_angles() {
        let mut state = 1_u32;
        let mut random = |low: f64, high: f64| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            low + (high - low) * f64::from(state >> 8) / f64::from(1_u32 << 24)
        };
        for round in 0..100_000 {
            let reach = [128.0, 12.0, 0.5][round % 3];
            let [first, second] =
                std::array::from_fn(|_| [random(0.0, 100.0), random(-reach, reach), random(-reach, reach)]);
            let (found, expected) = (difference(first, second), difference_with_angles(first, second));
            assert!((found - expected).abs() < 1e-9, "{first:?} {second:?}: {found} {expected}");
        }
    }

    /// Equations 2 to 22 of the paper as they stand.
    fn difference_with_angles([l1, a1, b1]: [f64; 3], [l2, a2, b2]: [f64; 3]) -> f64 {
        let weight = |c: f64| (c.powi(7) / (c.powi(7) + 25_f64.powi(7))).sqrt();
        let g = 0.5 * (1.0 - weight((libm::hypot(a1, b1) + libm::hypot(a2, b2)) / 2.0));
        let (a1, a2) = ((1.0 + g) * a1, (1.0 + g) * a2);
        let (c1, c2) = (libm::hypot(a1, b1), libm::hypot(a2, b2));
        let [h1, h2] = [(b1, a1), (b2, a2)].map(|(b, a)| libm::atan2(b, a).to_degrees().rem_euclid(360.0));
        let turn = if (h2 - h1).abs() <= 180.0 { 0.0 } else { 360.0_f64.copysign(h1 - h2) };
        let dh = 2.0 * (c1 * c2).sqrt() * libm::sin(((h2 - h1 + turn) / 2.0).to_radians());
        let (l, c) = ((l1 + l2) / 2.0, (c1 + c2) / 2.0);
        let h = match (turn == 0.0, h1 + h2 < 360.0) {
            (true, _) => (h1 + h2) / 2.0,
            (false, true) => (h1 + h2 + 360.0) / 2.0,
            (false, false) => (h1 + h2 - 360.0) / 2.0,
        };
        let cosine = |degrees: f64| libm::cos(degrees.to_radians());
        let t = 1.0 - 0.17 * cosine(h - 30.0) + 0.24 * cosine(2.0 * h) + 0.32 * cosine(3.0 * h + 6.0)
            - 0.20 * cosine(4.0 * h - 63.0);
        let rotation = 30.0 * libm::exp(-((h - 275.0) / 25.0).powi(2));
        let sl = 1.0 + 0.015 * (l - 50.0).powi(2) / (20.0 + (l - 50.0).powi(2)).sqrt();
        let (dl, dc, dh) = ((l2 - l1) / sl, (c2 - c1) / (1.0 + 0.045 * c), dh / (1.0 + 0.015 * c * t));
        let mixed = -libm::sin((2.0 * rotation).to_radians()) * 2.0 * weight(c) * dc * dh;
        (dl * dl + dc * dc + dh * dh + mixed).sqrt()
    }
}
