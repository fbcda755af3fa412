//! The logistic curve that maps scores to labels before PLCC and RMSE are taken, by least squares.
//!
//! Given where a curve bends and how wide, its other parameters are a linear fit. So a grid over the two finds where to
//! start, rising and falling curves alike, and Levenberg-Marquardt goes on from the best.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DMatrix, DVector, Dyn, Matrix3, Vector3};

use super::levels::Levels;
use super::pearson::{Unit, plcc, rmse};

/// More points than this are averaged into so many before the fit: rows that are neighbours by score, of which so many
/// thousandths of the range hold a curve of five parameters fast. PLCC and RMSE are still of all rows.
const POINTS_MAX: usize = 4096;

/// Points on which the descent is made where there are more than [`POINTS_MAX`]: on those only its last steps are.
const COARSE_POINTS_MAX: usize = 512;

/// Bends from which the fit is tried.
const STARTS: usize = 5;

/// Evaluations, for each parameter and one more, that a trial of a start may take, and the last steps.
const TRIAL_PATIENCE: usize = 10;

/// The same for the descent from the best start. Where the best curve lies at infinity, more of them change the seventh
/// digit.
const PATIENCE: usize = 100;

/// A step that lowers the squared residual by less than this part is the last: beyond any digit that is reported.
const TOLERANCE: f64 = 1e-10;

/// Where a curve may bend at the start: shares of the points.
const BENDS: [f64; 9] = [0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.98];

/// How wide the bend may be at the start: parts of the range that holds nine tenths of the points.
const WIDTHS: [f64; 6] = [0.01, 0.03, 0.1, 0.25, 0.7, 2.0];

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

    fn at(self, b: &[f64], x: f64) -> f64 {
        match self {
            Logistic::Four => b[1] + (b[0] - b[1]) * sigmoid((x - b[2]) / b[3].abs()),
            Logistic::Five => b[0] * (sigmoid(b[1] * (x - b[2])) - 0.5) + b[3] * x + b[4],
        }
    }

    /// The derivatives by b1, b2, ...; the fifth is 0 for four.
    fn slopes(self, b: &[f64], x: f64) -> [f64; 5] {
        match self {
            Logistic::Four => {
                let s = sigmoid((x - b[2]) / b[3].abs());
                let steep = (b[0] - b[1]) * s * (1.0 - s) / b[3].abs();
                [s, 1.0 - s, -steep, -steep * (x - b[2]) / b[3], 0.0]
            }
            Logistic::Five => {
                let s = sigmoid(b[1] * (x - b[2]));
                let steep = b[0] * s * (1.0 - s);
                [s - 0.5, steep * (x - b[2]), -steep * b[1], x, 1.0]
            }
        }
    }

    /// From the curve through values in units to the curve through values.
    fn in_units_of(self, b: &[f64], x: &Unit, y: &Unit) -> Vec<f64> {
        let level = |value: f64| y.centre() + y.scale * value;
        let bend = |value: f64| x.centre() + x.scale * value;
        match self {
            Logistic::Four => vec![level(b[0]), level(b[1]), bend(b[2]), x.scale * b[3].abs()],
            Logistic::Five => {
                let slope = y.scale * b[3] / x.scale;
                vec![y.scale * b[0], b[1] / x.scale, bend(b[2]), slope, level(b[4]) - slope * x.centre()]
            }
        }
    }
}

fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitStatus {
    /// At a least residual.
    Converged,
    /// At the best residual within the steps that it had; where the best curve is a step or a straight line there is no
    /// least one.
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

    fn nothing(logistic: Logistic, status: FitStatus) -> Fit {
        Fit { logistic, status, parameters: Vec::new(), plcc: None, rmse: None }
    }

    fn of(logistic: Logistic, status: FitStatus, parameters: Vec<f64>, x: &[f64], y: &[f64]) -> Fit {
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

/// The curve that one descent from b1 = b2 = ... = 1 comes to, with nothing changed in the rows: MATLAB's `fitnlm` as the
/// authors of exBeDDE call it.
pub(super) fn fit_from_ones(logistic: Logistic, x: &[f64], y: &[f64]) -> Fit {
    if x.len() < logistic.parameters() {
        return Fit::nothing(logistic, FitStatus::TooFewRows);
    }
    if plcc(x, y).is_none() {
        return Fit::nothing(logistic, FitStatus::Constant);
    }
    let points = Points { x: x.to_vec(), y: y.to_vec(), weight: vec![1.0; x.len()] };
    let descent = points.descend(logistic, DVector::from_element(logistic.parameters(), 1.0), PATIENCE);
    Fit::of(logistic, descent.status(), descent.parameters.as_slice().to_vec(), x, y)
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
        let points = Points::by_level(x, y, &unit_x, &unit_y);
        let constant = plcc(x, y).is_none();
        let (fine, coarse) = if points.x.len() <= POINTS_MAX {
            (points, None)
        } else {
            (points.averaged(POINTS_MAX), Some(points.averaged(COARSE_POINTS_MAX)))
        };
        Prepared { x, y, unit_x, unit_y, constant, fine, coarse }
    }

    fn fit(&self, logistic: Logistic) -> Fit {
        if self.x.len() <= logistic.parameters() {
            return Fit::nothing(logistic, FitStatus::TooFewRows);
        }
        if self.constant {
            return Fit::nothing(logistic, FitStatus::Constant);
        }
        let first = self.coarse.as_ref().unwrap_or(&self.fine);
        let tried = first.starts(logistic).into_iter().map(|start| first.descend(logistic, start, TRIAL_PATIENCE));
        let best = tried.min_by(|a, b| a.residual.total_cmp(&b.residual)).expect("there are starts");
        let best = first.descend(logistic, best.parameters, PATIENCE);
        let best = match &self.coarse {
            Some(_) => self.fine.descend(logistic, best.parameters, TRIAL_PATIENCE),
            None => best,
        };
        let parameters = logistic.in_units_of(best.parameters.as_slice(), &self.unit_x, &self.unit_y);
        Fit::of(logistic, best.status(), parameters, self.x, self.y)
    }
}

/// What is fitted, in units, in the order of x.
#[derive(Default)]
struct Points {
    x: Vec<f64>,
    y: Vec<f64>,
    /// Rows that a point stands for.
    weight: Vec<f64>,
}

/// Where a descent came to.
struct Descent {
    parameters: DVector<f64>,
    residual: f64,
    converged: bool,
}

impl Descent {
    fn status(&self) -> FitStatus {
        if self.converged { FitStatus::Converged } else { FitStatus::NotConverged }
    }
}

impl Points {
    /// One for each score: the mean of its labels stands for them without loss.
    fn by_level(x: &[f64], y: &[f64], unit_x: &Unit, unit_y: &Unit) -> Points {
        let mut points = Points::default();
        let levels = Levels::of(x);
        // Points of no weight, where there are fewer scores than parameters: the method wants as many.
        for _ in levels.counts.len()..Logistic::Five.parameters().min(x.len()) {
            points.x.push(unit_x.of_value(x[levels.order[0] as usize]));
            points.y.push(0.0);
            points.weight.push(0.0);
        }
        for rows in levels.groups() {
            let sum: f64 = rows.iter().map(|&row| unit_y.of_value(y[row as usize])).sum();
            points.x.push(unit_x.of_value(x[rows[0] as usize]));
            points.y.push(sum / rows.len() as f64);
            points.weight.push(rows.len() as f64);
        }
        points
    }

    /// About `most` points, neighbours averaged by weight.
    fn averaged(&self, most: usize) -> Points {
        let size = self.x.len().div_ceil(most);
        let mut points = Points::default();
        for from in (0..self.x.len()).step_by(size) {
            let part = from..(from + size).min(self.x.len());
            let weights = &self.weight[part.clone()];
            let weight: f64 = weights.iter().sum();
            let mean = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / weight;
            points.x.push(mean(&self.x[part.clone()]));
            points.y.push(mean(&self.y[part]));
            points.weight.push(weight);
        }
        points
    }

    fn quantile(&self, share: f64) -> f64 {
        self.x[(share * (self.x.len() - 1) as f64).round() as usize]
    }

    fn starts(&self, logistic: Logistic) -> Vec<DVector<f64>> {
        let range = self.quantile(0.95) - self.quantile(0.05);
        let range = if range > 0.0 { range } else { 1.0 };
        let mut starts: Vec<(f64, DVector<f64>)> = Vec::new();
        let inside = BENDS.iter().map(|bend| self.quantile(*bend));
        // Where the scores see one end of the curve only, it bends beyond them.
        let beyond = [self.x[0] - range, self.x[self.x.len() - 1] + range];
        for bend in inside.chain(beyond) {
            let of_width = WIDTHS.iter().map(|width| self.linear_fit(logistic, bend, width * range));
            // One of each bend: the best few of all would be neighbours and descend to the same place.
            starts.extend(of_width.min_by(|a, b| a.0.total_cmp(&b.0)));
        }
        starts.sort_by(|a, b| a.0.total_cmp(&b.0));
        starts.into_iter().take(STARTS).map(|(_, parameters)| parameters).collect()
    }

    /// The best curve with this bend, and its residual less a constant.
    fn linear_fit(&self, logistic: Logistic, bend: f64, width: f64) -> (f64, DVector<f64>) {
        let (mut squares, mut products) = (Matrix3::zeros(), Vector3::zeros());
        for ((&x, &y), &weight) in self.x.iter().zip(&self.y).zip(&self.weight) {
            let slope = if logistic == Logistic::Five { x } else { 0.0 };
            let row = Vector3::new(sigmoid((x - bend) / width) - 0.5, 1.0, slope);
            squares += row * row.transpose() * weight;
            products += row * (y * weight);
        }
        let inverse = squares.pseudo_inverse(1e-12 * squares.norm()).expect("the tolerance is not negative");
        let linear = inverse * products;
        let (height, level, slope) = (linear[0], linear[1], linear[2]);
        let parameters = match logistic {
            Logistic::Four => vec![level + height / 2.0, level - height / 2.0, bend, width],
            Logistic::Five => vec![height, 1.0 / width, bend, slope, level],
        };
        (-linear.dot(&products), DVector::from_vec(parameters))
    }

    fn descend(&self, logistic: Logistic, start: DVector<f64>, patience: usize) -> Descent {
        let problem = Problem { logistic, points: self, parameters: start };
        let method = LevenbergMarquardt::new().with_tol(TOLERANCE).with_patience(patience);
        let (problem, report) = method.minimize(problem);
        let converged = report.termination.was_successful();
        Descent { parameters: problem.parameters, residual: report.objective_function, converged }
    }
}

struct Problem<'a> {
    logistic: Logistic,
    points: &'a Points,
    parameters: DVector<f64>,
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Problem<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, parameters: &DVector<f64>) {
        self.parameters.copy_from(parameters);
    }

    fn params(&self) -> DVector<f64> {
        self.parameters.clone()
    }

    fn residuals(&self) -> Option<DVector<f64>> {
        let Points { x, y, weight } = self.points;
        let b = self.parameters.as_slice();
        let residual = |row: usize| weight[row].sqrt() * (self.logistic.at(b, x[row]) - y[row]);
        Some(DVector::from_iterator(x.len(), (0..x.len()).map(residual)))
    }

    fn jacobian(&self) -> Option<DMatrix<f64>> {
        let Points { x, weight, .. } = self.points;
        let mut jacobian = DMatrix::zeros(x.len(), self.parameters.len());
        for row in 0..x.len() {
            let slopes = self.logistic.slopes(self.parameters.as_slice(), x[row]);
            for (column, slope) in slopes.into_iter().take(self.parameters.len()).enumerate() {
                jacobian[(row, column)] = weight[row].sqrt() * slope;
            }
        }
        Some(jacobian)
    }
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

    #[test]
    fn slopes_are_the_derivatives() {
        let b = [0.7, -0.4, 0.3, -1.3, 0.2];
        for logistic in [Logistic::Four, Logistic::Five] {
            let b = &b[..logistic.parameters()];
            for x in [-2.0, 0.1, 1.7] {
                let slopes = logistic.slopes(b, x);
                for parameter in 0..b.len() {
                    let at = |step: f64| {
                        let mut moved = b.to_vec();
                        moved[parameter] += step;
                        logistic.at(&moved, x)
                    };
                    let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((numeric - slopes[parameter]).abs() < 1e-8, "{logistic:?} b{parameter} at {x}");
                }
            }
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
        let all = Points::by_level(&x, &y, &unit_x, &unit_y);
        assert!(all.x.len() > POINTS_MAX);
        for fit in fits(&x, &y) {
            let start = all.starts(fit.logistic).swap_remove(0);
            let exact = all.descend(fit.logistic, start, PATIENCE);
            let exact = fit.logistic.in_units_of(exact.parameters.as_slice(), &unit_x, &unit_y);
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
