//! Logistic curves that map scores to labels before PLCC and RMSE are taken: the best monotone curve ([`best_fit`]),
//! the curve of published code ([`single_start`]), and intervals of PLCC and RMSE after the fit ([`fit_intervals`]).

mod best_fit;
mod curve;
mod curve_search;
mod fit_intervals;
mod single_start;

pub use best_fit::{fit_logistic, fit_logistics};
pub use curve::{FitStatus, Logistic, LogisticFit, ROWS_PER_PARAMETER};
pub use fit_intervals::{LogisticFitEstimate, estimate_logistic_fits};
pub use single_start::fit_logistics_vqeg;

pub(crate) use single_start::WeightedRows;
