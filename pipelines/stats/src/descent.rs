//! One descent of least squares from a given start, over all of a logistic's parameters at once: what published code does. It
//! may end at another curve than the best, or at none. Nothing binds it.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{DVector, Dyn, OMatrix, OVector};

use super::logistic::{Fit, FitStatus, Logistic, can_be_fitted, direction, sigmoid};
use super::pearson::plcc;
use super::{Columns, SortedColumns};

/// More rows than this are averaged into so many before the descent.
const ROWS_MAX: usize = 4096;

/// The curves of four and five parameters that one descent from the usual start comes to, as published code fits them (the start of
/// VQEG's final report of 2000 for four parameters, and of Sheikh, Sabir and Bovik 2006 for five): b = max(y), min(y), mean(x),
/// sd(x); and b = max(y) - min(y), 1 / sd(x), mean(x), 0, mean(y). PLCC has the sign of that of the rows as they are; papers print
/// its size.
pub fn fits_vqeg(table: &SortedColumns<'_>) -> [Fit; 2] {
    let Columns { score: x, mos: y, .. } = table.columns;
    let raw = plcc(x, y);
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let deviation = (x.iter().map(|x| (x - mean_x).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
    let (least, most) = y.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &y| (a.min(y), b.max(y)));
    let (x_few, y_few, weight) = averaged(x, y, &table.score.order);
    let rows = Rows { x: &x_few, y: &y_few, weight: &weight };
    let fit = |logistic: Logistic, start: Vec<f64>| {
        if let Err(status) = can_be_fitted(logistic, x.len(), raw.is_none()) {
            return Fit::nothing(logistic, status);
        }
        let (parameters, status) = rows.descend(logistic, start);
        Fit::of(logistic, status, parameters, x, y).signed(direction(raw))
    };
    let four = || fit(Logistic::Four, vec![most, least, mean_x, deviation]);
    let five = || fit(Logistic::Five, vec![most - least, 1.0 / deviation, mean_x, 0.0, mean_y]);
    rayon::join(four, five).into()
}

/// Neighbours by score averaged, where rows are many.
fn averaged(x: &[f64], y: &[f64], order: &[u32]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    if x.len() <= ROWS_MAX {
        return (x.to_vec(), y.to_vec(), vec![1.0; x.len()]);
    }
    let parts = order.chunks(x.len().div_ceil(ROWS_MAX));
    let mean = |of: &[f64], rows: &[u32]| rows.iter().map(|&row| of[row as usize]).sum::<f64>() / rows.len() as f64;
    let part = |rows: &[u32]| (mean(x, rows), (mean(y, rows), rows.len() as f64));
    let (x, rest): (Vec<f64>, Vec<(f64, f64)>) = parts.map(part).unzip();
    let (y, weight) = rest.into_iter().unzip();
    (x, y, weight)
}

/// What is fitted.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) x: &'a [f64],
    pub(super) y: &'a [f64],
    /// Rows that each stands for.
    pub(super) weight: &'a [f64],
}

impl Rows<'_> {
    /// The parameters that a descent from `start` comes to, and whether it ended at a least residual.
    pub(super) fn descend(self, logistic: Logistic, start: Vec<f64>) -> (Vec<f64>, FitStatus) {
        let problem = Descent { logistic, rows: self, b: DVector::from_vec(start) };
        let (problem, report) = LevenbergMarquardt::new().minimize(problem);
        let converged = report.termination.was_successful();
        let status = if converged { FitStatus::Converged } else { FitStatus::NotConverged };
        (problem.b.as_slice().to_vec(), status)
    }
}

struct Descent<'a> {
    logistic: Logistic,
    rows: Rows<'a>,
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
        let Rows { x, y, weight } = self.rows;
        let rows = x.iter().zip(y).zip(weight);
        let residuals = rows.map(|((&x, y), weight)| (self.logistic.at(self.b.as_slice(), x) - y) * weight.sqrt());
        Some(OVector::<f64, Dyn>::from_iterator(x.len(), residuals))
    }

    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, Dyn>> {
        let Rows { x, weight, .. } = self.rows;
        let rows = x.iter().zip(weight);
        let slopes = rows.flat_map(|(&x, weight)| {
            slopes(self.logistic, self.b.as_slice(), x).map(move |slope| slope * weight.sqrt())
        });
        Some(OMatrix::<f64, Dyn, Dyn>::from_row_iterator(x.len(), self.b.len(), slopes))
    }
}

/// The derivatives by b1, b2, ...
fn slopes(logistic: Logistic, b: &[f64], x: f64) -> impl Iterator<Item = f64> {
    let all = match logistic {
        Logistic::Four => {
            let width = b[3].abs();
            let s = sigmoid((x - b[2]) / width);
            let steep = (b[0] - b[1]) * s * (1.0 - s) / width;
            [s, 1.0 - s, -steep, -steep * (x - b[2]) / width * b[3].signum(), 0.0]
        }
        Logistic::Five => {
            let s = sigmoid(b[1] * (x - b[2]));
            let steep = b[0] * s * (1.0 - s);
            [s - 0.5, steep * (x - b[2]), -steep * b[1], x, 1.0]
        }
    };
    all.into_iter().take(logistic.parameters())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_the_derivatives() {
        for (logistic, b) in [
            (Logistic::Four, vec![0.7, -0.4, 0.3, -1.3]),
            (Logistic::Four, vec![0.7, -0.4, 0.3, 0.6]),
            (Logistic::Five, vec![0.7, -0.4, 0.3, -1.3, 0.2]),
        ] {
            for x in [-2.0, 0.1, 1.7] {
                for (parameter, slope) in slopes(logistic, &b, x).enumerate() {
                    let at = |step: f64| {
                        let mut moved = b.clone();
                        moved[parameter] += step;
                        logistic.at(&moved, x)
                    };
                    let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((difference - slope).abs() < 1e-8, "{logistic:?} b{} at {x}", parameter + 1);
                }
            }
        }
    }

    /// scipy.optimize.curve_fit from the same start, of x = i / 60 and y = 3 sigmoid(8 (x - 0.4)) + (37 i % 11 - 5) / 10.
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
            // Where labels fall, the start is on the wrong side of zero, and one descent ends at a worse curve.
            (Logistic::Five, &falling, -0.9551543544177964, 0.3265845400775864),
        ] {
            let table = Columns { score: &x, mos: labels, scene: &scene }.sorted();
            let fit = &fits_vqeg(&table)[usize::from(logistic == Logistic::Five)];
            assert!((fit.plcc.unwrap() - plcc).abs() < 1e-6 && (fit.rmse.unwrap() - rmse).abs() < 1e-6, "{fit:?}");
        }
        let few = Columns { score: &x[..49], mos: &y[..49], scene: &scene[..49] }.sorted();
        assert_eq!(fits_vqeg(&few)[1].status, FitStatus::TooFewRows);
    }
}
