//! The logistic curve of least squares through labels over scores. It rises where the PLCC of the rows is positive and
//! falls where it is negative, and PLCC after the fit keeps that sign.

use super::curve::{FitStatus, Logistic, LogisticFit, check_fittable, direction};
use super::curve_search::{Curve, Points, WIDTH_MIN};
use crate::dense_ranks::DenseRanks;
use crate::pearson::{ColumnScale, plcc};

/// More points than this are averaged into this many before the fit. Each average is over neighbours by score in so
/// small a part of the range that the curve is straight within it. PLCC and RMSE are still over all rows.
const POINTS_MAX: usize = 4096;

/// With more points than this, the search for the best curve runs on [`COARSE_POINTS`] points; on all points the curve
/// is then only improved.
const SEARCHED_POINTS_MAX: usize = 2048;
const COARSE_POINTS: usize = 512;

/// Fits a curve to labels `y` over scores `x` by least squares. The curve is monotone, as ITU-T P.1401 asks, and its
/// bend spans at least a fifth of the range of the scores.
///
/// # Panics
/// If a value is NaN or the lengths differ.
///
/// # Examples
/// ```
/// use dqa_stats::{FitStatus, Logistic, fit_logistic};
///
/// let score: Vec<f64> = (0..60).map(|i| f64::from(i) / 10.0 - 3.0).collect();
/// let mos: Vec<f64> = score.iter().map(|x| 20.0 + 60.0 / (1.0 + (-2.0 * x).exp())).collect();
/// let fit = fit_logistic(Logistic::Four, &score, &mos);
/// assert_eq!(fit.status, FitStatus::Converged);
/// assert!(fit.plcc.unwrap() > 0.999 && fit.rmse.unwrap() < 1e-3);
/// assert!((fit.predict(0.0).unwrap() - 50.0).abs() < 1e-3);
/// ```
pub fn fit_logistic(logistic: Logistic, x: &[f64], y: &[f64]) -> LogisticFit {
    FitProblem::new((x, y), &DenseRanks::from_values(x)).fit(logistic)
}

/// Fits both curves to the same rows, which takes less time than two calls of [`fit_logistic`].
///
/// # Panics
/// If a value is NaN or the lengths differ.
pub fn fit_logistics(x: &[f64], y: &[f64]) -> [LogisticFit; 2] {
    let ranks = DenseRanks::from_values(x);
    let problem = FitProblem::new((x, y), &ranks);
    [Logistic::Four, Logistic::Five].map(|logistic| problem.fit(logistic))
}

/// Rows prepared as points to which a curve is fitted.
pub(super) struct FitProblem<'a> {
    x: &'a [f64],
    y: &'a [f64],
    pub(super) x_scale: ColumnScale,
    pub(super) y_scale: ColumnScale,
    /// 1 where labels rise with scores, -1 where they fall. The points have `direction` times the labels, which rise.
    pub(super) direction: f64,
    is_constant: bool,
    pub(super) fine: Points,
    coarse: Option<Points>,
}

impl<'a> FitProblem<'a> {
    /// Prepares rows; `ranks` are those of `x`.
    pub(super) fn new((x, y): (&'a [f64], &'a [f64]), ranks: &DenseRanks) -> FitProblem<'a> {
        assert_eq!(x.len(), y.len(), "columns have unequal lengths");
        let (x_scale, y_scale) = (ColumnScale::from_values(x), ColumnScale::from_values(y));
        let raw_plcc = plcc(x, y);
        let direction = direction(raw_plcc);
        let points = average_ties(ranks, (x, y), (&x_scale, &y_scale), direction);
        let coarse = (points.x.len() > SEARCHED_POINTS_MAX).then(|| points.averaged(COARSE_POINTS));
        let fine = if points.x.len() > POINTS_MAX { points.averaged(POINTS_MAX) } else { points };
        FitProblem { x, y, x_scale, y_scale, direction, is_constant: raw_plcc.is_none(), fine, coarse }
    }

    fn fit(&self, logistic: Logistic) -> LogisticFit {
        self.fit_with_curve(logistic).0
    }

    /// Returns the fit and the rising curve through the points, in their units.
    pub(super) fn fit_with_curve(&self, logistic: Logistic) -> (LogisticFit, Option<Curve>) {
        if let Err(status) = check_fittable(logistic, self.x.len(), self.is_constant) {
            return (LogisticFit::not_fitted(logistic, status), None);
        }
        let has_slope = logistic == Logistic::Five;
        let curve = match &self.coarse {
            Some(coarse) => self.fine.improve(&coarse.best_curve(has_slope), has_slope),
            None => self.fine.best_curve(has_slope),
        };
        let parameters = parameters(logistic, &curve, (&self.x_scale, &self.y_scale), self.direction);
        let status = if curve.converged { FitStatus::Converged } else { FitStatus::NotConverged };
        let fit = LogisticFit::from_parameters(logistic, status, parameters, self.x, self.y);
        (fit.signed(self.direction), Some(curve))
    }
}

/// Returns b1, b2, ... in the units of the rows, for a curve through scaled scores and `direction` times scaled labels.
fn parameters(logistic: Logistic, curve: &Curve, (x, y): (&ColumnScale, &ColumnScale), direction: f64) -> Vec<f64> {
    let curve = &Curve {
        low: direction * curve.low,
        high: direction * curve.high,
        height: direction * curve.height,
        slope: direction * curve.slope,
        ..*curve
    };
    let bend = x.centre() + x.scale * curve.bend;
    let (low, high) = (y.centre() + y.scale * curve.low, y.centre() + y.scale * curve.high);
    let width = x.scale * curve.width;
    match logistic {
        Logistic::Four => vec![high, low, bend, width],
        Logistic::Five => {
            let slope = y.scale * curve.slope / x.scale;
            vec![y.scale * curve.height, 1.0 / width, bend, slope, (low + high) / 2.0 - slope * x.centre()]
        }
    }
}

/// Returns one point for each distinct score: the mean of its labels represents them without loss.
fn average_ties(
    ranks: &DenseRanks,
    (x, y): (&[f64], &[f64]),
    (x_scale, y_scale): (&ColumnScale, &ColumnScale),
    direction: f64,
) -> Points {
    let mut points = Points::default();
    for rows in ranks.groups() {
        let sum: f64 = rows.iter().map(|&row| y_scale.to_unit(y[row as usize])).sum();
        points.x.push(x_scale.to_unit(x[rows[0] as usize]));
        points.y.push(direction * sum / rows.len() as f64);
        points.weight.push(rows.len() as f64);
    }
    if !points.x.is_empty() {
        points.width_min = WIDTH_MIN * points.central_range();
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::table;

    #[test]
    fn a_rising_or_falling_curve_without_noise_is_recovered() {
        let x: Vec<f64> = (0..60).map(|i| f64::from(i * i) / 40.0 - 20.0).collect();
        for (logistic, expected) in [
            (Logistic::Four, vec![90.0, 10.0, 15.0, 6.0]),
            (Logistic::Four, vec![10.0, 90.0, 15.0, 6.0]),
            (Logistic::Five, vec![60.0, 0.2, 15.0, 0.4, 50.0]),
            (Logistic::Five, vec![-60.0, 0.2, 15.0, -0.4, 50.0]),
        ] {
            let y: Vec<f64> = x.iter().map(|&x| logistic.evaluate(&expected, x)).collect();
            let fit = fit_logistic(logistic, &x, &y);
            assert_eq!(fit.status, FitStatus::Converged);
            let rises = expected[0] > 50.0;
            let plcc = if rises { fit.plcc.unwrap() } else { -fit.plcc.unwrap() };
            assert!(fit.rmse.unwrap() < 1e-4 && plcc > 1.0 - 1e-9, "{fit:?}");
            assert!((fit.predict(7.0).unwrap() - logistic.evaluate(&expected, 7.0)).abs() < 1e-3, "{fit:?}");
        }
    }

    /// The best curves of these points have an infinite height, with a bend far outside the points or a width beyond
    /// them.
    #[test]
    fn curves_at_infinity_are_approximated() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i) / 50.0 - 2.0).collect();
        type Shape = fn(f64) -> f64;
        for (logistic, shape) in [
            (Logistic::Four, f64::exp as Shape),
            (Logistic::Four, |x| -(-1.3 * x).exp()),
            (Logistic::Five, |x| x.exp() + 2.0 * x),
            (Logistic::Five, |x| x * x * x + 2.0 * x),
        ] {
            let y: Vec<f64> = x.iter().map(|&x| 1e3 + shape(x)).collect();
            let fit = fit_logistic(logistic, &x, &y);
            assert_eq!(fit.status, FitStatus::Converged);
            assert!(fit.plcc.unwrap().abs() > 1.0 - 1e-6 && fit.rmse.unwrap() < 3e-3, "{fit:?}");
        }
    }

    #[test]
    fn a_fit_without_a_curve_has_its_reason() {
        let rising: Vec<f64> = (0..50).map(f64::from).collect();
        assert_eq!(fit_logistic(Logistic::Five, &rising[..49], &rising[..49]).status, FitStatus::TooFewRows);
        assert_eq!(fit_logistic(Logistic::Four, &rising[..39], &rising[..39]).status, FitStatus::TooFewRows);
        assert_eq!(fit_logistic(Logistic::Four, &rising, &[1.0; 50]).status, FitStatus::Constant);
        let none = fit_logistic(Logistic::Four, &[1.0; 50], &rising);
        assert_eq!((none.status, none.plcc, none.rmse, none.predict(1.0)), (FitStatus::Constant, None, None, None));
    }

    #[test]
    fn fewer_distinct_scores_than_parameters_can_be_fitted() {
        let x = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0].repeat(8);
        let y = [1.0, 2.0, 5.0, 6.0, 3.0, 7.0, 4.0].repeat(8);
        for fit in fit_logistics(&x, &y) {
            // The best curve passes through the mean label of both scores.
            assert!(
                (fit.predict(0.0).unwrap() - 2.0).abs() < 1e-6 && (fit.predict(1.0).unwrap() - 5.5).abs() < 1e-6,
                "{fit:?}"
            );
        }
    }

    #[test]
    fn averaged_rows_yield_as_good_a_fit_as_all_rows() {
        let (x, mos, _) = table(20_000, 5_000, 6);
        let y: Vec<f64> = x.iter().zip(&mos).map(|(x, mos)| mos + 40.0 * (4.0 * (x - 1.2)).tanh()).collect();
        let (x_scale, y_scale) = (ColumnScale::from_values(&x), ColumnScale::from_values(&y));
        let all = average_ties(&DenseRanks::from_values(&x), (&x, &y), (&x_scale, &y_scale), 1.0);
        assert!(all.x.len() > POINTS_MAX);
        for fit in fit_logistics(&x, &y) {
            let exact = all.best_curve(fit.logistic == Logistic::Five);
            let exact = parameters(fit.logistic, &exact, (&x_scale, &y_scale), 1.0);
            let exact = LogisticFit::from_parameters(fit.logistic, FitStatus::Converged, exact, &x, &y);
            assert!(fit.rmse.unwrap() < exact.rmse.unwrap() * (1.0 + 1e-7), "{fit:?} {exact:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// Both curves can approximate a straight line (with a very wide bend), so no fit is worse than PLCC.
        #[test]
        fn a_fit_is_no_worse_than_a_straight_line(
            rows in prop::collection::vec((-8..8_i8, -4..9_i8), 50..90), shift in -1e3..1e3, scale in 1e-3..1e3
        ) {
            let x: Vec<f64> = rows.iter().map(|row| f64::from(row.0) * scale + shift).collect();
            let y: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let Some(line) = plcc(&x, &y) else { return Ok(()) };
            for fit in fit_logistics(&x, &y) {
                // A flat curve has no PLCC.
                let plcc = fit.plcc.unwrap_or(0.0);
                prop_assert!(plcc.abs() > line.abs() - 1e-4, "{:?}: PLCC of a line is {}", fit, line);
                prop_assert!(plcc * line >= 0.0, "{:?}: PLCC of a line is {}", fit, line);
                // The curve is monotone, and its bend is not narrower than the bound.
                let problem = FitProblem::new((&x, &y), &DenseRanks::from_values(&x));
                let range = problem.fine.central_range() * problem.x_scale.scale;
                let width = if fit.logistic == Logistic::Four { fit.parameters[3] } else { 1.0 / fit.parameters[1] };
                prop_assert!(width >= 0.99 * WIDTH_MIN * range, "{:?}", fit);
                let (first, last) = (-8.0 * scale + shift, 7.0 * scale + shift);
                let (first, last) = (x.iter().copied().fold(last, f64::min), x.iter().copied().fold(first, f64::max));
                let label = |step: u32| fit.predict(first + (last - first) * f64::from(step) / 200.0).unwrap();
                for step in 0..200 {
                    let rise = (label(step + 1) - label(step)) * direction(Some(line));
                    prop_assert!(rise > -1e-7, "{:?} falls by {} at step {}", fit, rise, step);
                }
            }
        }

        #[test]
        fn a_fit_to_negated_labels_has_the_opposite_plcc(rows in prop::collection::vec((-8..8_i8, -4..9_i8), 50..90)) {
            let x: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let y: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let reversed: Vec<f64> = y.iter().map(|y| -y).collect();
            for (up, down) in fit_logistics(&x, &y).into_iter().zip(fit_logistics(&x, &reversed)) {
                let (Some(up), Some(down)) = (up.plcc, down.plcc) else { continue };
                prop_assert!((up + down).abs() < 1e-6, "{} {}", up, down);
            }
        }
    }
}
