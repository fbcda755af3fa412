//! Structural similarity of luma (Wang, Bovik, Sheikh, Simoncelli 2004) at five scales (Wang, Simoncelli, Bovik 2003).
//! Luma is 0 to 1. Windows are Gaussian, 11 x 11, with a standard deviation of 1.5, and lie within the picture.

use crate::filters::gaussian_kernel;
use crate::pixels::Plane;

/// The smallest side in pixels whose fifth scale contains a window.
pub(crate) const SIDE_MIN: usize = 176;

const RADIUS: usize = 5;
const C1: f32 = 0.01 * 0.01;
const C2: f32 = 0.03 * 0.03;
/// The authors' weights of the scales, fine to coarse.
const WEIGHTS: [f32; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// A picture's part of the comparison at five scales.
pub(crate) struct SsimScales(Vec<Scale>);

struct Scale {
    plane: Plane,
    /// The window means of the values.
    mean: Plane,
    /// The window means of the squared values.
    square: Plane,
}

impl Scale {
    fn new(plane: Plane) -> Scale {
        Scale { mean: window_means(&plane), square: window_means(&plane.map(|value| value * value)), plane }
    }

    /// Returns the mean SSIM, and the mean of its contrast and structure terms alone.
    fn compare(&self, other: &Scale) -> (f32, f32) {
        let product = window_means(&self.plane.zip(&other.plane, |x, y| x * y));
        let (mut ssim, mut structure) = (0.0, 0.0);
        for (index, xy) in product.data.iter().enumerate() {
            let (x, y) = (self.mean.data[index], other.mean.data[index]);
            let (vx, vy, covariance) = (self.square.data[index] - x * x, other.square.data[index] - y * y, xy - x * y);
            let s = (2.0 * covariance + C2) / (vx + vy + C2);
            structure += f64::from(s);
            ssim += f64::from(s * (2.0 * x * y + C1) / (x * x + y * y + C1));
        }
        let count = product.data.len() as f64;
        ((ssim / count) as f32, (structure / count) as f32)
    }
}

impl SsimScales {
    /// Prepares a luma plane whose sides are at least [`SIDE_MIN`].
    pub(crate) fn new(luma: &Plane) -> SsimScales {
        let coarser = |plane: &Plane| Some(plane.halved());
        SsimScales(std::iter::successors(Some(luma.clone()), coarser).take(WEIGHTS.len()).map(Scale::new).collect())
    }

    /// Returns MS-SSIM: contrast and structure at each scale, luminance at the coarsest. It is 1 for equal pictures and at
    /// least 0.
    pub(crate) fn compare(&self, other: &SsimScales) -> f32 {
        let scales = self.0.iter().zip(&other.0).zip(WEIGHTS).enumerate();
        scales.fold(1.0, |product, (scale, ((a, b), weight))| {
            let (ssim, structure) = a.compare(b);
            let value = if scale + 1 == WEIGHTS.len() { ssim } else { structure };
            product * libm::powf(value.max(0.0), weight)
        })
    }
}

/// Returns the window means where the window lies within the plane.
fn window_means(plane: &Plane) -> Plane {
    let kernel = gaussian_kernel(1.5, RADIUS);
    let (width, height) = (plane.width - 2 * RADIUS, plane.height - 2 * RADIUS);
    let mut row_means = Plane::filled(width, plane.height, 0.0);
    for (row, out) in plane.data.chunks_exact(plane.width).zip(row_means.data.chunks_exact_mut(width)) {
        for (index, out) in out.iter_mut().enumerate() {
            *out = row[index..].iter().zip(&kernel).map(|(value, weight)| value * weight).sum();
        }
    }
    let mut means = Plane::filled(width, height, 0.0);
    for (y, out) in means.data.chunks_exact_mut(width).enumerate() {
        for (dy, weight) in kernel.iter().enumerate() {
            for (out, value) in out.iter_mut().zip(&row_means.data[(y + dy) * width..]) {
                *out += value * weight;
            }
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::super::tests::waves;
    use super::*;

    #[test]
    fn ssim_agrees_with_numpy() {
        let (a, b) = waves();
        let (ssim, structure) = Scale::new(a.clone()).compare(&Scale::new(b.clone()));
        assert!((ssim - 0.825_277).abs() < 1e-4, "{ssim}");
        assert!((structure - 0.852_625).abs() < 1e-4, "{structure}");
        let multi_scale = SsimScales::new(&a).compare(&SsimScales::new(&b));
        assert!((multi_scale - 0.868_931).abs() < 1e-4, "{multi_scale}");
    }
}
