//! What JPEG's coarse quantisation does to a picture: blocks of 8 x 8, in luma and in colour differences at half the
//! resolution. No file is made.

use std::f32::consts::PI;

use crate::plane::{Plane, Rgb};

/// The standard's tables for quality 50.
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
];
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
];

/// The picture as a file of this quality (1 to 50) holds it.
pub(super) fn jpeg(picture: &Rgb, quality: f32) -> Rgb {
    let picture = picture.quantised();
    let y = quantised(&picture.luma(), &LUMA, quality);
    let difference = |weight: fn([f32; 3]) -> f32| {
        let coarse = quantised(&picture.to_plane(weight).halved(), &CHROMA, quality);
        Plane::from_fn(y.width, y.height, |x, at| {
            coarse.data[(at / 2).min(coarse.height - 1) * coarse.width + (x / 2).min(coarse.width - 1)]
        })
    };
    let cb = difference(|[r, g, b]| -0.168_736 * r - 0.331_264 * g + 0.5 * b);
    let cr = difference(|[r, g, b]| 0.5 * r - 0.418_688 * g - 0.081_312 * b);
    let pixels = y.data.iter().zip(&cb.data).zip(&cr.data);
    let pixels = pixels.map(|((y, cb), cr)| [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]);
    Rgb::from_pixels(y.width, y.height, pixels)
}

/// Each block's cosine coefficients rounded to steps of the table. Blocks at the border repeat the last pixel.
fn quantised(plane: &Plane, table: &[u16; 64], quality: f32) -> Plane {
    let basis = basis();
    let mut out = Plane::filled(plane.width, plane.height, 0.0);
    for top in (0..plane.height).step_by(8) {
        for left in (0..plane.width).step_by(8) {
            let mut block = [0.0; 64];
            for (at, value) in block.iter_mut().enumerate() {
                let (x, y) = ((left + at % 8).min(plane.width - 1), (top + at / 8).min(plane.height - 1));
                *value = plane.data[y * plane.width + x] * 255.0 - 128.0;
            }
            // A column's cosines, then a row's: transposed twice.
            let mut coefficients = times(&basis, &times(&basis, &block, false), false);
            for (value, step) in coefficients.iter_mut().zip(table) {
                let step = (f32::from(*step) * 50.0 / quality).max(1.0);
                *value = (*value / step).round() * step;
            }
            let block = times(&basis, &times(&basis, &coefficients, true), true);
            for (at, value) in block.iter().enumerate() {
                let (x, y) = (left + at % 8, top + at / 8);
                if x < plane.width && y < plane.height {
                    out.data[y * plane.width + x] = (value + 128.0) / 255.0;
                }
            }
        }
    }
    out
}

/// Rows are frequencies, columns places; orthonormal.
fn basis() -> [f32; 64] {
    let mut basis = [0.0; 64];
    for (at, value) in basis.iter_mut().enumerate() {
        let (frequency, place) = ((at / 8) as f32, (at % 8) as f32);
        let scale = if at < 8 { 0.125_f32.sqrt() } else { 0.5 };
        *value = scale * libm::cosf((2.0 * place + 1.0) * frequency * PI / 16.0);
    }
    basis
}

/// (B M)ᵀ, or with B transposed.
fn times(basis: &[f32; 64], block: &[f32; 64], transposed: bool) -> [f32; 64] {
    let mut out = [0.0; 64];
    for row in 0..8 {
        for column in 0..8 {
            let of = |k: usize| if transposed { basis[k * 8 + row] } else { basis[row * 8 + k] };
            out[column * 8 + row] = (0..8).map(|k| of(k) * block[k * 8 + column]).sum();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn the_basis_is_orthonormal() {
        let basis = basis();
        for (row, column) in (0..64).map(|at| (at / 8, at % 8)) {
            let product: f32 = (0..8).map(|k| basis[row * 8 + k] * basis[column * 8 + k]).sum();
            assert!((product - f32::from(row == column)).abs() < 1e-6, "{row} {column}: {product}");
        }
    }

    /// The steps are at least 1 of 255, so this is the least that is lost.
    #[test]
    fn fine_steps_lose_little_and_coarse_ones_more() {
        let plane = Stream::new(1, 0, "test").grain(21, 13, 0.2).map(|value| value + 0.5);
        let lost = |quality: f32| quantised(&plane, &LUMA, quality).zip(&plane, |a, b| (a - b).abs()).mean() * 255.0;
        assert!(lost(1e4) < 0.5, "{}", lost(1e4));
        assert!(lost(5.0) > 2.0 * lost(50.0), "{} {}", lost(5.0), lost(50.0));
    }
}
