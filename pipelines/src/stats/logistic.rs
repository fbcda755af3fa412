//! The logistic curve that maps scores to labels before PLCC and RMSE are taken, by least squares.

use super::bend::{Curve, Points};
use super::levels::Levels;
use super::pearson::{Unit, plcc, rmse};

/// More points than this are averaged into so many before the fit: neighbours by score, of which each is so small a part of
/// the range that the curve is straight within it. PLCC and RMSE are still of all rows.
const POINTS_MAX: usize = 4096;

/// On more points than this the best curve is looked for on fewer, so many; on all of them it is then only improved.
const SEARCHED_POINTS_MAX: usize = 2048;
const COARSE_POINTS: usize = 512;

/// A curve with s(t) = 1 / (1 + exp(-t)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logistic {
    /// b2 + (b1 - b2) s((x - b3) / |b4|).
    Four,
    /// VQEG's: b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5.
    Five,
}

impl Logistic {
    /// b1, b2, ...
    pub fn parameters(self) -> usize {
        match self {
            Logistic::Four => 4,
            Logistic::Five => 5,
        }
    }

    pub(super) fn at(self, b: &[f64], x: f64) -> f64 {
        match self {
            Logistic::Four => {
                let t = (x - b[2]) / b[3].abs();
                // Not b2 + (b1 - b2) s, which loses digits where one of them is very large.
                b[0] * sigmoid(t) + b[1] * sigmoid(-t)
            }
            Logistic::Five => b[0] * (sigmoid(b[1] * (x - b[2])) - 0.5) + b[3] * x + b[4],
        }
    }

    /// b1, b2, ... of a curve through values in units.
    fn parameters_of(self, curve: &Curve, x: &Unit, y: &Unit) -> Vec<f64> {
        let bend = x.centre() + x.scale * curve.bend;
        let (low, high) = (y.centre() + y.scale * curve.low, y.centre() + y.scale * curve.high);
        let width = x.scale * curve.width;
        match self {
            Logistic::Four => vec![high, low, bend, width],
            Logistic::Five => {
                let slope = y.scale * curve.slope / x.scale;
                vec![y.scale * curve.height, 1.0 / width, bend, slope, (low + high) / 2.0 - slope * x.centre()]
            }
        }
    }
}

pub(super) fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitStatus {
    /// At a least residual.
    Converged,
    /// At the best residual within the steps that it had.
    NotConverged,
    /// Not more rows than parameters: nothing was fitted.
    TooFewRows,
    /// Scores or labels are all the same, or not finite: nothing was fitted.
    Constant,
}

impl FitStatus {
    /// As tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            FitStatus::Converged => "converged",
            FitStatus::NotConverged => "not_converged",
            FitStatus::TooFewRows => "too_few_rows",
            FitStatus::Constant => "constant",
        }
    }
}

/// A curve through rows and how well it holds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Which curve.
    pub logistic: Logistic,
    /// How the fit ended.
    pub status: FitStatus,
    /// b1, b2, ... in the units of the rows; empty where nothing was fitted.
    pub parameters: Vec<f64>,
    /// Pearson's correlation of curve and labels.
    pub plcc: Option<f64>,
    /// The root of the mean squared difference of curve and labels, in the labels' unit.
    pub rmse: Option<f64>,
}

impl Fit {
    /// The fitted label of a score; None where nothing was fitted.
    pub fn at(&self, score: f64) -> Option<f64> {
        (!self.parameters.is_empty()).then(|| self.logistic.at(&self.parameters, score))
    }

    pub(super) fn nothing(logistic: Logistic, status: FitStatus) -> Fit {
        Fit { logistic, status, parameters: Vec::new(), plcc: None, rmse: None }
    }

    pub(super) fn of(logistic: Logistic, status: FitStatus, parameters: Vec<f64>, x: &[f64], y: &[f64]) -> Fit {
        let curve: Vec<f64> = x.iter().map(|&x| logistic.at(&parameters, x)).collect();
        Fit { logistic, status, plcc: plcc(&curve, y), rmse: rmse(&curve, y), parameters }
    }
}

/// The curve of least squares through labels `y` over scores `x`.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn fit(logistic: Logistic, x: &[f64], y: &[f64]) -> Fit {
    Prepared::of(x, y).fit(logistic)
}

/// Both curves through the same rows, for less than two fits.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn fits(x: &[f64], y: &[f64]) -> [Fit; 2] {
    let prepared = Prepared::of(x, y);
    [Logistic::Four, Logistic::Five].map(|logistic| prepared.fit(logistic))
}

/// Rows as points to fit.
struct Prepared<'a> {
    x: &'a [f64],
    y: &'a [f64],
    unit_x: Unit,
    unit_y: Unit,
    constant: bool,
    fine: Points,
    coarse: Option<Points>,
}

impl<'a> Prepared<'a> {
    fn of(x: &'a [f64], y: &'a [f64]) -> Prepared<'a> {
        assert_eq!(x.len(), y.len(), "columns of one table");
        let (unit_x, unit_y) = (Unit::of(x), Unit::of(y));
        let points = by_level(x, y, &unit_x, &unit_y);
        let constant = plcc(x, y).is_none();
        let coarse = (points.x.len() > SEARCHED_POINTS_MAX).then(|| points.averaged(COARSE_POINTS));
        let fine = if points.x.len() > POINTS_MAX { points.averaged(POINTS_MAX) } else { points };
        Prepared { x, y, unit_x, unit_y, constant, fine, coarse }
    }

    fn fit(&self, logistic: Logistic) -> Fit {
        if self.x.len() <= logistic.parameters() {
            return Fit::nothing(logistic, FitStatus::TooFewRows);
        }
        if self.constant {
            return Fit::nothing(logistic, FitStatus::Constant);
        }
        let sloped = logistic == Logistic::Five;
        let curve = match &self.coarse {
            Some(coarse) => self.fine.best_curve_near(&coarse.best_curve(sloped), sloped),
            None => self.fine.best_curve(sloped),
        };
        let parameters = logistic.parameters_of(&curve, &self.unit_x, &self.unit_y);
        let status = if curve.converged { FitStatus::Converged } else { FitStatus::NotConverged };
        Fit::of(logistic, status, parameters, self.x, self.y)
    }
}

/// One point for each score: the mean of its labels stands for them without loss.
fn by_level(x: &[f64], y: &[f64], unit_x: &Unit, unit_y: &Unit) -> Points {
    let mut points = Points::default();
    for rows in Levels::of(x).groups() {
        let sum: f64 = rows.iter().map(|&row| unit_y.of_value(y[row as usize])).sum();
        points.x.push(unit_x.of_value(x[rows[0] as usize]));
        points.y.push(sum / rows.len() as f64);
        points.weight.push(rows.len() as f64);
    }
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::table;
    use super::*;

    #[test]
    fn a_curve_without_noise_is_found_whichever_way_it_goes() {
        let x: Vec<f64> = (0..60).map(|i| f64::from(i * i) / 40.0 - 20.0).collect();
        for (logistic, wanted) in [
            (Logistic::Four, vec![90.0, 10.0, 15.0, 6.0]),
            (Logistic::Four, vec![10.0, 90.0, 15.0, 6.0]),
            (Logistic::Five, vec![60.0, 0.2, 15.0, 0.4, 50.0]),
            (Logistic::Five, vec![-60.0, 0.2, 15.0, 0.4, 50.0]),
        ] {
            let y: Vec<f64> = x.iter().map(|&x| logistic.at(&wanted, x)).collect();
            let fit = fit(logistic, &x, &y);
            assert_eq!(fit.status, FitStatus::Converged);
            assert!(fit.rmse.unwrap() < 1e-4 && fit.plcc.unwrap() > 1.0 - 1e-9, "{fit:?}");
            assert!((fit.at(7.0).unwrap() - logistic.at(&wanted, 7.0)).abs() < 1e-3, "{fit:?}");
        }
    }

    /// The best curves of these have an infinite height, with a bend far outside or a width beyond all points.
    #[test]
    fn curves_at_infinity_are_come_near_to() {
        let x: Vec<f64> = (0..200).map(|i| f64::from(i) / 50.0 - 2.0).collect();
        type Shape = fn(f64) -> f64;
        for (logistic, shape) in [
            (Logistic::Four, f64::exp as Shape),
            (Logistic::Four, |x| -(-1.3 * x).exp()),
            (Logistic::Five, |x| x.exp() - 2.0 * x),
            (Logistic::Five, |x| x * x * x - 2.0 * x),
        ] {
            let y: Vec<f64> = x.iter().map(|&x| 1e3 + shape(x)).collect();
            let fit = fit(logistic, &x, &y);
            assert_eq!(fit.status, FitStatus::Converged);
            assert!(fit.plcc.unwrap() > 1.0 - 1e-6 && fit.rmse.unwrap() < 3e-3, "{fit:?}");
        }
    }

    #[test]
    fn what_cannot_be_fitted_says_so() {
        let rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(fit(Logistic::Five, &rising[..5], &rising[..5]).status, FitStatus::TooFewRows);
        assert_eq!(fit(Logistic::Four, &rising, &[1.0; 6]).status, FitStatus::Constant);
        let none = fit(Logistic::Four, &[1.0; 6], &rising);
        assert_eq!((none.status, none.plcc, none.rmse, none.at(1.0)), (FitStatus::Constant, None, None, None));
    }

    #[test]
    fn fewer_scores_than_parameters_can_be_fitted() {
        let x = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
        let y = [1.0, 2.0, 5.0, 6.0, 3.0, 7.0, 4.0];
        for fit in fits(&x, &y) {
            // Both scores' mean labels: all that a curve can do.
            assert!((fit.at(0.0).unwrap() - 2.0).abs() < 1e-6 && (fit.at(1.0).unwrap() - 5.5).abs() < 1e-6, "{fit:?}");
        }
    }

    #[test]
    fn averaged_rows_are_fitted_as_well_as_all() {
        let (x, mos, _) = table(20_000, 5_000, 6);
        let y: Vec<f64> = x.iter().zip(&mos).map(|(x, mos)| mos + 40.0 * (4.0 * (x - 1.2)).tanh()).collect();
        let (unit_x, unit_y) = (Unit::of(&x), Unit::of(&y));
        let all = by_level(&x, &y, &unit_x, &unit_y);
        assert!(all.x.len() > POINTS_MAX);
        for fit in fits(&x, &y) {
            let exact = all.best_curve(fit.logistic == Logistic::Five);
            let exact = fit.logistic.parameters_of(&exact, &unit_x, &unit_y);
            let exact = Fit::of(fit.logistic, FitStatus::Converged, exact, &x, &y);
            assert!(fit.rmse.unwrap() < exact.rmse.unwrap() * (1.0 + 1e-7), "{fit:?} {exact:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// A straight line is within both curves' reach (the wide end of a bend), so no fit is worse than PLCC.
        #[test]
        fn a_fit_is_no_worse_than_a_straight_line(
            rows in prop::collection::vec((-8..8_i8, -4..9_i8), 7..60), shift in -1e3..1e3, scale in 1e-3..1e3
        ) {
            let x: Vec<f64> = rows.iter().map(|row| f64::from(row.0) * scale + shift).collect();
            let y: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let Some(line) = plcc(&x, &y) else { return Ok(()) };
            for fit in fits(&x, &y) {
                // A curve that stays level has none.
                let plcc = fit.plcc.unwrap_or(0.0);
                prop_assert!(plcc > line.abs() - 1e-4, "{:?}: a line has {}", fit, line);
            }
        }
    }
}
