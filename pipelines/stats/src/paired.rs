//! Which of several columns of scores of the same pictures agrees better with their labels: models, prompts, or metrics.
//! What made a column is not known here.
//!
//! A difference of two coefficients is taken on the coefficients' own scale. Its standard error is the jackknife's over
//! scenes of the difference itself: both coefficients are taken without each scene in turn, so what the columns have in
//! common (the scenes, the labels) is not in it. Interval and p are Student's with as many degrees of freedom as scenes
//! less 1 (MacKinnon, Nielsen and Webb 2023), so the interval leaves 0 out exactly where p is below 1 less the level.
//! Assumed: scenes are independent draws from those that the statement is about; the columns, algorithms and raters are
//! fixed.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::jackknife::{DeleteOne, Jackknife, jackknife};
use super::student::two_sided_p;
use super::{Columns, Estimate, Interval, NoInterval, Scale};

/// Columns of scores of the same pictures.
#[derive(Clone, Copy, Debug)]
pub struct ScoreColumns<'a> {
    /// A score of each picture, of each of those that are compared.
    pub scores: &'a [Vec<f64>],
    /// The label of each picture; higher is better.
    pub mos: &'a [f64],
    /// What each picture shows, as a number of the caller's choice.
    pub scene: &'a [u32],
}

/// A coefficient of agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Spearman's rank correlation.
    Srcc,
    /// Pearson's correlation.
    Plcc,
    /// Kendall's tau-b.
    Krcc,
}

/// A measure of every column, and its differences between them.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedMeasure {
    /// Which.
    pub measure: Measure,
    /// Of each column, with the interval that correlations have (Fisher's z); None where it is not defined.
    pub values: Vec<Option<Estimate>>,
    /// Of the pairs that were asked for, in their order.
    pub differences: Vec<Difference>,
}

/// The second column's coefficient less the first's.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// A column.
    pub first: usize,
    /// Another one.
    pub second: usize,
    /// None where one of the coefficients is not defined.
    pub estimate: Option<Estimate>,
    /// That there is no difference: two-sided; None without an interval.
    pub p: Option<f64>,
    /// The same, corrected for the differences of this measure that have one (Holm 1979).
    pub p_corrected: Option<f64>,
}

impl Measure {
    /// All of them.
    pub const ALL: [Measure; 3] = [Measure::Srcc, Measure::Plcc, Measure::Krcc];

    /// As tables have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Measure::Srcc => "srcc",
            Measure::Plcc => "plcc",
            Measure::Krcc => "krcc",
        }
    }

    fn of(self, jackknife: &Jackknife) -> Option<&DeleteOne> {
        match self {
            Measure::Srcc => jackknife.srcc.as_ref(),
            Measure::Plcc => jackknife.plcc.as_ref(),
            Measure::Krcc => jackknife.krcc.as_ref(),
        }
    }
}

/// Takes every measure of each column, and of each of `pairs` the difference.
///
/// # Panics
/// Where a value is NaN, the lengths differ, or a pair names a column that is not there.
pub fn paired(columns: &ScoreColumns<'_>, pairs: &[(usize, usize)], level: f64) -> Vec<PairedMeasure> {
    let of = |score: &Vec<f64>| jackknife(&Columns { score, mos: columns.mos, scene: columns.scene }.sorted());
    let taken: Vec<Jackknife> = columns.scores.par_iter().map(of).collect();
    Measure::ALL.into_iter().map(|measure| of_measure(measure, &taken, pairs, level)).collect()
}

fn of_measure(measure: Measure, taken: &[Jackknife], pairs: &[(usize, usize)], level: f64) -> PairedMeasure {
    let estimate = |of: &Jackknife| measure.of(of).map(|of| of.estimate(Scale::Fisher, level));
    let mut differences: Vec<Difference> = pairs
        .iter()
        .map(|&(first, second)| {
            let more = measure.of(&taken[second]).zip(measure.of(&taken[first]));
            let more = more.map(|(second, first)| second.minus(first).expect("both are of the same scenes"));
            let (estimate, p) = more.map_or((None, None), |more| with_p(&more, level));
            Difference { first, second, estimate, p, p_corrected: None }
        })
        .collect();
    let p: Vec<Option<f64>> = differences.iter().map(|difference| difference.p).collect();
    for (difference, p) in differences.iter_mut().zip(holm(&p)) {
        difference.p_corrected = p;
    }
    PairedMeasure { measure, values: taken.iter().map(estimate).collect(), differences }
}

/// A difference with its interval and its p.
fn with_p(difference: &DeleteOne, level: f64) -> (Option<Estimate>, Option<f64>) {
    let value = difference.value;
    match difference.standard_error(Scale::Plain) {
        Ok(of) => {
            let interval = Interval::student(value, of, Scale::Plain, level, difference.method);
            // A coefficient is within -1 and 1.
            let interval = Interval { low: interval.low.max(-2.0), high: interval.high.min(2.0), ..interval };
            (Some(Estimate { value, interval: Ok(interval) }), Some(two_sided_p(value / of.error, of.freedom)))
        }
        Err(reason) => (Some(Estimate { value, interval: Err(reason) }), None),
    }
}

impl Difference {
    /// Why it has no interval, where it has a value.
    pub fn missing(&self) -> Option<NoInterval> {
        self.estimate?.interval.err()
    }
}

/// Holm's correction of those that are there.
fn holm(p: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(f64, usize)> = p.iter().enumerate().filter_map(|(at, p)| Some(((*p)?, at))).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut corrected = vec![None; p.len()];
    let mut before = 0.0;
    for (place, &(p, at)) in order.iter().enumerate() {
        before = (p * (order.len() - place) as f64).min(1.0).max(before);
        corrected[at] = Some(before);
    }
    corrected
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{krcc, plcc, srcc};
    use super::*;

    const TOLERANCE: f64 = 1e-9;

    /// Eight scenes of three pictures, in two columns.
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
        // By spearmanr, pearsonr, kendalltau of scipy.stats without each scene d[s], numpy's
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
        let found = paired(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
        for (of, (measure, numbers)) in found.iter().zip(expected) {
            assert_eq!(of.measure, measure);
            let difference = &of.differences[0];
            let estimate = difference.estimate.unwrap();
            let interval = estimate.interval.unwrap();
            let value = |column: usize| of.values[column].unwrap().value;
            let found = [value(0), value(1), estimate.value, interval.low, interval.high, difference.p.unwrap()];
            for (found, expected) in found.iter().zip(numbers) {
                assert!((found - expected).abs() < TOLERANCE, "{measure:?}: {found} instead of {expected}");
            }
            assert_eq!(difference.p, difference.p_corrected, "one pair needs no correction");
        }
    }

    #[test]
    fn a_column_does_not_differ_from_itself_and_few_scenes_say_nothing() {
        let (mut scores, mos, scene) = columns();
        scores[1] = scores[0].clone();
        let same = paired(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
        for of in &same {
            assert_eq!(of.differences[0].estimate.unwrap().value, 0.0);
            assert_eq!((of.differences[0].missing(), of.differences[0].p), (Some(NoInterval::Constant), None));
        }
        let (scores, mos, _) = columns();
        let scene: Vec<u32> = (0..24).map(|row| row / 6).collect();
        let few = paired(&ScoreColumns { scores: &scores, mos: &mos, scene: &scene }, &[(0, 1)], 0.95);
        assert_eq!(few[0].differences[0].missing(), Some(NoInterval::TooFewScenes));
        let none = paired(&ScoreColumns { scores: &[vec![], vec![]], mos: &[], scene: &[] }, &[(0, 1)], 0.95);
        assert_eq!((none[0].values[0], none[0].differences[0].estimate), (None, None));
    }

    #[test]
    fn holms_correction_is_that_of_r() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        let corrected = holm(&[Some(0.01), None, Some(0.04), Some(0.03), Some(0.005)]);
        for (found, expected) in corrected.iter().zip([Some(0.03), None, Some(0.06), Some(0.06), Some(0.02)]) {
            assert_eq!(found.is_some(), expected.is_some());
            assert!((found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-15);
        }
    }

    proptest! {
        #[test]
        fn turned_round_a_difference_has_the_other_sign(
            rows in prop::collection::vec((-6..6_i8, -6..6_i8, -4..9_i8, 0..8_u32), 12..60)
        ) {
            let column = |of: fn(&(i8, i8, i8, u32)) -> i8| rows.iter().map(|row| f64::from(of(row))).collect::<Vec<f64>>();
            let (scores, mos) = (vec![column(|row| row.0), column(|row| row.1)], column(|row| row.2));
            let scene: Vec<u32> = rows.iter().map(|row| row.3).collect();
            let columns = ScoreColumns { scores: &scores, mos: &mos, scene: &scene };
            let (one, other) = (paired(&columns, &[(0, 1)], 0.95), paired(&columns, &[(1, 0)], 0.95));
            type Plain = fn(&[f64], &[f64]) -> Option<f64>;
            let plain: [Plain; 3] = [srcc, plcc, krcc];
            for ((one, other), plain) in one.iter().zip(&other).zip(plain) {
                for (column, score) in scores.iter().enumerate() {
                    prop_assert_eq!(one.values[column].map(|of| of.value), plain(score, &mos));
                }
                let (one, other) = (&one.differences[0], &other.differences[0]);
                prop_assert_eq!(one.p, other.p);
                if let (Some(one), Some(other)) = (one.estimate, other.estimate) {
                    prop_assert_eq!(one.value, -other.value);
                    if let (Ok(one), Ok(other)) = (one.interval, other.interval) {
                        prop_assert!((one.low + other.high).abs() < 1e-12);
                    }
                }
                if let (Some(p), Some(Ok(interval))) = (one.p, one.estimate.map(|of| of.interval)) {
                    let leaves_out = interval.low > 0.0 || interval.high < 0.0;
                    prop_assert!(leaves_out == (p < 0.05) || (p - 0.05).abs() < 1e-9);
                }
            }
        }
    }
}
