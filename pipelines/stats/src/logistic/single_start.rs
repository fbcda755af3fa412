//! A fit by one descent of least squares from a given start, over all parameters of a logistic at once, as published
//! code does it. It may end at a worse curve than the best one, or not converge. Its curve is not constrained to be
//! monotone.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DVector, Dyn, OMatrix, OVector};

use super::curve::{FitStatus, Logistic, LogisticFit, check_fittable, direction, sigmoid};
use crate::columns::{Columns, SortedColumns};
use crate::pearson::plcc;

/// More rows than this are averaged into this many before the descent.
const ROWS_MAX: usize = 4096;

/// Fits the curves of four and five parameters by one descent from the usual start, as published code does: for four
/// parameters the start of VQEG's final report of 2000, b = max(y), min(y), mean(x), sd(x); for five that of Sheikh,
/// Sabir and Bovik (2006), b = max(y) - min(y), 1 / sd(x), mean(x), 0, mean(y). PLCC has the sign of the PLCC of scores
/// and labels; papers print its absolute value.
pub fn fit_logistics_vqeg(table: &SortedColumns<'_>) -> [LogisticFit; 2] {
    let Columns { score: x, mos: y, .. } = table.columns;
    let raw_plcc = plcc(x, y);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let deviation = (x.iter().map(|x| (x - mean_x).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
    let (least, most) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &y| (a.min(y), b.max(y)));
    let (x_averaged, y_averaged, weight) = average_neighbours(x, y, &table.score.order);
    let rows = WeightedRows { x: &x_averaged, y: &y_averaged, weight: &weight };
    let fit = |logistic: Logistic, start: Vec<f64>| {
        if let Err(status) = check_fittable(logistic, x.len(), raw_plcc.is_none()) {
            return LogisticFit::not_fitted(logistic, status);
        }
        let (parameters, status) = rows.descend(logistic, start);
        LogisticFit::from_parameters(logistic, status, parameters, x, y).signed(direction(raw_plcc))
    };
    let four = || fit(Logistic::Four, vec![most, least, mean_x, deviation]);
    let five = || fit(Logistic::Five, vec![most - least, 1.0 / deviation, mean_x, 0.0, mean_y]);
    rayon::join(four, five).into()
}

/// Averages neighbours by score if there are more than [`ROWS_MAX`] rows. Returns scores, labels and weights.
fn average_neighbours(x: &[f64], y: &[f64], order: &[u32]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    if x.len() <= ROWS_MAX {
        return (x.to_vec(), y.to_vec(), vec![1.0; x.len()]);
    }
    let parts = order.chunks(x.len().div_ceil(ROWS_MAX));
    let mean =
        |column: &[f64], rows: &[u32]| rows.iter().map(|&row| column[row as usize]).sum::<f64>() / rows.len() as f64;
    let part = |rows: &[u32]| (mean(x, rows), (mean(y, rows), rows.len() as f64));
    let (x, rest): (Vec<f64>, Vec<(f64, f64)>) = parts.map(part).unzip();
    let (y, weight) = rest.into_iter().unzip();
    (x, y, weight)
}

/// Rows to which a curve is fitted.
#[derive(Clone, Copy)]
pub(crate) struct WeightedRows<'a> {
    pub(crate) x: &'a [f64],
    pub(crate) y: &'a [f64],
    /// The number of original rows that each row represents.
    pub(crate) weight: &'a [f64],
}

impl WeightedRows<'_> {
    /// Returns the parameters at which a Levenberg-Marquardt descent from `start` ends, and whether it converged.
    pub(crate) fn descend(self, logistic: Logistic, start: Vec<f64>) -> (Vec<f64>, FitStatus) {
        let problem = Descent { logistic, rows: self, b: DVector::from_vec(start) };
        let (problem, report) = LevenbergMarquardt::new().minimize(problem);
        let converged = report.termination.was_successful();
        let status = if converged { FitStatus::Converged } else { FitStatus::NotConverged };
        (problem.b.as_slice().to_vec(), status)
    }
}

struct Descent<'a> {
    logistic: Logistic,
    rows: WeightedRows<'a>,
    b: DVector<f64>,
}

impl LeastSquaresProblem<f64, Dyn, Dyn> for Descent<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, Dyn>;
    type ParameterStorage = Owned<f64, Dyn>;

    fn set_params(&mut self, parameters: &DVector<f64>) {
        self.b.copy_from(parameters);
    }

    fn params(&self) -> DVector<f64> {
        self.b.clone()
    }

    fn residuals(&self) -> Option<OVector<f64, Dyn>> {
        let WeightedRows { x, y, weight } = self.rows;
        let rows = x.iter().zip(y).zip(weight);
        let residuals =
            rows.map(|((&x, y), weight)| (self.logistic.evaluate(self.b.as_slice(), x) - y) * weight.sqrt());
        Some(OVector::<f64, Dyn>::from_iterator(x.len(), residuals))
    }

    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, Dyn>> {
        let WeightedRows { x, weight, .. } = self.rows;
        let rows = x.iter().zip(weight);
        let derivatives = rows.flat_map(|(&x, weight)| {
            derivatives(self.logistic, self.b.as_slice(), x).map(move |derivative| derivative * weight.sqrt())
        });
        Some(OMatrix::<f64, Dyn, Dyn>::from_row_iterator(x.len(), self.b.len(), derivatives))
    }
}

/// Returns the derivatives of the curve by b1, b2, ... at score `x`.
fn derivatives(logistic: Logistic, b: &[f64], x: f64) -> impl Iterator<Item = f64> {
    let all = match logistic {
        Logistic::Four => {
            let width = b[3].abs();
            let s = sigmoid((x - b[2]) / width);
            let steepness = (b[0] - b[1]) * s * (1.0 - s) / width;
            [s, 1.0 - s, -steepness, -steepness * (x - b[2]) / width * b[3].signum(), 0.0]
        }
        Logistic::Five => {
            let s = sigmoid(b[1] * (x - b[2]));
            let steepness = b[0] * s * (1.0 - s);
            [s - 0.5, steepness * (x - b[2]), -steepness * b[1], x, 1.0]
        }
    };
    all.into_iter().take(logistic.parameters())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_agree_with_differences() {
        for (logistic, b) in [
            (Logistic::Four, vec![0.7, -0.4, 0.3, -1.3]),
            (Logistic::Four, vec![0.7, -0.4, 0.3, 0.6]),
            (Logistic::Five, vec![0.7, -0.4, 0.3, -1.3, 0.2]),
        ] {
            for x in [-2.0, 0.1, 1.7] {
                for (parameter, derivative) in derivatives(logistic, &b, x).enumerate() {
                    let value = |step: f64| {
                        let mut moved = b.clone();
                        moved[parameter] += step;
                        logistic.evaluate(&moved, x)
                    };
                    let difference = (value(1e-6) - value(-1e-6)) / 2e-6;
                    assert!((difference - derivative).abs() < 1e-8, "{logistic:?} b{} at {x}", parameter + 1);
                }
            }
        }
    }

    /// By scipy.optimize.curve_fit from the same start, for x = i / 60 and y = 3 sigmoid(8 (x - 0.4)) + (37 i % 11 - 5)
    /// / 10.
    #[test]
    fn one_descent_from_the_usual_start_is_scipys() {
        let x: Vec<f64> = (0..60).map(|i| f64::from(i) / 60.0).collect();
        let y: Vec<f64> = (0..60)
            .map(|i| 3.0 * sigmoid(8.0 * (f64::from(i) / 60.0 - 0.4)) + (f64::from(37 * i % 11) - 5.0) / 10.0)
            .collect();
        let falling: Vec<f64> = y.iter().map(|y| -y).collect();
        let scene = vec![0; x.len()];
        for (logistic, labels, plcc, rmse) in [
            (Logistic::Four, &y, 0.9581521051835159, 0.31572209568993537),
            (Logistic::Four, &falling, -0.9581521051835156, 0.31572209568993537),
            (Logistic::Five, &y, 0.9582800591854019, 0.3152493500488341),
            // With falling labels the start has the wrong sign, and one descent ends at a worse curve.
            (Logistic::Five, &falling, -0.9551543544177964, 0.3265845400775864),
        ] {
            let table = Columns { score: &x, mos: labels, scene: &scene }.sorted();
            let fit = &fit_logistics_vqeg(&table)[usize::from(logistic == Logistic::Five)];
            assert!((fit.plcc.unwrap() - plcc).abs() < 1e-6 && (fit.rmse.unwrap() - rmse).abs() < 1e-6, "{fit:?}");
        }
        let few = Columns { score: &x[..49], mos: &y[..49], scene: &scene[..49] }.sorted();
        assert_eq!(fit_logistics_vqeg(&few)[1].status, FitStatus::TooFewRows);
    }
}
