//! Structural similarity of luma (Wang, Bovik, Sheikh, Simoncelli 2004), and over five scales (Wang, Simoncelli, Bovik 2003).
//! Luma is 0 to 1. Windows are Gaussian, 11 x 11, deviation 1.5, and lie within the picture.

use crate::filters::gaussian_kernel;
use crate::plane::Plane;

/// The least side whose fifth scale holds a window.
pub(crate) const SIDE_MIN: usize = 176;

const RADIUS: usize = 5;
const C1: f32 = 0.01 * 0.01;
const C2: f32 = 0.03 * 0.03;
/// The authors' weights of scales, fine to coarse.
const WEIGHTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// One picture's part of the comparison, at five scales.
pub(crate) struct Scales(Vec<Scale>);

struct Scale {
    plane: Plane,
    /// By the window, of values and of their squares.
    mean: Plane,
    square: Plane,
}

impl Scale {
    fn new(plane: Plane) -> Scale {
        Scale { mean: within(&plane), square: within(&plane.map(|value| value * value)), plane }
    }

    /// The mean SSIM, and the mean of its contrast and structure alone.
    fn compare(&self, other: &Scale) -> (f32, f32) {
        let product = within(&self.plane.zip(&other.plane, |x, y| x * y));
        let (mut whole, mut structure) = (0.0, 0.0);
        for (at, xy) in product.data.iter().enumerate() {
            let (x, y) = (self.mean.data[at], other.mean.data[at]);
            let (vx, vy, covariance) = (self.square.data[at] - x * x, other.square.data[at] - y * y, xy - x * y);
            let s = (2.0 * covariance + C2) / (vx + vy + C2);
            structure += f64::from(s);
            whole += f64::from(s * (2.0 * x * y + C1) / (x * x + y * y + C1));
        }
        let count = product.data.len() as f64;
        ((whole / count) as f32, (structure / count) as f32)
    }
}

impl Scales {
    /// Of a luma whose sides are [`SIDE_MIN`] at least.
    pub(crate) fn new(luma: &Plane) -> Scales {
        let coarser = |plane: &Plane| Some(plane.halved());
        Scales(std::iter::successors(Some(luma.clone()), coarser).take(WEIGHTS.len()).map(Scale::new).collect())
    }

    /// Contrast and structure of each scale, luminance of the coarsest. 1 for equal pictures; 0 at least.
    pub(crate) fn compare(&self, other: &Scales) -> f32 {
        let scales = self.0.iter().zip(&other.0).zip(WEIGHTS).enumerate();
        scales.fold(1.0, |product, (scale, ((a, b), weight))| {
            let (whole, structure) = a.compare(b);
            let value = if scale + 1 == WEIGHTS.len() { whole } else { structure };
            product * libm::powf(value.max(0.0), weight)
        })
    }
}

/// Means by the window, where it lies within.
fn within(plane: &Plane) -> Plane {
    let kernel = gaussian_kernel(1.5, RADIUS);
    let (width, height) = (plane.width - 2 * RADIUS, plane.height - 2 * RADIUS);
    let mut across = Plane::filled(width, plane.height, 0.0);
    for (row, out) in plane.data.chunks_exact(plane.width).zip(across.data.chunks_exact_mut(width)) {
        for (at, out) in out.iter_mut().enumerate() {
            *out = row[at..].iter().zip(&kernel).map(|(value, weight)| value * weight).sum();
        }
    }
    let mut both = Plane::filled(width, height, 0.0);
    for (y, out) in both.data.chunks_exact_mut(width).enumerate() {
        for (dy, weight) in kernel.iter().enumerate() {
            for (out, value) in out.iter_mut().zip(&across.data[(y + dy) * width..]) {
                *out += value * weight;
            }
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::super::tests::waves;
    use super::*;

    #[test]
    fn as_by_numpy() {
        let (a, b) = waves();
        let (whole, structure) = Scale::new(a.clone()).compare(&Scale::new(b.clone()));
        assert!((whole - 0.825_277).abs() < 1e-4, "{whole}");
        assert!((structure - 0.852_625).abs() < 1e-4, "{structure}");
        let multi_scale = Scales::new(&a).compare(&Scales::new(&b));
        assert!((multi_scale - 0.868_931).abs() < 1e-4, "{multi_scale}");
    }
}
