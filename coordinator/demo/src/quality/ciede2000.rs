//! The colour difference CIEDE2000 (Sharma, Wu, Dalal 2005), in CIELAB of sRGB with white point D65.

use std::f32::consts::{PI, TAU};

use crate::pixels::{Rgb, power};

/// Returns CIELAB of a picture at half its resolution, as seen from some distance: the mean light of 2 x 2 pixels.
pub(crate) fn lab_at_half_size(picture: &Rgb) -> Vec<[f32; 3]> {
    let linear: Vec<f32> = (0..=255_u8).map(|byte| linear(f32::from(byte) / 255.0)).collect();
    let light = picture
        .map_channels(|_, plane| plane.map(|value| linear[(value.clamp(0.0, 1.0) * 255.0 + 0.5) as usize]).halved());
    light.pixels().map(lab).collect()
}

/// Returns the mean CIEDE2000: 0 for equal pictures, 100 for black against white.
pub(crate) fn mean_difference(a: &[[f32; 3]], b: &[[f32; 3]]) -> f32 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(ciede2000(*a, *b))).sum();
    (sum / a.len() as f64) as f32
}

/// Decodes an sRGB channel to linear light.
fn linear(value: f32) -> f32 {
    if value <= 0.04045 { value / 12.92 } else { libm::powf((value + 0.055) / 1.055, 2.4) }
}

/// Converts linear light, 0 to 1, to CIELAB.
fn lab([r, g, b]: [f32; 3]) -> [f32; 3] {
    let x = 0.412_456_4 * r + 0.357_576_1 * g + 0.180_437_5 * b;
    let y = 0.212_672_9 * r + 0.715_152_2 * g + 0.072_175 * b;
    let z = 0.019_333_9 * r + 0.119_192 * g + 0.950_304_1 * b;
    let f = |t: f32| if t > 216.0 / 24389.0 { libm::cbrtf(t) } else { (24389.0 / 27.0 * t + 16.0) / 116.0 };
    let (fx, fy, fz) = (f(x / 0.950_47), f(y), f(z / 1.088_83));
    [116.0 * fy - 16.0, 500.0 * (fx - fy), 200.0 * (fy - fz)]
}

/// Returns the difference of two colours in CIELAB.
fn ciede2000([l1, a1, b1]: [f32; 3], [l2, a2, b2]: [f32; 3]) -> f32 {
    let chroma = |a: f32, b: f32| (a * a + b * b).sqrt();
    let seventh = |c: f32| (power(c, 7) / (power(c, 7) + power(25.0, 7))).sqrt();
    let g = 0.5 * (1.0 - seventh((chroma(a1, b1) + chroma(a2, b2)) / 2.0));
    let (a1, a2) = (a1 * (1.0 + g), a2 * (1.0 + g));
    let (c1, c2) = (chroma(a1, b1), chroma(a2, b2));
    let hue = |a: f32, b: f32| if a == 0.0 && b == 0.0 { 0.0 } else { libm::atan2f(b, a).rem_euclid(TAU) };
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let gray = c1 * c2 == 0.0;
    let raw_hue_difference = h2 - h1;
    let hue_difference = match raw_hue_difference {
        _ if gray => 0.0,
        difference if difference > PI => difference - TAU,
        difference if difference < -PI => difference + TAU,
        difference => difference,
    };
    let (dl, dc, dh) = (l2 - l1, c2 - c1, 2.0 * (c1 * c2).sqrt() * libm::sinf(hue_difference / 2.0));
    let (l, c) = ((l1 + l2) / 2.0, (c1 + c2) / 2.0);
    let h = match h1 + h2 {
        sum if gray => sum,
        sum if raw_hue_difference.abs() <= PI => sum / 2.0,
        sum if sum < TAU => sum / 2.0 + PI,
        sum => sum / 2.0 - PI,
    };
    let cos = |times: f32, degrees: f32| libm::cosf(times * h + degrees.to_radians());
    let t = 1.0 - 0.17 * cos(1.0, -30.0) + 0.24 * cos(2.0, 0.0) + 0.32 * cos(3.0, 6.0) - 0.2 * cos(4.0, -63.0);
    let lightness_term = (l - 50.0) * (l - 50.0);
    let (sl, sc, sh) =
        (1.0 + 0.015 * lightness_term / (20.0 + lightness_term).sqrt(), 1.0 + 0.045 * c, 1.0 + 0.015 * c * t);
    let blue = (h.to_degrees() - 275.0) / 25.0;
    let rotation = -2.0 * seventh(c) * libm::sinf((60.0 * libm::expf(-blue * blue)).to_radians());
    let (l, c, h) = (dl / sl, dc / sc, dh / sh);
    (l * l + c * c + h * h + rotation * c * h).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some of the pairs in table 1 of Sharma, Wu and Dalal, which cover each discontinuity.
    const PAIRS: [([f32; 3], [f32; 3], f32); 10] = [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, -1.3802, -84.2814], [50.0, 0.0, -82.7485], 1.0),
        ([50.0, 0.0, 0.0], [50.0, -1.0, 2.0], 2.3669),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0009], 7.1792),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0011], 7.2195),
        ([50.0, 2.5, 0.0], [73.0, 25.0, -18.0], 27.1492),
        ([50.0, 2.5, 0.0], [58.0, 24.0, 15.0], 19.4535),
        ([60.2574, -34.0099, 36.2677], [60.4626, -34.1751, 39.4387], 1.2644),
        ([22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619], 2.0373),
        ([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082),
    ];

    #[test]
    fn ciede2000_agrees_with_the_published_table() {
        for (a, b, difference) in PAIRS {
            assert!((ciede2000(a, b) - difference).abs() < 2e-4, "{a:?} {b:?}: {}", ciede2000(a, b));
            assert!((ciede2000(b, a) - difference).abs() < 2e-4, "{b:?} {a:?}: {}", ciede2000(b, a));
        }
    }

    #[test]
    fn lab_of_primaries_agrees_with_known_values() {
        for (pixel, expected) in [
            ([1.0, 1.0, 1.0], [100.0, 0.0, 0.0]),
            ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
            ([1.0, 0.0, 0.0], [53.2408, 80.0925, 67.2032]),
            ([0.0, 0.0, 1.0], [32.297, 79.1875, -107.8602]),
        ] {
            let found = lab(pixel.map(linear));
            let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.02);
            assert!(near, "{pixel:?}: {found:?}");
        }
    }
}
