//! The delete-one jackknife over scenes: measures without each scene in turn, and the intervals that follow from them
//! (MacKinnon, Nielsen and Webb 2023: the cluster jackknife, with Student's t of as many degrees of freedom as scenes
//! less 1). It involves no randomness.
//!
//! KRCC, PLCC, RMSE and pairwise accuracy are exact for any table, because what a scene adds to them is a sum. SRCC is
//! computed again without each scene where that takes little time, and to first order in larger tables.

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::join;

use crate::columns::SortedColumns;
use crate::dense_ranks::{DenseRanks, pair_count};
use crate::estimate::{Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError};
use crate::kendall::{self, PairCounts};
use crate::pairwise_accuracy::pairs_by_scene;
use crate::pearson::{plcc, rmse};
use crate::scene_sums::SceneSums;
use crate::spearman;

/// Up to this many rows times scenes, SRCC is ranked again without each scene, which takes some tenths of a second.
const RANKED_WORK_MAX: usize = 40_000_000;

/// Up to this many scenes, SRCC is ranked again whatever the number of rows: with few scenes the first order is not
/// accurate enough.
const RANKED_SCENES_MAX: usize = 50;

/// A measure over all scenes and without each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaveOneOut {
    /// The measure over all scenes.
    pub value: f64,
    /// The measure without each scene, in ascending order of scene ids; `None` where it is undefined.
    pub without: Vec<Option<f64>>,
    /// How the values without a scene were computed.
    pub method: IntervalMethod,
}

impl LeaveOneOut {
    /// Returns the jackknife standard error on `scale`: sqrt((S - 1) / S * the sum of squares of the values without
    /// each of S scenes about their mean), with S - 1 degrees of freedom.
    ///
    /// # Errors
    /// If there are too few scenes, or the measure is undefined or at the end of its range without one of them, or
    /// constant.
    pub fn standard_error(&self, scale: Scale) -> Result<StandardError, NoInterval> {
        if self.without.len() < SCENES_MIN {
            return Err(NoInterval::TooFewScenes);
        }
        let scaled: Option<Vec<f64>> =
            self.without.iter().map(|value| value.map(|value| scale.transform(value))).collect();
        let scaled = scaled.ok_or(NoInterval::Undefined)?;
        if !scale.transform(self.value).is_finite() || scaled.iter().any(|value| !value.is_finite()) {
            return Err(NoInterval::Perfect);
        }
        let scenes = scaled.len() as f64;
        let mean = scaled.iter().sum::<f64>() / scenes;
        let squares: f64 = scaled.iter().map(|value| (value - mean) * (value - mean)).sum();
        let error = ((scenes - 1.0) / scenes * squares).sqrt();
        // The spread of equal values is rounding.
        if error <= 1e-12 * mean.abs() {
            return Err(NoInterval::Constant);
        }
        Ok(StandardError { error, degrees_of_freedom: scenes - 1.0 })
    }

    /// Returns the value with Student's interval, symmetric on `scale`.
    pub fn estimate(&self, scale: Scale, level: f64) -> Estimate {
        let standard_error = self.standard_error(scale);
        let interval = standard_error.map(|error| Interval::student(self.value, error, scale, level, self.method));
        Estimate { value: self.value, interval }
    }

    /// Returns the value, a root mean square, with Student's interval on the logarithmic scale. Squares are skewed and
    /// have long tails, so their standard error is as uncertain as that of half as many scenes: the interval has (S -
    /// 1) / 2 degrees of freedom and covers 92 to 97% in simulations, where S - 1 covered 89 to 95%.
    pub fn root_mean_square_estimate(&self, level: f64) -> Estimate {
        let interval = self.standard_error(Scale::Logarithm).map(|error| {
            let halved = StandardError { degrees_of_freedom: error.degrees_of_freedom / 2.0, ..error };
            Interval::student(self.value, halved, Scale::Logarithm, level, self.method)
        });
        Estimate { value: self.value, interval }
    }

    /// Returns the value, a proportion, with Wilson's interval.
    pub fn share_estimate(&self, level: f64) -> Estimate {
        let at_end = self.value <= 0.0 || self.value >= 1.0;
        let scenes = self.without.len() as f64;
        let standard_error = match self.standard_error(Scale::Plain) {
            Err(NoInterval::Constant) if at_end => Ok(StandardError { error: 0.0, degrees_of_freedom: scenes - 1.0 }),
            other => other,
        };
        let interval = standard_error.map(|error| Interval::wilson(self.value, error, level, scenes));
        Estimate { value: self.value, interval }
    }

    /// Returns the difference to another measure of the same scenes, scene by scene, so that its standard error does
    /// not include what both have in common. `None` if the numbers of scenes differ.
    pub fn minus(&self, other: &LeaveOneOut) -> Option<LeaveOneOut> {
        if self.without.len() != other.without.len() {
            return None;
        }
        let both = self.without.iter().zip(&other.without);
        let without = both.map(|(a, b)| Some((*a)? - (*b)?)).collect();
        let method = if self.method == IntervalMethod::JackknifeT { other.method } else { self.method };
        Some(LeaveOneOut { value: self.value - other.value, without, method })
    }
}

/// The measures of a table over all scenes and without each of them; `None` for a measure that is undefined.
#[derive(Clone, Debug, PartialEq)]
pub struct Jackknife {
    /// The number of rows.
    pub rows: u64,
    /// The scene ids in ascending order, which is the order of the values without a scene.
    pub scenes: Vec<u32>,
    /// Spearman's rank correlation.
    pub srcc: Option<LeaveOneOut>,
    /// Kendall's tau-b.
    pub krcc: Option<LeaveOneOut>,
    /// Pearson's correlation.
    pub plcc: Option<LeaveOneOut>,
    /// The root of the mean squared difference of score and label.
    pub rmse: Option<LeaveOneOut>,
    /// The share of pairs of pictures of one scene that score and label order alike.
    pub pairwise_accuracy: Option<LeaveOneOut>,
}

/// Computes every measure over all scenes and without each of them.
pub fn jackknife(table: &SortedColumns<'_>) -> Jackknife {
    jackknife_with_limits(table, RANKED_WORK_MAX, RANKED_SCENES_MAX)
}

fn jackknife_with_limits(table: &SortedColumns<'_>, ranked_work_max: usize, ranked_scenes_max: usize) -> Jackknife {
    let SortedColumns { columns, score, mos, scene } = table;
    let pairs = pairs_by_scene(score, mos, scene);
    let scenes = scene.counts.len();
    let is_ranked = scenes <= ranked_scenes_max || score.rows().saturating_mul(scenes) <= ranked_work_max;
    let srcc =
        || if is_ranked { leave_out_srcc(score, mos, scene) } else { leave_out_srcc_linearised(score, mos, scene) };
    let (srcc, krcc) = join(srcc, || leave_out_krcc(score, mos, (scene, &pairs)));
    let [plcc, rmse, pairwise_accuracy] = leave_out_sums(table, &pairs);
    let scene_id = |rows: &[u32]| columns.scene[rows[0] as usize];
    let scenes = scene.groups().map(scene_id).collect();
    Jackknife { rows: score.rows() as u64, scenes, srcc, krcc, plcc, rmse, pairwise_accuracy }
}

/// Computes SRCC, ranking the rows again without each scene.
fn leave_out_srcc(score: &DenseRanks, mos: &DenseRanks, scene: &DenseRanks) -> Option<LeaveOneOut> {
    let value = spearman::coefficient(score, mos)?;
    let scenes: Vec<&[u32]> = scene.groups().collect();
    let scratch = || (vec![1_u32; score.rows()], spearman::SpearmanScratch::default());
    let without = |(weights, scratch): &mut (Vec<u32>, spearman::SpearmanScratch), rows: &[u32]| {
        rows.iter().for_each(|&row| weights[row as usize] = 0);
        let value = spearman::weighted_coefficient(score, mos, weights, scratch);
        rows.iter().for_each(|&row| weights[row as usize] = 1);
        value
    };
    let without = scenes.into_par_iter().map_init(scratch, without).collect();
    Some(LeaveOneOut { value, without, method: IntervalMethod::JackknifeT })
}

/// Computes SRCC, and SRCC without each scene to first order in the influence of its rows. The step is taken on
/// Fisher's scale, which has no ends.
fn leave_out_srcc_linearised(score: &DenseRanks, mos: &DenseRanks, scene: &DenseRanks) -> Option<LeaveOneOut> {
    let (value, influence) = spearman::influence(score, mos)?;
    let method = IntervalMethod::LinearisedJackknifeT;
    let without = |rows: &[u32]| {
        let change: f64 = rows.iter().map(|&row| influence[row as usize]).sum();
        let rest = (score.rows() - rows.len()) as f64;
        let is_inside = value.abs() < 1.0 && rest > 0.0;
        let scale = Scale::Fisher;
        is_inside.then(|| scale.inverse(scale.transform(value) - change / rest / scale.inverse_derivative(value)))
    };
    Some(LeaveOneOut { value, without: scene.groups().map(without).collect(), method })
}

/// Computes tau-b. Leaving out a scene removes the pairs of its rows with all rows, pairs among themselves once.
fn leave_out_krcc(
    score: &DenseRanks,
    mos: &DenseRanks,
    (scene, pairs): (&DenseRanks, &[PairCounts]),
) -> Option<LeaveOneOut> {
    let concordance = kendall::row_concordance(score, mos);
    let (sum, rows) = (concordance.iter().sum::<i64>() / 2, score.rows() as u64);
    let all = pair_count(rows);
    let (untied_score, untied_mos) = (all - score.tied_pairs(), all - mos.tied_pairs());
    let value = kendall::tau_b(sum, untied_score, untied_mos)?;
    let untied = |dense: &DenseRanks, row: u32| rows - u64::from(dense.counts[dense.ranks[row as usize] as usize]);
    let without = |(rows, within): (&[u32], &PairCounts)| {
        let sum_over_rows = |count: &dyn Fn(u32) -> u64| rows.iter().map(|&row| count(row)).sum::<u64>();
        let ordered = within.concordant + within.discordant;
        let removed: i64 = rows.iter().map(|&row| concordance[row as usize]).sum();
        kendall::tau_b(
            sum - removed + within.concordant as i64 - within.discordant as i64,
            untied_score + ordered + within.tied_y - sum_over_rows(&|row| untied(score, row)),
            untied_mos + ordered + within.tied_x - sum_over_rows(&|row| untied(mos, row)),
        )
    };
    let without = scene.groups().zip(pairs).map(without).collect();
    Some(LeaveOneOut { value, without, method: IntervalMethod::JackknifeT })
}

/// Computes PLCC, RMSE and pairwise accuracy. The sums without a scene are those before it plus those after it: nothing
/// is subtracted, so nothing cancels.
fn leave_out_sums(table: &SortedColumns<'_>, pairs: &[PairCounts]) -> [Option<LeaveOneOut>; 3] {
    let scenes = SceneSums::by_scene(table, pairs);
    let mut after = vec![SceneSums::default(); scenes.len() + 1];
    for (position, sums) in scenes.iter().enumerate().rev() {
        after[position] = after[position + 1].plus(sums);
    }
    let mut before = SceneSums::default();
    let (mut plcc_without, mut rmse_without, mut accuracy_without) = (Vec::new(), Vec::new(), Vec::new());
    for (sums, after) in scenes.iter().zip(&after[1..]) {
        let rest = before.plus(after);
        plcc_without.push(rest.plcc());
        rmse_without.push(rest.rmse());
        accuracy_without.push(rest.pairwise_accuracy());
        before = before.plus(sums);
    }
    let (score, mos) = (table.columns.score, table.columns.mos);
    let leave_one_out = |value: Option<f64>, without: Vec<Option<f64>>| {
        value.map(|value| LeaveOneOut { value, without, method: IntervalMethod::JackknifeT })
    };
    [
        leave_one_out(plcc(score, mos), plcc_without),
        leave_one_out(rmse(score, mos), rmse_without),
        leave_one_out(before.pairwise_accuracy(), accuracy_without),
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::columns::Columns;
    use crate::kendall::krcc;
    use crate::pairwise_accuracy::pairwise_accuracy;
    use crate::spearman::srcc;
    use crate::tests::table;

    /// Returns the rows of all scenes but one.
    fn rows_without(columns: &Columns<'_>, scene: u32) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
        let kept = (0..columns.scene.len()).filter(|&row| columns.scene[row] != scene);
        let kept: Vec<usize> = kept.collect();
        let select = |column: &[f64]| kept.iter().map(|&row| column[row]).collect::<Vec<_>>();
        (select(columns.score), select(columns.mos), kept.iter().map(|&row| columns.scene[row]).collect())
    }

    proptest! {
        #[test]
        fn values_without_a_scene_are_those_of_the_other_rows(
            rows in prop::collection::vec((-6..6_i8, -4..9_i8, 0..7_u32), 1..60)
        ) {
            let score: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 7.0).collect();
            let mos: Vec<f64> = rows.iter().map(|row| f64::from(row.1)).collect();
            let scene: Vec<u32> = rows.iter().map(|row| row.2 * 3 + 1).collect();
            let columns = Columns { score: &score, mos: &mos, scene: &scene };
            let jackknife = jackknife(&columns.sorted());
            for (index, &id) in jackknife.scenes.iter().enumerate() {
                let (score, mos, scene) = rows_without(&columns, id);
                let rest = Columns { score: &score, mos: &mos, scene: &scene };
                let accuracy = pairwise_accuracy(&rest).and_then(|counts| counts.value());
                for (measure, expected, all) in [
                    (&jackknife.srcc, srcc(&score, &mos), srcc(columns.score, columns.mos)),
                    (&jackknife.krcc, krcc(&score, &mos), krcc(columns.score, columns.mos)),
                    (&jackknife.plcc, plcc(&score, &mos), plcc(columns.score, columns.mos)),
                    (&jackknife.rmse, rmse(&score, &mos), rmse(columns.score, columns.mos)),
                    (
                        &jackknife.pairwise_accuracy,
                        accuracy,
                        pairwise_accuracy(&columns).and_then(|counts| counts.value()),
                    ),
                ] {
                    prop_assert_eq!(measure.as_ref().map(|measure| measure.value), all);
                    let Some(measure) = measure else { continue };
                    match (measure.without[index], expected) {
                        (Some(value), Some(expected)) => prop_assert!((value - expected).abs() < 1e-9),
                        (value, expected) => prop_assert_eq!(value, expected),
                    }
                }
            }
        }
    }

    const SRCC: [f64; 3] = [0.8531468531468531, -0.06669836281649777, 0.9890710725710431];
    const KRCC: [f64; 3] = [0.6666666666666666, -0.14826674751637328, 0.9423694654263638];
    const PLCC: [f64; 3] = [0.8685585721133026, 0.6226558042415277, 0.9583297919093985];
    const RMSE: [f64; 3] = [2.2267858002062075, 1.3013301266181811, 3.810389768571675];
    const PAIRS: [f64; 3] = [0.6666666666666666, 0.20368233739011798, 0.9398981519892489];

    /// Six scenes of two pictures. The numbers come from an independent NumPy implementation of the jackknife t
    /// interval and of Wilson's interval with the effective sample size; RMSE has 2.5 degrees of freedom.
    #[test]
    fn intervals_are_the_references() {
        let score = [0.10, 0.42, 0.35, 0.30, 0.55, 0.75, 0.20, 0.61, 0.48, 0.90, 0.15, 0.70];
        let mos = [1.0, 2.5, 2.0, 2.2, 3.1, 2.9, 1.4, 3.0, 3.6, 4.5, 1.9, 2.7];
        let scene = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5];
        let measures = jackknife(&Columns { score: &score, mos: &mos, scene: &scene }.sorted());
        let check = |estimate: Estimate, [value, low, high]: [f64; 3]| {
            let interval = estimate.interval.unwrap();
            let differences = [estimate.value - value, interval.low - low, interval.high - high];
            assert!(differences.iter().all(|difference| difference.abs() < 1e-9), "{estimate:?}");
        };
        check(measures.srcc.unwrap().estimate(Scale::Fisher, 0.95), SRCC);
        check(measures.krcc.unwrap().estimate(Scale::Fisher, 0.95), KRCC);
        check(measures.plcc.unwrap().estimate(Scale::Fisher, 0.95), PLCC);
        check(measures.rmse.unwrap().root_mean_square_estimate(0.95), RMSE);
        check(measures.pairwise_accuracy.unwrap().share_estimate(0.95), PAIRS);
    }

    #[test]
    fn the_first_order_is_accurate_with_many_scenes() {
        let (score, mos, scene) = table(3000, 300, 2);
        let table = Columns { score: &score, mos: &mos, scene: &scene }.sorted();
        let (ranked, linear) = (jackknife_with_limits(&table, usize::MAX, 0), jackknife_with_limits(&table, 0, 0));
        let [ranked, linear] = [ranked, linear].map(|measures| measures.srcc.unwrap().estimate(Scale::Fisher, 0.95));
        let (ranked, linear) = (ranked.interval.unwrap(), linear.interval.unwrap());
        assert_eq!(ranked.method, IntervalMethod::JackknifeT);
        assert_eq!(linear.method, IntervalMethod::LinearisedJackknifeT);
        // The rest is of second order: about 1 / scenes.
        assert!((ranked.standard_error / linear.standard_error - 1.0).abs() < 0.02, "{ranked:?} {linear:?}");
    }

    #[test]
    fn a_missing_interval_has_its_reason() {
        let few = jackknife(&Columns { score: &[1.0, 2.0, 3.0], mos: &[1.0, 3.0, 2.0], scene: &[7, 7, 7] }.sorted());
        let estimate = few.srcc.unwrap().estimate(Scale::Fisher, 0.95);
        assert_eq!(estimate, Estimate { value: 0.5, interval: Err(NoInterval::TooFewScenes) });
        let rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let measures = jackknife(&Columns { score: &rising, mos: &rising, scene: &[0, 1, 2, 3, 4, 5] }.sorted());
        let reason = |measure: Option<LeaveOneOut>, scale| measure.unwrap().estimate(scale, 0.95).interval.unwrap_err();
        assert_eq!(reason(measures.srcc, Scale::Fisher), NoInterval::Perfect);
        assert_eq!(reason(measures.rmse, Scale::Logarithm), NoInterval::Perfect);
        assert_eq!(measures.pairwise_accuracy, None);
        let one_differs = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let measures = jackknife(&Columns { score: &one_differs, mos: &rising, scene: &[0, 1, 2, 3, 4, 5] }.sorted());
        assert_eq!(reason(measures.srcc, Scale::Fisher), NoInterval::Undefined);
        let none = jackknife(&Columns { score: &[], mos: &[], scene: &[] }.sorted());
        assert_eq!((none.srcc, none.rmse, none.pairwise_accuracy), (None, None, None));
    }

    #[test]
    fn a_difference_over_the_same_scenes_has_a_smaller_error() {
        let (score, mos, scene) = table(600, 60, 4);
        let nearly: Vec<f64> = score.iter().zip(0_u32..).map(|(x, row)| x + 0.01 * f64::from(row % 7)).collect();
        let srcc = |score: &[f64]| jackknife(&Columns { score, mos: &mos, scene: &scene }.sorted()).srcc.unwrap();
        let (a, b) = (srcc(&score), srcc(&nearly));
        let error = |measure: &LeaveOneOut| measure.standard_error(Scale::Plain).unwrap().error;
        assert!(error(&a.minus(&b).unwrap()) < error(&a) / 5.0);
        assert_eq!(a.minus(&a).unwrap().estimate(Scale::Plain, 0.95).interval, Err(NoInterval::Constant));
    }
}
