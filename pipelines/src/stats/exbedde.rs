//! exBeDDE's own protocol, as its authors' `assess_IQA_metric.m` has it: within each hazy group (the outputs of ten
//! algorithms for one hazy picture) SRCC and KRCC of the scores, PLCC and RMSE of a five-parameter logistic that is fitted
//! to that group; then the mean of a city's groups, then the mean of cities.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{Dyn, OMatrix, OVector, U5, Vector5};

use super::logistic::sigmoid;
use super::{Columns, Fit, FitStatus, Levels, Logistic, krcc, plcc, srcc};

/// The protocol's measures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExbeddeMeasures {
    /// Spearman's rank correlation.
    pub srcc: f64,
    /// Kendall's tau-b.
    pub krcc: f64,
    /// Pearson's correlation of fitted scores.
    pub plcc: f64,
    /// Root mean squared error of fitted scores, in the labels' unit.
    pub rmse: f64,
}

/// One city's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExbeddeCity {
    /// Its number, as the caller has it.
    pub city: u32,
    /// Hazy groups in the mean.
    pub scenes: u64,
    /// Mean of the groups.
    pub measures: ExbeddeMeasures,
}

/// The protocol's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Exbedde {
    /// By number; those without a group that has measures are left out.
    pub cities: Vec<ExbeddeCity>,
    /// Mean of cities, each counting the same; None where there is none.
    pub mean: Option<ExbeddeMeasures>,
    /// Hazy groups in the means.
    pub scenes: u64,
    /// Of these, groups whose fit had not converged.
    pub not_converged: u64,
    /// Hazy groups left out: fewer than five pictures, or scores or labels that are all the same.
    pub undefined: u64,
}

/// Measures by exBeDDE's protocol; `city` is each row's.
///
/// REFERENCE: a curve of five parameters through about ten pictures holds them closely whatever they are, and where its
/// one start of ones leads depends on the scores' scale. PLCC and RMSE of this protocol are comparable with published
/// ones, not with those of a pooled fit.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn exbedde(columns: &Columns<'_>, city: &[u32]) -> Exbedde {
    columns.check();
    assert_eq!(city.len(), columns.score.len(), "columns of one table");
    let mut result = Exbedde { cities: Vec::new(), mean: None, scenes: 0, not_converged: 0, undefined: 0 };
    for rows in Levels::of_numbers(city).groups() {
        let number = |of: &[u32]| rows.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
        let value = |of: &[f64]| rows.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
        let (score, mos, scene) = (value(columns.score), value(columns.mos), number(columns.scene));
        let groups = result.of_groups(&Columns { score: &score, mos: &mos, scene: &scene });
        if let Some(measures) = mean(&groups) {
            let scenes = groups.len() as u64;
            result.scenes += scenes;
            result.cities.push(ExbeddeCity { city: city[rows[0] as usize], scenes, measures });
        }
    }
    result.mean = mean(&result.cities.iter().map(|city| city.measures).collect::<Vec<_>>());
    result
}

impl Exbedde {
    /// Each group's measures; counts those that have none.
    fn of_groups(&mut self, columns: &Columns<'_>) -> Vec<ExbeddeMeasures> {
        let mut groups = Vec::new();
        for rows in Levels::of_numbers(columns.scene).groups() {
            let value = |of: &[f64]| rows.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
            let (score, mos) = (value(columns.score), value(columns.mos));
            let fit = fit_from_ones(&score, &mos);
            match (srcc(&score, &mos), krcc(&score, &mos), fit.plcc, fit.rmse) {
                (Some(srcc), Some(krcc), Some(plcc), Some(rmse)) => {
                    self.not_converged += u64::from(fit.status == FitStatus::NotConverged);
                    groups.push(ExbeddeMeasures { srcc, krcc, plcc, rmse });
                }
                _ => self.undefined += 1,
            }
        }
        groups
    }
}

fn mean(of: &[ExbeddeMeasures]) -> Option<ExbeddeMeasures> {
    let mean = |value: fn(&ExbeddeMeasures) -> f64| of.iter().map(value).sum::<f64>() / of.len() as f64;
    let measures = || ExbeddeMeasures {
        srcc: mean(|of| of.srcc),
        krcc: mean(|of| of.krcc),
        plcc: mean(|of| of.plcc),
        rmse: mean(|of| of.rmse),
    };
    (!of.is_empty()).then(measures)
}

/// The curve of five parameters that one descent from ones comes to, over all parameters at once and with nothing changed
/// in the rows: MATLAB's `fitnlm` as the authors call it.
fn fit_from_ones(x: &[f64], y: &[f64]) -> Fit {
    if x.len() < Logistic::Five.parameters() {
        return Fit::nothing(Logistic::Five, FitStatus::TooFewRows);
    }
    if plcc(x, y).is_none() {
        return Fit::nothing(Logistic::Five, FitStatus::Constant);
    }
    let (problem, report) = LevenbergMarquardt::new().minimize(FromOnes { x, y, b: Vector5::repeat(1.0) });
    let converged = report.termination.was_successful();
    let status = if converged { FitStatus::Converged } else { FitStatus::NotConverged };
    Fit::of(Logistic::Five, status, problem.b.as_slice().to_vec(), x, y)
}

struct FromOnes<'a> {
    x: &'a [f64],
    y: &'a [f64],
    b: Vector5<f64>,
}

impl LeastSquaresProblem<f64, Dyn, U5> for FromOnes<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, U5>;
    type ParameterStorage = Owned<f64, U5>;

    fn set_params(&mut self, parameters: &Vector5<f64>) {
        self.b = *parameters;
    }

    fn params(&self) -> Vector5<f64> {
        self.b
    }

    fn residuals(&self) -> Option<OVector<f64, Dyn>> {
        let rows = self.x.iter().zip(self.y);
        let residuals = rows.map(|(&x, y)| Logistic::Five.at(self.b.as_slice(), x) - y);
        Some(OVector::<f64, Dyn>::from_iterator(self.x.len(), residuals))
    }

    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, U5>> {
        let slopes = self.x.iter().flat_map(|&x| slopes(self.b.as_slice(), x));
        Some(OMatrix::<f64, Dyn, U5>::from_row_iterator(self.x.len(), slopes))
    }
}

/// The derivatives of [`Logistic::Five`] by b1 to b5.
fn slopes(b: &[f64], x: f64) -> [f64; 5] {
    let s = sigmoid(b[1] * (x - b[2]));
    let steep = b[0] * s * (1.0 - s);
    [s - 0.5, steep * (x - b[2]), -steep * b[1], x, 1.0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of ten in two cities; the numbers are of SciPy's `spearmanr`, `kendalltau` and `leastsq` from ones.
    #[test]
    fn groups_are_fitted_alone_and_cities_count_the_same() {
        let (mut score, mut mos, mut scene, mut city) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in 0..3_u32 {
            for i in 0..10_u32 {
                let x = f64::from((i * 7 + group * 3) % 10) / 9.0 * 4.0 - 1.0 + 0.01 * f64::from(i);
                let noise = f64::from((i * 13 + group * 5) % 7) - 3.0;
                score.push(x);
                mos.push(0.5 + 0.35 * (1.1 * (x - 0.8)).tanh() + noise * 0.03);
                scene.push(group);
                city.push(group / 2);
            }
        }
        let result = exbedde(&Columns { score: &score, mos: &mos, scene: &scene }, &city);
        assert_eq!((result.scenes, result.undefined), (3, 0));
        assert_eq!(result.cities.iter().map(|city| city.scenes).collect::<Vec<_>>(), [2, 1]);
        let mean = result.mean.unwrap();
        for (value, wanted) in [
            (mean.srcc, 0.9303030303030302),
            (mean.krcc, 0.8222222222222222),
            (mean.plcc, 0.9790846250574463),
            (mean.rmse, 0.05411851705134675),
        ] {
            assert!((value - wanted).abs() < 1e-5, "{value} for {wanted}");
        }
    }

    #[test]
    fn slopes_are_the_derivatives() {
        let b = [0.7, -0.4, 0.3, -1.3, 0.2];
        for x in [-2.0, 0.1, 1.7] {
            for (parameter, slope) in slopes(&b, x).into_iter().enumerate() {
                let at = |step: f64| {
                    let mut moved = b;
                    moved[parameter] += step;
                    Logistic::Five.at(&moved, x)
                };
                assert!(((at(1e-6) - at(-1e-6)) / 2e-6 - slope).abs() < 1e-8, "b{} at {x}", parameter + 1);
            }
        }
    }

    #[test]
    fn a_group_without_measures_is_counted_and_left_out() {
        let columns = Columns { score: &[1.0, 2.0, 3.0], mos: &[1.0, 2.0, 4.0], scene: &[0, 0, 1] };
        let result = exbedde(&columns, &[5, 5, 6]);
        assert_eq!((result.scenes, result.undefined, result.mean), (0, 2, None));
    }
}
