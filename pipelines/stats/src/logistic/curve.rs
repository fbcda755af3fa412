//! The logistic curves that map scores to labels, and the result of a fit.

use crate::pearson::{plcc, rmse};

/// A logistic curve, with s(t) = 1 / (1 + exp(-t)) and parameters b1, b2, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logistic {
    /// Four parameters: b2 + (b1 - b2) s((x - b3) / |b4|).
    Four,
    /// VQEG's five parameters: b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5.
    Five,
}

impl Logistic {
    /// Returns the number of parameters.
    pub fn parameters(self) -> usize {
        match self {
            Logistic::Four => 4,
            Logistic::Five => 5,
        }
    }

    /// Evaluates the curve with parameters `b` at score `x`.
    pub(crate) fn evaluate(self, b: &[f64], x: f64) -> f64 {
        match self {
            Logistic::Four => {
                let t = (x - b[2]) / b[3].abs();
                // Not b2 + (b1 - b2) s, which loses digits where one of them is very large.
                b[0] * sigmoid(t) + b[1] * sigmoid(-t)
            }
            Logistic::Five => b[0] * (sigmoid(b[1] * (x - b[2])) - 0.5) + b[3] * x + b[4],
        }
    }
}

pub(crate) fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}

/// The fewest rows for each parameter of a curve. With fewer, the curve follows the noise of the rows, which raises
/// PLCC by about (parameters - 2) / (2 rows) even if scores and labels are unrelated.
pub const ROWS_PER_PARAMETER: usize = 10;

/// How a fit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitStatus {
    /// At a local minimum of the residual, which need not be the global one.
    Converged,
    /// At the smallest residual that it found within its number of steps.
    NotConverged,
    /// Without a curve: there are fewer than [`ROWS_PER_PARAMETER`] rows for each parameter.
    TooFewRows,
    /// Without a curve: scores or labels are all equal, or not finite.
    Constant,
}

impl FitStatus {
    /// Returns the status's name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            FitStatus::Converged => "converged",
            FitStatus::NotConverged => "not_converged",
            FitStatus::TooFewRows => "too_few_rows",
            FitStatus::Constant => "constant",
        }
    }
}

/// A curve fitted to rows, with the agreement of the fitted scores with the labels.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticFit {
    /// The kind of curve.
    pub logistic: Logistic,
    /// How the fit ended.
    pub status: FitStatus,
    /// b1, b2, ... in the units of the rows; empty if nothing was fitted.
    pub parameters: Vec<f64>,
    /// Pearson's correlation of fitted scores and labels. Fits over a whole table give it the sign of the correlation
    /// of scores and labels.
    pub plcc: Option<f64>,
    /// The root of the mean squared difference of fitted scores and labels, in the unit of the labels.
    pub rmse: Option<f64>,
}

impl LogisticFit {
    /// Returns the label that the curve predicts for a score; `None` if nothing was fitted.
    pub fn predict(&self, score: f64) -> Option<f64> {
        (!self.parameters.is_empty()).then(|| self.logistic.evaluate(&self.parameters, score))
    }

    pub(crate) fn not_fitted(logistic: Logistic, status: FitStatus) -> LogisticFit {
        LogisticFit { logistic, status, parameters: Vec::new(), plcc: None, rmse: None }
    }

    pub(crate) fn from_parameters(
        logistic: Logistic,
        status: FitStatus,
        parameters: Vec<f64>,
        x: &[f64],
        y: &[f64],
    ) -> LogisticFit {
        let fitted: Vec<f64> = x.iter().map(|&x| logistic.evaluate(&parameters, x)).collect();
        LogisticFit { logistic, status, plcc: plcc(&fitted, y), rmse: rmse(&fitted, y), parameters }
    }

    /// Multiplies PLCC by `direction`, which is 1 or -1.
    pub(crate) fn signed(self, direction: f64) -> LogisticFit {
        LogisticFit { plcc: self.plcc.map(|plcc| direction * plcc), ..self }
    }
}

/// Returns -1 if labels fall with scores, whose PLCC is given, and 1 otherwise.
pub(crate) fn direction(plcc: Option<f64>) -> f64 {
    if plcc.is_some_and(|plcc| plcc < 0.0) { -1.0 } else { 1.0 }
}

/// Checks that a curve can be fitted to this many rows; `is_constant` if a side of them is constant.
///
/// # Errors
/// If nothing can be fitted, with the status of such a fit.
pub(crate) fn check_fittable(logistic: Logistic, rows: usize, is_constant: bool) -> Result<(), FitStatus> {
    if rows < ROWS_PER_PARAMETER * logistic.parameters() {
        return Err(FitStatus::TooFewRows);
    }
    if is_constant { Err(FitStatus::Constant) } else { Ok(()) }
}
