//! Filters over a plane. Windows are cut off at the border (means and minima are of what is inside), so that no border
//! stands out.

use crate::plane::Plane;

/// Means over squares of `2 radius + 1`.
pub(crate) fn box_mean(plane: &Plane, radius: usize) -> Plane {
    by_columns(&rows(plane, |row, out| running_mean(row, radius, out)), |column, out| running_mean(column, radius, out))
}

/// Minima over squares of `2 radius + 1`.
pub(crate) fn minimum(plane: &Plane, radius: usize) -> Plane {
    let least = |line: &[f32], out: &mut [f32]| {
        for (at, out) in out.iter_mut().enumerate() {
            let window = &line[at.saturating_sub(radius)..(at + radius + 1).min(line.len())];
            *out = window.iter().copied().fold(f32::INFINITY, f32::min);
        }
    };
    by_columns(&rows(plane, least), least)
}

/// A Gaussian of this deviation in pixels, cut off at three deviations.
pub(crate) fn gaussian(plane: &Plane, sigma: f32) -> Plane {
    let kernel = gaussian_kernel(sigma, (3.0 * sigma).ceil().max(1.0) as usize);
    let radius = kernel.len() / 2;
    let smooth = |line: &[f32], out: &mut [f32]| {
        for (at, out) in out.iter_mut().enumerate() {
            let first = at.saturating_sub(radius);
            let window = &line[first..(at + radius + 1).min(line.len())];
            let weights = &kernel[first + radius - at..][..window.len()];
            let (sum, weight) =
                window.iter().zip(weights).fold((0.0, 0.0), |(s, w), (value, weight)| (s + value * weight, w + weight));
            *out = sum / weight;
        }
    };
    by_columns(&rows(plane, smooth), smooth)
}

/// Three box means: close to a Gaussian, at a cost that does not grow with the deviation.
pub(crate) fn wide_gaussian(plane: &Plane, sigma: f32) -> Plane {
    // The variance of a box is ((2 r + 1)^2 - 1) / 12; three of them add up.
    let radius = (((4.0 * sigma * sigma + 1.0).sqrt() - 1.0) / 2.0).round() as usize;
    box_mean(&box_mean(&box_mean(plane, radius), radius), radius)
}

/// `2 radius + 1` weights that sum to 1.
pub(crate) fn gaussian_kernel(sigma: f32, radius: usize) -> Vec<f32> {
    let weight = |at: usize| {
        let x = at as f32 - radius as f32;
        libm::expf(-x * x / (2.0 * sigma * sigma))
    };
    let weights: Vec<f32> = (0..=2 * radius).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The guided filter (He, Sun, Tang 2013) with a gray guide: `plane` smoothed, with the edges of `guide`.
pub(crate) fn guided(guide: &Plane, plane: &Plane, radius: usize, epsilon: f32) -> Plane {
    let mean = |plane: &Plane| box_mean(plane, radius);
    let (mean_i, mean_p) = (mean(guide), mean(plane));
    let covariance = mean(&guide.zip(plane, |i, p| i * p)).zip(&mean_i.zip(&mean_p, |i, p| i * p), |ip, m| ip - m);
    let variance = mean(&guide.map(|i| i * i)).zip(&mean_i, |ii, i| ii - i * i);
    let a = covariance.zip(&variance, |c, v| c / (v + epsilon));
    let b = mean_p.zip(&a.zip(&mean_i, |a, i| a * i), |p, ai| p - ai);
    mean(&a).zip(guide, |a, i| a * i).zip(&mean(&b), |ai, b| ai + b)
}

fn running_mean(line: &[f32], radius: usize, out: &mut [f32]) {
    // In f64, so that what has left the window leaves no trace.
    let mut sum: f64 = line.iter().take(radius).map(|&value| f64::from(value)).sum();
    for (at, out) in out.iter_mut().enumerate() {
        if let Some(&enters) = line.get(at + radius) {
            sum += f64::from(enters);
        }
        if let Some(left) = at.checked_sub(radius + 1) {
            sum -= f64::from(line[left]);
        }
        let count = (at + radius + 1).min(line.len()) - at.saturating_sub(radius);
        *out = (sum / count as f64) as f32;
    }
}

fn rows(plane: &Plane, filter: impl Fn(&[f32], &mut [f32])) -> Plane {
    let mut out = Plane::filled(plane.width, plane.height, 0.0);
    for (row, out) in plane.data.chunks_exact(plane.width).zip(out.data.chunks_exact_mut(plane.width)) {
        filter(row, out);
    }
    out
}

fn by_columns(plane: &Plane, filter: impl Fn(&[f32], &mut [f32])) -> Plane {
    transposed(&rows(&transposed(plane), filter))
}

fn transposed(plane: &Plane) -> Plane {
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
    use crate::random::Stream;

    fn picture(seed: u64, width: usize, height: usize) -> Plane {
        Stream::new(seed, 0, "test").grain(width, height, 1.0)
    }

    /// Over what of the square around each place is inside.
    fn plainly(plane: &Plane, radius: usize, of: impl Fn(&[f32]) -> f32) -> Plane {
        Plane::from_fn(plane.width, plane.height, |x, y| {
            let columns = x.saturating_sub(radius)..(x + radius + 1).min(plane.width);
            let rows = y.saturating_sub(radius)..(y + radius + 1).min(plane.height);
            let values: Vec<f32> =
                rows.flat_map(|y| columns.clone().map(move |x| plane.data[y * plane.width + x])).collect();
            of(&values)
        })
    }

    fn apart(a: &Plane, b: &Plane) -> f32 {
        a.zip(b, |a, b| (a - b).abs()).data.into_iter().fold(0.0, f32::max)
    }

    proptest! {
        #[test]
        fn windows_are_those_of_the_definition(seed: u64, width in 1_usize..30, height in 1_usize..30, radius in 0_usize..12) {
            let plane = picture(seed, width, height);
            let mean = plainly(&plane, radius, |values| values.iter().sum::<f32>() / values.len() as f32);
            prop_assert!(apart(&box_mean(&plane, radius), &mean) < 1e-5);
            let least = plainly(&plane, radius, |values| values.iter().copied().fold(f32::INFINITY, f32::min));
            prop_assert_eq!(minimum(&plane, radius), least);
        }

        #[test]
        fn flat_areas_stay_flat(value in -1.0_f32..1.0, sigma in 0.3_f32..9.0) {
            let flat = Plane::filled(20, 15, value);
            prop_assert!(apart(&gaussian(&flat, sigma), &flat) < 1e-5);
            prop_assert!(apart(&wide_gaussian(&flat, sigma), &flat) < 1e-5);
            prop_assert!(apart(&guided(&picture(1, 20, 15), &flat, 4, 1e-3), &flat) < 1e-4);
        }

        #[test]
        fn a_guide_that_is_the_plane_keeps_it(seed: u64) {
            let plane = picture(seed, 24, 24);
            prop_assert!(apart(&guided(&plane, &plane, 4, 1e-6), &plane) < 1e-3);
        }
    }

    #[test]
    fn three_boxes_are_as_wide_as_the_gaussian() {
        let mut point = Plane::filled(101, 101, 0.0);
        point.data[50 * 101 + 50] = 1.0;
        let spread = |plane: &Plane| -> f32 {
            plane.data.iter().enumerate().map(|(at, value)| value * ((at % 101) as f32 - 50.0).powi(2)).sum()
        };
        // A variance that boxes of whole pixels have.
        let sigma = 30.0_f32.sqrt();
        assert!((spread(&gaussian(&point, sigma)) - 30.0).abs() < 1.5);
        assert!((spread(&wide_gaussian(&point, sigma)) - 30.0).abs() < 0.01);
    }
}
