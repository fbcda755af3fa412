//! Filters over a plane. Windows are cut off at the border (means and minima are over the part inside), so that borders
//! do not stand out.

use crate::pixels::Plane;

/// Returns the mean of the square of side `2 radius + 1` around each pixel.
pub(crate) fn box_mean(plane: &Plane, radius: usize) -> Plane {
    let mean = |line: &[f32], out: &mut [f32]| running_mean(line, radius, out);
    filter_columns(&filter_rows(plane, mean), mean)
}

/// Returns the minimum of the square of side `2 radius + 1` around each pixel.
pub(crate) fn minimum(plane: &Plane, radius: usize) -> Plane {
    let minimum = |line: &[f32], out: &mut [f32]| {
        for (index, out) in out.iter_mut().enumerate() {
            let window = &line[index.saturating_sub(radius)..(index + radius + 1).min(line.len())];
            *out = window.iter().copied().fold(f32::INFINITY, f32::min);
        }
    };
    filter_columns(&filter_rows(plane, minimum), minimum)
}

/// Blurs by a Gaussian of standard deviation `sigma` in pixels, cut off at three standard deviations.
pub(crate) fn gaussian(plane: &Plane, sigma: f32) -> Plane {
    let kernel = gaussian_kernel(sigma, (3.0 * sigma).ceil().max(1.0) as usize);
    let radius = kernel.len() / 2;
    let smooth = |line: &[f32], out: &mut [f32]| {
        for (index, out) in out.iter_mut().enumerate() {
            let first = index.saturating_sub(radius);
            let window = &line[first..(index + radius + 1).min(line.len())];
            let weights = &kernel[first + radius - index..][..window.len()];
            let (sum, weight) =
                window.iter().zip(weights).fold((0.0, 0.0), |(s, w), (value, weight)| (s + value * weight, w + weight));
            *out = sum / weight;
        }
    };
    filter_columns(&filter_rows(plane, smooth), smooth)
}

/// Blurs by three box means, which approximate a Gaussian in a time that does not grow with `sigma`.
pub(crate) fn wide_gaussian(plane: &Plane, sigma: f32) -> Plane {
    // The variance of a box is ((2 r + 1)^2 - 1) / 12, and those of three boxes add up.
    let radius = (((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0).round() as usize;
    box_mean(&box_mean(&box_mean(plane, radius), radius), radius)
}

/// Returns the `2 radius + 1` weights of a Gaussian, which sum to 1.
pub(crate) fn gaussian_kernel(sigma: f32, radius: usize) -> Vec<f32> {
    let weight = |index: usize| {
        let x = index as f32 - radius as f32;
        libm::expf(-x * x / (2.0 * sigma * sigma))
    };
    let weights: Vec<f32> = (0..=2 * radius).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Smooths `plane` but keeps the edges of `guide`: the guided filter (He, Sun, Tang 2013) with a gray guide.
pub(crate) fn guided_filter(guide: &Plane, plane: &Plane, radius: usize, epsilon: f32) -> Plane {
    let mean = |plane: &Plane| box_mean(plane, radius);
    let (mean_i, mean_p) = (mean(guide), mean(plane));
    let covariance = mean(&guide.zip(plane, |i, p| i * p)).zip(&mean_i.zip(&mean_p, |i, p| i * p), |ip, m| ip - m);
    let variance = mean(&guide.map(|i| i * i)).zip(&mean_i, |ii, i| ii - i * i);
    let a = covariance.zip(&variance, |c, v| c / (v + epsilon));
    let b = mean_p.zip(&a.zip(&mean_i, |a, i| a * i), |p, ai| p - ai);
    mean(&a).zip(guide, |a, i| a * i).zip(&mean(&b), |ai, b| ai + b)
}

fn running_mean(line: &[f32], radius: usize, out: &mut [f32]) {
    // In f64, so that rounding errors of values that left the window do not accumulate.
    let mut sum: f64 = line.iter().take(radius).map(|&value| f64::from(value)).sum();
    for (index, out) in out.iter_mut().enumerate() {
        if let Some(&entering) = line.get(index + radius) {
            sum += f64::from(entering);
        }
        if let Some(leaving) = index.checked_sub(radius + 1) {
            sum -= f64::from(line[leaving]);
        }
        let count = (index + radius + 1).min(line.len()) - index.saturating_sub(radius);
        *out = (sum / count as f64) as f32;
    }
}

fn filter_rows(plane: &Plane, filter: impl Fn(&[f32], &mut [f32])) -> Plane {
    let mut out = Plane::filled(plane.width, plane.height, 0.0);
    for (row, out) in plane.data.chunks_exact(plane.width).zip(out.data.chunks_exact_mut(plane.width)) {
        filter(row, out);
    }
    out
}

fn filter_columns(plane: &Plane, filter: impl Fn(&[f32], &mut [f32])) -> Plane {
    transpose(&filter_rows(&transpose(plane), filter))
}

fn transpose(plane: &Plane) -> Plane {
    let mut data = Vec::with_capacity(plane.data.len());
    for x in 0..plane.width {
        data.extend(plane.data[x..].iter().step_by(plane.width));
    }
    Plane { width: plane.height, height: plane.width, data }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::SceneRng;

    fn picture(seed: u64, width: usize, height: usize) -> Plane {
        SceneRng::new(seed, 0, "test").gaussian_noise(width, height, 1.0)
    }

    /// Applies `filter` to the part inside the plane of the square around each pixel.
    fn by_definition(plane: &Plane, radius: usize, filter: impl Fn(&[f32]) -> f32) -> Plane {
        Plane::from_fn(plane.width, plane.height, |x, y| {
            let columns = x.saturating_sub(radius)..(x + radius + 1).min(plane.width);
            let rows = y.saturating_sub(radius)..(y + radius + 1).min(plane.height);
            let values: Vec<f32> =
                rows.flat_map(|y| columns.clone().map(move |x| plane.data[y * plane.width + x])).collect();
            filter(&values)
        })
    }

    fn difference_max(a: &Plane, b: &Plane) -> f32 {
        a.zip(b, |a, b| (a - b).abs()).data.into_iter().fold(0.0, f32::max)
    }

    proptest! {
        #[test]
        fn windows_follow_the_definition(seed: u64, width in 1_usize..30, height in 1_usize..30, radius in 0_usize..12) {
            let plane = picture(seed, width, height);
            let mean = by_definition(&plane, radius, |values| values.iter().sum::<f32>() / values.len() as f32);
            prop_assert!(difference_max(&box_mean(&plane, radius), &mean) < 1e-5);
            let minimum_expected = by_definition(&plane, radius, |values| values.iter().copied().fold(f32::INFINITY, f32::min));
            prop_assert_eq!(minimum(&plane, radius), minimum_expected);
        }

        #[test]
        fn flat_areas_stay_flat(value in -1.0_f32..1.0, sigma in 0.3_f32..9.0) {
            let flat = Plane::filled(20, 15, value);
            prop_assert!(difference_max(&gaussian(&flat, sigma), &flat) < 1e-5);
            prop_assert!(difference_max(&wide_gaussian(&flat, sigma), &flat) < 1e-5);
            prop_assert!(difference_max(&guided_filter(&picture(1, 20, 15), &flat, 4, 1e-3), &flat) < 1e-4);
        }

        #[test]
        fn a_plane_guided_by_itself_is_unchanged(seed: u64) {
            let plane = picture(seed, 24, 24);
            prop_assert!(difference_max(&guided_filter(&plane, &plane, 4, 1e-6), &plane) < 1e-3);
        }
    }

    #[test]
    fn three_boxes_have_the_variance_of_the_gaussian() {
        let mut point = Plane::filled(101, 101, 0.0);
        point.data[50 * 101 + 50] = 1.0;
        let spread = |plane: &Plane| -> f32 {
            plane.data.iter().enumerate().map(|(index, value)| value * ((index % 101) as f32 - 50.0).powi(2)).sum()
        };
        // Boxes of whole pixels can have this variance.
        let sigma = 30.0_f32.sqrt();
        assert!((spread(&gaussian(&point, sigma)) - 30.0).abs() < 1.5);
        assert!((spread(&wide_gaussian(&point, sigma)) - 30.0).abs() < 0.01);
    }
}
