//! The logistic curve that maps scores to labels before PLCC and RMSE are taken, by least squares. It rises where PLCC of the
//! rows as they are is positive and falls where that is negative, and PLCC after it keeps that sign.

use super::bend::{Curve, Points, WIDTH_MIN};
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

    /// b1, b2, ... of a curve through values in units, where `direction` times `y` was fitted.
    fn parameters_of(self, curve: &Curve, x: &Unit, y: &Unit, direction: f64) -> Vec<f64> {
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

/// A curve is fitted to this many rows for each of its parameters or more: with fewer it follows the rows' noise, which lifts
/// PLCC by some (parameters - 2) / (2 rows) even where there is nothing to follow.
pub const ROWS_PER_PARAMETER: usize = 10;

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitStatus {
    /// At a residual that no small change of the curve lowers: the least of those near to it, not surely of all.
    Converged,
    /// At the best residual within the steps that it had.
    NotConverged,
    /// Fewer than [`ROWS_PER_PARAMETER`] rows a parameter: nothing was fitted.
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
    /// Pearson's correlation of curve and labels, with the sign of that of scores and labels.
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

    /// With PLCC's sign that of `direction`.
    pub(super) fn signed(self, direction: f64) -> Fit {
        Fit { plcc: self.plcc.map(|plcc| direction * plcc), ..self }
    }
}

/// The curve of least squares through labels `y` over scores `x`.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn fit(logistic: Logistic, x: &[f64], y: &[f64]) -> Fit {
    Prepared::of((x, y), &Levels::of(x)).fit(logistic)
}

/// Both curves through the same rows, for less than two fits.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn fits(x: &[f64], y: &[f64]) -> [Fit; 2] {
    let levels = Levels::of(x);
    let prepared = Prepared::of((x, y), &levels);
    [Logistic::Four, Logistic::Five].map(|logistic| prepared.fit(logistic))
}

/// Rows as points to fit.
pub(super) struct Prepared<'a> {
    pub(super) x: &'a [f64],
    pub(super) y: &'a [f64],
    pub(super) unit_x: Unit,
    pub(super) unit_y: Unit,
    /// 1 where labels rise with scores, -1 where they fall: points are of `direction` times the labels, which rise.
    pub(super) direction: f64,
    constant: bool,
    pub(super) fine: Points,
    coarse: Option<Points>,
}

impl<'a> Prepared<'a> {
    /// `levels` are those of `x`.
    pub(super) fn of((x, y): (&'a [f64], &'a [f64]), levels: &Levels) -> Prepared<'a> {
        assert_eq!(x.len(), y.len(), "columns of one table");
        let (unit_x, unit_y) = (Unit::of(x), Unit::of(y));
        let raw = plcc(x, y);
        let direction = direction(raw);
        let points = by_level(levels, (x, y), (&unit_x, &unit_y), direction);
        let coarse = (points.x.len() > SEARCHED_POINTS_MAX).then(|| points.averaged(COARSE_POINTS));
        let fine = if points.x.len() > POINTS_MAX { points.averaged(POINTS_MAX) } else { points };
        Prepared { x, y, unit_x, unit_y, direction, constant: raw.is_none(), fine, coarse }
    }

    pub(super) fn fit(&self, logistic: Logistic) -> Fit {
        self.fit_with_curve(logistic).0
    }

    /// The curve in units, which rises.
    pub(super) fn fit_with_curve(&self, logistic: Logistic) -> (Fit, Option<Curve>) {
        if let Err(status) = can_be_fitted(logistic, self.x.len(), self.constant) {
            return (Fit::nothing(logistic, status), None);
        }
        let sloped = logistic == Logistic::Five;
        let curve = match &self.coarse {
            Some(coarse) => self.fine.best_curve_near(&coarse.best_curve(sloped), sloped),
            None => self.fine.best_curve(sloped),
        };
        let parameters = logistic.parameters_of(&curve, &self.unit_x, &self.unit_y, self.direction);
        let status = if curve.converged { FitStatus::Converged } else { FitStatus::NotConverged };
        (Fit::of(logistic, status, parameters, self.x, self.y).signed(self.direction), Some(curve))
    }
}

/// Of labels over scores whose PLCC is `raw`.
pub(super) fn direction(raw: Option<f64>) -> f64 {
    if raw.is_some_and(|plcc| plcc < 0.0) { -1.0 } else { 1.0 }
}

/// Why so many rows cannot be fitted.
pub(super) fn can_be_fitted(logistic: Logistic, rows: usize, constant: bool) -> Result<(), FitStatus> {
    if rows < ROWS_PER_PARAMETER * logistic.parameters() {
        return Err(FitStatus::TooFewRows);
    }
    if constant { Err(FitStatus::Constant) } else { Ok(()) }
}

/// One point for each score: the mean of its labels stands for them without loss.
fn by_level(levels: &Levels, (x, y): (&[f64], &[f64]), (unit_x, unit_y): (&Unit, &Unit), direction: f64) -> Points {
    let mut points = Points::default();
    for rows in levels.groups() {
        let sum: f64 = rows.iter().map(|&row| unit_y.of_value(y[row as usize])).sum();
        points.x.push(unit_x.of_value(x[rows[0] as usize]));
        points.y.push(direction * sum / rows.len() as f64);
        points.weight.push(rows.len() as f64);
    }
    if !points.x.is_empty() {
        points.width_min = WIDTH_MIN * points.usual_range();
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
            (Logistic::Five, vec![-60.0, 0.2, 15.0, -0.4, 50.0]),
        ] {
            let y: Vec<f64> = x.iter().map(|&x| logistic.at(&wanted, x)).collect();
            let fit = fit(logistic, &x, &y);
            assert_eq!(fit.status, FitStatus::Converged);
            let rises = wanted[0] > 50.0;
            let plcc = if rises { fit.plcc.unwrap() } else { -fit.plcc.unwrap() };
            assert!(fit.rmse.unwrap() < 1e-4 && plcc > 1.0 - 1e-9, "{fit:?}");
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
            (Logistic::Five, |x| x.exp() + 2.0 * x),
            (Logistic::Five, |x| x * x * x + 2.0 * x),
        ] {
            let y: Vec<f64> = x.iter().map(|&x| 1e3 + shape(x)).collect();
            let fit = fit(logistic, &x, &y);
            assert_eq!(fit.status, FitStatus::Converged);
            assert!(fit.plcc.unwrap().abs() > 1.0 - 1e-6 && fit.rmse.unwrap() < 3e-3, "{fit:?}");
        }
    }

    #[test]
    fn what_cannot_be_fitted_says_so() {
        let rising: Vec<f64> = (0..50).map(f64::from).collect();
        assert_eq!(fit(Logistic::Five, &rising[..49], &rising[..49]).status, FitStatus::TooFewRows);
        assert_eq!(fit(Logistic::Four, &rising[..39], &rising[..39]).status, FitStatus::TooFewRows);
        assert_eq!(fit(Logistic::Four, &rising, &[1.0; 50]).status, FitStatus::Constant);
        let none = fit(Logistic::Four, &[1.0; 50], &rising);
        assert_eq!((none.status, none.plcc, none.rmse, none.at(1.0)), (FitStatus::Constant, None, None, None));
    }

    #[test]
    fn fewer_scores_than_parameters_can_be_fitted() {
        let x = [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0].repeat(8);
        let y = [1.0, 2.0, 5.0, 6.0, 3.0, 7.0, 4.0].repeat(8);
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
        let all = by_level(&Levels::of(&x), (&x, &y), (&unit_x, &unit_y), 1.0);
        assert!(all.x.len() > POINTS_MAX);
        for fit in fits(&x, &y) {
            let exact = all.best_curve(fit.logistic == Logistic::Five);
            let exact = fit.logistic.parameters_of(&exact, &unit_x, &unit_y, 1.0);
            let exact = Fit::of(fit.logistic, FitStatus::Converged, exact, &x, &y);
            assert!(fit.rmse.unwrap() < exact.rmse.unwrap() * (1.0 + 1e-7), "{fit:?} {exact:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// A straight line is within both curves' reach (the wide end of a bend), so no fit is worse than PLCC.
        #[test]
        fn a_fit_is_no_worse_than_a_straight_line(
            rows in prop::collection::vec((-8..8_i8, -4..9_i8), 50..90), shift in -1e3..1e3, scale in 1e-3..1e3
        ) {
            let x: Vec<f64> = rows.iter().map(|row| f64::from(row.0) * scale + shift).collect();
            let y: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let Some(line) = plcc(&x, &y) else { return Ok(()) };
            for fit in fits(&x, &y) {
                // A curve that stays level has none.
                let plcc = fit.plcc.unwrap_or(0.0);
                prop_assert!(plcc.abs() > line.abs() - 1e-4, "{:?}: a line has {}", fit, line);
                prop_assert!(plcc * line >= 0.0, "{:?}: a line has {}", fit, line);
                // It never turns round, and bends no more sharply than it may.
                let range = Prepared::of((&x, &y), &Levels::of(&x)).fine.usual_range() * Unit::of(&x).scale;
                let width = if fit.logistic == Logistic::Four { fit.parameters[3] } else { 1.0 / fit.parameters[1] };
                prop_assert!(width >= 0.99 * WIDTH_MIN * range, "{:?}", fit);
                let (first, last) = (-8.0 * scale + shift, 7.0 * scale + shift);
                let (first, last) = (x.iter().copied().fold(last, f64::min), x.iter().copied().fold(first, f64::max));
                let at = |step: u32| fit.at(first + (last - first) * f64::from(step) / 200.0).unwrap();
                for step in 0..200 {
                    let rise = (at(step + 1) - at(step)) * direction(Some(line));
                    prop_assert!(rise > -1e-7, "{:?} falls by {} of {}", fit, rise, step);
                }
            }
        }

        #[test]
        fn a_fit_is_the_same_upside_down(rows in prop::collection::vec((-8..8_i8, -4..9_i8), 50..90)) {
            let x: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let y: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let turned: Vec<f64> = y.iter().map(|y| -y).collect();
            for (up, down) in fits(&x, &y).into_iter().zip(fits(&x, &turned)) {
                let (Some(up), Some(down)) = (up.plcc, down.plcc) else { continue };
                prop_assert!((up + down).abs() < 1e-6, "{} {}", up, down);
            }
        }
    }
}
