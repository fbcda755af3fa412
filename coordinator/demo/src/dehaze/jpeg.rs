//! The artefacts of JPEG's coarse quantisation: blocks of 8 x 8 pixels in luma, and in colour differences at half the
//! resolution. No file is encoded.

use std::f32::consts::PI;

use crate::pixels::{Plane, Rgb};

/// The quantisation tables of the standard for quality 50.
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

/// Returns the picture as if it were compressed and decompressed at this quality, 1 to 50.
pub(super) fn compress(picture: &Rgb, quality: f32) -> Rgb {
    let picture = picture.quantised();
    let y = quantise_blocks(&picture.luma(), &LUMA, quality);
    let colour_difference = |weight: fn([f32; 3]) -> f32| {
        let coarse = quantise_blocks(&picture.to_plane(weight).halved(), &CHROMA, quality);
        Plane::from_fn(y.width, y.height, |column, row| {
            coarse.data[(row / 2).min(coarse.height - 1) * coarse.width + (column / 2).min(coarse.width - 1)]
        })
    };
    let cb = colour_difference(|[r, g, b]| -0.168_736 * r - 0.331_264 * g + 0.5 * b);
    let cr = colour_difference(|[r, g, b]| 0.5 * r - 0.418_688 * g - 0.081_312 * b);
    let pixels = y.data.iter().zip(&cb.data).zip(&cr.data);
    let pixels = pixels.map(|((y, cb), cr)| [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]);
    Rgb::from_pixels(y.width, y.height, pixels)
}

/// Rounds the cosine coefficients of each block to multiples of the table's steps. Blocks at the border repeat the last
/// pixel.
fn quantise_blocks(plane: &Plane, table: &[u16; 64], quality: f32) -> Plane {
    let basis = dct_basis();
    let mut out = Plane::filled(plane.width, plane.height, 0.0);
    for top in (0..plane.height).step_by(8) {
        for left in (0..plane.width).step_by(8) {
            let mut block = [0.0; 64];
            for (index, value) in block.iter_mut().enumerate() {
                let (x, y) = ((left + index % 8).min(plane.width - 1), (top + index / 8).min(plane.height - 1));
                *value = plane.data[y * plane.width + x] * 255.0 - 128.0;
            }
            // Transforms the columns, then the rows: each product is transposed.
            let mut coefficients = multiply_transposed(&basis, &multiply_transposed(&basis, &block, false), false);
            for (value, step) in coefficients.iter_mut().zip(table) {
                let step = (f32::from(*step) * 50.0 / quality).max(1.0);
                *value = (*value / step).round() * step;
            }
            let block = multiply_transposed(&basis, &multiply_transposed(&basis, &coefficients, true), true);
            for (index, value) in block.iter().enumerate() {
                let (x, y) = (left + index % 8, top + index / 8);
                if x < plane.width && y < plane.height {
                    out.data[y * plane.width + x] = (value + 128.0) / 255.0;
                }
            }
        }
    }
    out
}

/// Returns the orthonormal basis of the discrete cosine transform, (frequencies, positions).
fn dct_basis() -> [f32; 64] {
    let mut basis = [0.0; 64];
    for (index, value) in basis.iter_mut().enumerate() {
        let (frequency, position) = ((index / 8) as f32, (index % 8) as f32);
        let scale = if index < 8 { 0.125_f32.sqrt() } else { 0.5 };
        *value = scale * libm::cosf((2.0 * position + 1.0) * frequency * PI / 16.0);
    }
    basis
}

/// Returns (B M)ᵀ; if `inverse`, (Bᵀ M)ᵀ.
fn multiply_transposed(basis: &[f32; 64], block: &[f32; 64], inverse: bool) -> [f32; 64] {
    let mut out = [0.0; 64];
    for row in 0..8 {
        for column in 0..8 {
            let weight = |k: usize| if inverse { basis[k * 8 + row] } else { basis[row * 8 + k] };
            out[column * 8 + row] = (0..8).map(|k| weight(k) * block[k * 8 + column]).sum();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SceneRng;

    #[test]
    fn the_basis_is_orthonormal() {
        let basis = dct_basis();
        for (row, column) in (0..64).map(|index| (index / 8, index % 8)) {
            let product: f32 = (0..8).map(|k| basis[row * 8 + k] * basis[column * 8 + k]).sum();
            assert!((product - f32::from(row == column)).abs() < 1e-6, "{row} {column}: {product}");
        }
    }

    /// The steps are at least 1 of 255, so some loss always remains.
    #[test]
    fn fine_steps_lose_little_and_coarse_ones_more() {
        let plane = SceneRng::new(1, 0, "test").gaussian_noise(21, 13, 0.2).map(|value| value + 0.5);
        let loss =
            |quality: f32| quantise_blocks(&plane, &LUMA, quality).zip(&plane, |a, b| (a - b).abs()).mean() * 255.0;
        assert!(loss(1e4) < 0.5, "{}", loss(1e4));
        assert!(loss(5.0) > 2.0 * loss(50.0), "{} {}", loss(5.0), loss(50.0));
    }
}
