//! Fits of generalised Gaussian distributions by moments (GGD and AGGD of the BRISQUE and NIQE releases). The shape lies on
//! a grid of 0.001. Owns the table of its gamma functions, and sums values in an order that is fixed.

use std::sync::LazyLock;

use crate::plane::sum;

/// Number of partial sums: a row of a block of NIQE. Fewer would be kept in registers, but the compiler then unrolls the
/// loop over them and does not vectorise it.
const LANES: usize = 96;

/// A shape and what depends on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The exponent, 0.2 to 10.
    pub(crate) alpha: f64,
    /// `E|x|² / E x²` = `Γ(2/α)² / (Γ(1/α) Γ(3/α))`, which increases with the exponent.
    moment_ratio: f64,
    /// `sqrt(Γ(1/α) / Γ(3/α))`: scale by standard deviation.
    pub(crate) scale: f64,
    /// `Γ(2/α) / Γ(1/α)`: mean absolute value by scale.
    pub(crate) mean: f64,
}

/// The shapes 0.2, 0.201, .. 10.
static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| (0..=9800).map(Shape::of_step).collect());

impl Shape {
    fn of_step(step: u32) -> Self {
        let alpha = 0.2 + 0.001 * f64::from(step);
        let [first, second, third] = [1.0, 2.0, 3.0].map(|multiple| libm::tgamma(multiple / alpha));
        Self {
            alpha,
            moment_ratio: second * second / (first * third),
            scale: (first / third).sqrt(),
            mean: second / first,
        }
    }

    /// Returns the first shape whose measure is nearest to `target`. The measure increases along the table.
    fn nearest(target: f64, measure: impl Fn(&Self) -> f64) -> Self {
        // As in the releases, where no shape is the nearest to infinity or NaN.
        if !target.is_finite() {
            return SHAPES[0];
        }
        let above = SHAPES.partition_point(|shape| measure(shape) < target).min(SHAPES.len() - 1);
        let below = above.saturating_sub(1);
        let distance = |place: usize| (measure(&SHAPES[place]) - target).abs();
        if distance(below) <= distance(above) { SHAPES[below] } else { SHAPES[above] }
    }
}

/// Sums of the values of a distribution and of their squares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    count: f64,
    negative: [u64; LANES],
    positive: [u64; LANES],
    negative_squares: [f64; LANES],
    positive_squares: [f64; LANES],
    absolute: [f64; LANES],
}

/// An asymmetric distribution: deviations of the values below and above zero, NaN where there are none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asymmetric {
    pub(crate) shape: Shape,
    pub(crate) left: f64,
    pub(crate) right: f64,
}

impl Default for Moments {
    fn default() -> Self {
        let [negative, positive] = [[0; LANES]; 2];
        let [negative_squares, positive_squares, absolute] = [[0.0; LANES]; 3];
        Self { count: 0.0, negative, positive, negative_squares, positive_squares, absolute }
    }
}

impl Moments {
    /// Adds the products of two rows of values.
    #[inline(always)]
    pub(crate) fn add_products(&mut self, a: &[f64], b: &[f64]) {
        self.count += a.len() as f64;
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for (lane, (a, b)) in a.iter().zip(b).enumerate() {
                self.add(lane, a * b);
            }
        }
    }

    /// Adds a row of values.
    #[inline(always)]
    pub(crate) fn add_values(&mut self, values: &[f64]) {
        self.count += values.len() as f64;
        for values in values.chunks(LANES) {
            for (lane, value) in values.iter().enumerate() {
                self.add(lane, *value);
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, value: f64) {
        let below = if value < 0.0 { value } else { 0.0 };
        let above = if value > 0.0 { value } else { 0.0 };
        self.negative[lane] += u64::from(value < 0.0);
        self.positive[lane] += u64::from(value > 0.0);
        self.negative_squares[lane] += below * below;
        self.positive_squares[lane] += above * above;
        self.absolute[lane] += above - below;
    }

    /// Returns the mean of the squares.
    pub(crate) fn mean_square(&self) -> f64 {
        (sum(&self.negative_squares) + sum(&self.positive_squares)) / self.count
    }

    fn mean_absolute(&self) -> f64 {
        sum(&self.absolute) / self.count
    }

    /// Returns the shape of a symmetric distribution, as BRISQUE fits it: nearest by the inverse ratio.
    pub(crate) fn fit_symmetric(&self) -> Shape {
        let absolute = self.mean_absolute();
        // Negated, so that both increase along the table.
        Shape::nearest(-self.mean_square() / (absolute * absolute), |shape| -1.0 / shape.moment_ratio)
    }

    /// Returns the asymmetric distribution.
    pub(crate) fn fit_asymmetric(&self) -> Asymmetric {
        let left = (sum(&self.negative_squares) / self.negative.iter().sum::<u64>() as f64).sqrt();
        let right = (sum(&self.positive_squares) / self.positive.iter().sum::<u64>() as f64).sqrt();
        let skew = left / right;
        let absolute = self.mean_absolute();
        let square = skew * skew + 1.0;
        let ratio = absolute * absolute / self.mean_square();
        let ratio = ratio * (skew * skew * skew + 1.0) * (skew + 1.0) / (square * square);
        Asymmetric { shape: Shape::nearest(ratio, |shape| shape.moment_ratio), left, right }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        moments.add_values(values);
        moments
    }

    #[test]
    fn the_table_has_the_known_moments() {
        let shape = |alpha: f64| Shape::of_step(((alpha - 0.2) / 0.001).round() as u32);
        // Laplace: E|x| = 1, E x² = 2. Gauss: E|x|²/E x² = 2/pi.
        assert!((shape(1.0).moment_ratio - 0.5).abs() < 1e-14);
        assert!((shape(2.0).moment_ratio - 2.0 / std::f64::consts::PI).abs() < 1e-14);
        assert!((shape(2.0).scale - 2.0_f64.sqrt()).abs() < 1e-14);
        assert!(SHAPES.windows(2).all(|pair| pair[0].moment_ratio < pair[1].moment_ratio));
        assert_eq!(SHAPES.len(), 9801);
        assert_eq!(SHAPES[9800].alpha, 10.0);
    }

    #[test]
    fn the_nearest_shape_is_that_of_a_scan() {
        for target in [-1.0, 0.0, 0.07, 0.3, 0.5, 0.5004, 0.636, 0.74, 0.75, 2.0] {
            let mut best = SHAPES[0];
            for shape in SHAPES.iter() {
                if (shape.moment_ratio - target).abs() < (best.moment_ratio - target).abs() {
                    best = *shape;
                }
            }
            assert_eq!(Shape::nearest(target, |shape| shape.moment_ratio).alpha, best.alpha, "{target}");
        }
        assert_eq!(Shape::nearest(f64::NAN, |shape| shape.moment_ratio).alpha, 0.2);
    }

    #[test]
    fn deviations_leave_zeros_out() {
        let found = moments(&[-3.0, -4.0, 0.0, 0.0, 5.0, 1.0, 0.0, 1.0, 1.0, 2.0, 0.0]);
        assert_eq!(found.mean_square(), 57.0 / 11.0);
        assert_eq!(found.fit_asymmetric().left, 12.5_f64.sqrt());
        assert_eq!(found.fit_asymmetric().right, (32.0_f64 / 5.0).sqrt());
    }

    #[test]
    fn a_side_without_values_has_no_deviation() {
        let found = moments(&[1.0, 2.0, 0.0]).fit_asymmetric();
        assert!(found.left.is_nan());
        assert_eq!(found.right, 2.5_f64.sqrt());
        assert_eq!(found.shape.alpha, 0.2);
    }

    #[test]
    fn products_are_those_of_the_pairs() {
        let a: Vec<f64> = (0..21).map(|place| f64::from(place) - 7.5).collect();
        let b: Vec<f64> = (0..21).map(|place| f64::from(place % 5) - 2.0).collect();
        let products: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a * b).collect();
        let mut found = Moments::default();
        found.add_products(&a, &b);
        assert_eq!(format!("{found:?}"), format!("{:?}", moments(&products)));
    }

    #[test]
    fn a_sample_of_a_laplace_distribution_has_its_shape() {
        // Quantiles of the two-sided exponential distribution.
        let count = 20_000;
        let side: Vec<f64> = (0..count).map(|i| -libm::log(1.0 - (f64::from(i) + 0.5) / f64::from(count))).collect();
        let values: Vec<f64> = side.iter().map(|x| -x).chain(side.iter().copied()).collect();
        assert!((moments(&values).fit_symmetric().alpha - 1.0).abs() < 0.003);
        assert!((moments(&values).fit_asymmetric().shape.alpha - 1.0).abs() < 0.003);
    }
}
