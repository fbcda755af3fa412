//! Paired comparison of several columns of scores of the same pictures: which agrees better with the labels. A column
//! may come from a model, a prompt or a metric; this module does not know which.
//!
//! The difference of two coefficients is taken on the coefficients' own scale. Its standard error is that of the
//! jackknife over scenes of the difference itself: both coefficients are computed without each scene in turn, so the
//! error does not include what the columns have in common (scenes and labels). Interval and p-value are Student's, with
//! as many degrees of freedom as scenes less 1 (MacKinnon, Nielsen and Webb 2023), so the interval excludes 0 exactly
//! where p is below 1 less the level.
//!
//! Assumptions: scenes are independent draws from the scenes that the statement is about; columns, algorithms and
//! raters are fixed.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::columns::Columns;
use crate::estimate::{Estimate, Interval, NoInterval, Scale};
use crate::jackknife::{Jackknife, LeaveOneOut, jackknife};
use crate::multiple_testing::holm_of_known;
use crate::student_t::two_sided_p;

/// Columns of scores of the same pictures.
#[derive(Clone, Copy, Debug)]
pub struct ScoreColumns<'a> {
    /// One column for each model (or metric) that is compared, with a score of each picture.
    pub scores: &'a [Vec<f64>],
    /// The label of each picture; higher is better.
    pub mos: &'a [f64],
    /// The scene that each picture shows, as an id of the caller's choice.
    pub scene: &'a [u32],
}

/// A coefficient of agreement of scores with labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Spearman's rank correlation.
    Srcc,
    /// Pearson's correlation.
    Plcc,
    /// Kendall's tau-b.
    Krcc,
}

/// A measure of every column, and its differences between columns.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedMeasure {
    /// The measure.
    pub measure: Measure,
    /// The measure of each column, with its interval on Fisher's scale; `None` where it is undefined.
    pub values: Vec<Option<Estimate>>,
    /// The differences of the requested pairs, in the order of the request.
    pub differences: Vec<PairedDifference>,
}

/// The coefficient of the second column less that of the first.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDifference {
    /// The index of the first column.
    pub first: usize,
    /// The index of the second column.
    pub second: usize,
    /// The difference with its interval; `None` if one of the coefficients is undefined.
    pub estimate: Option<Estimate>,
    /// The two-sided p-value of no difference; `None` without an interval.
    pub p: Option<f64>,
    /// The p-value corrected for all differences of this measure that have one (Holm 1979).
    pub p_corrected: Option<f64>,
}

impl Measure {
    /// All measures, in the order of the results.
    pub const ALL: [Measure; 3] = [Measure::Srcc, Measure::Plcc, Measure::Krcc];

    /// Returns the measure's name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::Srcc => "srcc",
            Measure::Plcc => "plcc",
            Measure::Krcc => "krcc",
        }
    }

    fn select(self, jackknife: &Jackknife) -> Option<&LeaveOneOut> {
        match self {
            Measure::Srcc => jackknife.srcc.as_ref(),
            Measure::Plcc => jackknife.plcc.as_ref(),
            Measure::Krcc => jackknife.krcc.as_ref(),
        }
    }
}

/// Computes every measure of each column, and its difference for each of `pairs` of column indices. `level` is the
/// nominal coverage of the intervals, such as 0.95.
///
/// # Panics
/// If a value is NaN, the lengths differ, or a pair contains an unknown column.
///
/// # Examples
/// ```
/// use dqa_stats::{Measure, ScoreColumns, paired_differences};
///
/// // Two models score eight scenes with one picture each.
/// let scores = [vec![1.0, 2.0, 4.0, 3.0, 5.0, 6.0, 8.0, 7.0], vec![2.0, 1.0, 4.0, 8.0, 3.0, 6.0, 5.0, 7.0]];
/// let mos = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
/// let columns = ScoreColumns { scores: &scores, mos: &mos, scene: &[0, 1, 2, 3, 4, 5, 6, 7] };
/// let srcc = &paired_differences(&columns, &[(0, 1)], 0.95)[0];
/// assert_eq!(srcc.measure, Measure::Srcc);
/// let difference = &srcc.differences[0];
/// assert!(difference.estimate.unwrap().value < 0.0, "the second model agrees less");
/// assert!(difference.p.unwrap() > 0.05, "but eight scenes do not show it");
/// ```
pub fn paired_differences(columns: &ScoreColumns<'_>, pairs: &[(usize, usize)], level: f64) -> Vec<PairedMeasure> {
    let jackknife_column =
        |score: &Vec<f64>| jackknife(&Columns { score, mos: columns.mos, scene: columns.scene }.sorted());
    let jackknives: Vec<Jackknife> = columns.scores.par_iter().map(jackknife_column).collect();
    Measure::ALL.into_iter().map(|measure| compare(measure, &jackknives, pairs, level)).collect()
}

fn compare(measure: Measure, jackknives: &[Jackknife], pairs: &[(usize, usize)], level: f64) -> PairedMeasure {
    let estimate = |column: &Jackknife| measure.select(column).map(|value| value.estimate(Scale::Fisher, level));
    let mut differences: Vec<PairedDifference> = pairs
        .iter()
        .map(|&(first, second)| {
            let both = measure.select(&jackknives[second]).zip(measure.select(&jackknives[first]));
            let difference = both.map(|(second, first)| second.minus(first).expect("both have the same scenes"));
            let (estimate, p) = difference.map_or((None, None), |difference| test_difference(&difference, level));
            PairedDifference { first, second, estimate, p, p_corrected: None }
        })
        .collect();
    let p: Vec<Option<f64>> = differences.iter().map(|difference| difference.p).collect();
    for (difference, p) in differences.iter_mut().zip(holm_of_known(&p)) {
        difference.p_corrected = p;
    }
    PairedMeasure { measure, values: jackknives.iter().map(estimate).collect(), differences }
}

/// Returns the difference with its interval, and its p-value.
fn test_difference(difference: &LeaveOneOut, level: f64) -> (Option<Estimate>, Option<f64>) {
    let value = difference.value;
    match difference.standard_error(Scale::Plain) {
        Ok(error) => {
            let interval = Interval::student(value, error, Scale::Plain, level, difference.method);
            // Coefficients lie between -1 and 1, so differences lie between -2 and 2.
            let interval = Interval { low: interval.low.max(-2.0), high: interval.high.min(2.0), ..interval };
            let p = two_sided_p(value / error.error, error.degrees_of_freedom);
            (Some(Estimate { value, interval: Ok(interval) }), Some(p))
        }
        Err(reason) => (Some(Estimate { value, interval: Err(reason) }), None),
    }
}

impl PairedDifference {
    /// Returns why a defined difference has no interval.
    pub fn missing_interval(&self) -> Option<NoInterval> {
        self.estimate?.interval.err()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kendall::krcc;
    use crate::pearson::plcc;
    use crate::spearman::srcc;

    const TOLERANCE: f64 = 1e-9;

    /// Returns two columns of scores of eight scenes with three pictures each.
    fn columns() -> (Vec<Vec<f64>>, Vec<f64>, Vec<u32>) {
        let rows = 0..24_u32;
        let mos: Vec<f64> = rows.clone().map(|row| f64::from(row * 7 % 24)).collect();
        let column = |slope: f64, factor: u32, cycle: u32, step: f64| {
            let noise = rows.clone().map(move |row| f64::from(row * factor % cycle) * step);
            mos.iter().zip(noise).map(|(mos, noise)| mos * slope + noise).collect::<Vec<f64>>()
        };
        (vec![column(1.0, 5, 11, 1.5), column(0.5, 13, 17, 1.25)], mos, rows.map(|row| row / 3).collect())
    }

    #[test]
    fn a_difference_is_that_of_scipy_and_numpy() {
        // By spearmanr, pearsonr and kendalltau of scipy.stats, with d[s] without scene s, numpy's
        // se = sqrt(7 / 8 * ((d - d.mean()) ** 2).sum()), stats.t.ppf(.975, 7) and 2 * stats.t.sf(abs(t), 7):
        // first, second, difference, low, high, p.
        let expected = [
            (
                Measure::Srcc,
                [
                    0.88,
                    0.5530434782608695,
                    -0.3269565217391305,
                    -0.7094281174437418,
                    0.05551507396548078,
                    0.08295840276463701,
                ],
            ),
            (
                Measure::Plcc,
                [
                    0.8751870367267569,
                    0.5853839109642069,
                    -0.28980312576254996,
                    -0.5957443066881187,
                    0.01613805516301875,
                    0.060087371755814196,
                ],
            ),
            (
                Measure::Krcc,
                [
                    0.7463768115942029,
                    0.41304347826086957,
                    -0.3333333333333333,
                    -0.6500209534892072,
                    -0.016645713177459442,
                    0.04166278826408619,
                ],
            ),
        ];
        let (scores, mos, scene) = columns();
        let found = paired_differences(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
        for (paired, (measure, numbers)) in found.iter().zip(expected) {
            assert_eq!(paired.measure, measure);
            let difference = &paired.differences[0];
            let estimate = difference.estimate.unwrap();
            let interval = estimate.interval.unwrap();
            let value = |column: usize| paired.values[column].unwrap().value;
            let found = [value(0), value(1), estimate.value, interval.low, interval.high, difference.p.unwrap()];
            for (found, expected) in found.iter().zip(numbers) {
                assert!((found - expected).abs() < TOLERANCE, "{measure:?}: {found} instead of {expected}");
            }
            assert_eq!(difference.p, difference.p_corrected, "one pair needs no correction");
        }
    }

    #[test]
    fn equal_columns_and_few_scenes_have_no_interval() {
        let (mut scores, mos, scene) = columns();
        scores[1] = scores[0].clone();
        let same = paired_differences(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
        for paired in &same {
            let difference = &paired.differences[0];
            assert_eq!(difference.estimate.unwrap().value, 0.0);
            assert_eq!((difference.missing_interval(), difference.p), (Some(NoInterval::Constant), None));
        }
        let (scores, mos, _) = columns();
        let scene: Vec<u32> = (0..24).map(|row| row / 6).collect();
        let few = paired_differences(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
        assert_eq!(few[0].differences[0].missing_interval(), Some(NoInterval::TooFewScenes));
        let none =
            paired_differences(&ScoreColumns { scores: &[vec![], vec![]], mos: &[], scene: &[] }, &[(0, 1)], 0.95);
        assert_eq!((none[0].values[0], none[0].differences[0].estimate), (None, None));
    }

    proptest! {
        #[test]
        fn a_reversed_difference_has_the_opposite_sign(
            rows in prop::collection::vec((-6..6_i8, -6..6_i8, -4..9_i8, 0..8_u32), 12..60)
        ) {
            let column =
                |cell: fn(&(i8, i8, i8, u32)) -> i8| rows.iter().map(|row| f64::from(cell(row))).collect::<Vec<f64>>();
            let (scores, mos) = (vec![column(|row| row.0), column(|row| row.1)], column(|row| row.2));
            let scene: Vec<u32> = rows.iter().map(|row| row.3).collect();
            let columns = ScoreColumns { scores: &scores, mos: &mos, scene: &scene };
            let one = paired_differences(&columns, &[(0, 1)], 0.95);
            let other = paired_differences(&columns, &[(1, 0)], 0.95);
            type Plain = fn(&[f64], &[f64]) -> Option<f64>;
            let plain: [Plain; 3] = [srcc, plcc, krcc];
            for ((one, other), plain) in one.iter().zip(&other).zip(plain) {
                for (column, score) in scores.iter().enumerate() {
                    prop_assert_eq!(one.values[column].map(|estimate| estimate.value), plain(score, &mos));
                }
                let (one, other) = (&one.differences[0], &other.differences[0]);
                prop_assert_eq!(one.p, other.p);
                if let (Some(one), Some(other)) = (one.estimate, other.estimate) {
                    prop_assert_eq!(one.value, -other.value);
                    if let (Ok(one), Ok(other)) = (one.interval, other.interval) {
                        prop_assert!((one.low + other.high).abs() < 1e-12);
                    }
                }
                if let (Some(p), Some(Ok(interval))) = (one.p, one.estimate.map(|estimate| estimate.interval)) {
                    let excludes_zero = interval.low > 0.0 || interval.high < 0.0;
                    prop_assert!(excludes_zero == (p < 0.05) || (p - 0.05).abs() < 1e-9);
                }
            }
        }
    }
}
