//! Measures without each scene in turn, and the intervals that follow (MacKinnon, Nielsen and Webb 2023: the cluster
//! jackknife with Student's t of scenes less 1 degrees of freedom). Pure, and no chance is in it.
//!
//! KRCC, PLCC, RMSE and pairwise accuracy are exact for any table: what a scene adds to them is a sum. SRCC is taken again
//! without each scene where that is little work, and to first order above.

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::join;

use super::estimate::{Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError};
use super::kendall::{self, PairCounts};
use super::levels::Levels;
use super::pairwise::pairs_by_scene;
use super::pearson::{Moments, Unit, plcc, rmse};
use super::spearman;
use super::{Columns, SortedColumns};

/// Up to this many rows times scenes SRCC is ranked again without each scene: some tenths of a second.
const RANKED_WORK_MAX: usize = 40_000_000;

/// And up to this many scenes whatever the rows: with few scenes the first order is not near enough.
const RANKED_SCENES_MAX: usize = 50;

/// A measure of all scenes and without each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteOne {
    /// Of all scenes.
    pub value: f64,
    /// Without each scene, in the order of the scenes' numbers; None where it is not defined.
    pub without: Vec<Option<f64>>,
    /// How the values without a scene were made.
    pub method: IntervalMethod,
}

impl DeleteOne {
    /// The standard error on `scale`: sqrt((S - 1) / S times the sum of squares about the mean of the values without each
    /// of S scenes).
    ///
    /// # Errors
    /// Why there is none.
    pub fn standard_error(&self, scale: Scale) -> Result<StandardError, NoInterval> {
        if self.without.len() < SCENES_MIN {
            return Err(NoInterval::TooFewScenes);
        }
        let scaled: Option<Vec<f64>> = self.without.iter().map(|value| value.map(|value| scale.of(value))).collect();
        let scaled = scaled.ok_or(NoInterval::Undefined)?;
        if !scale.of(self.value).is_finite() || scaled.iter().any(|value| !value.is_finite()) {
            return Err(NoInterval::Perfect);
        }
        let scenes = scaled.len() as f64;
        let mean = scaled.iter().sum::<f64>() / scenes;
        let squares: f64 = scaled.iter().map(|value| (value - mean) * (value - mean)).sum();
        let error = ((scenes - 1.0) / scenes * squares).sqrt();
        // What is left of equal values is rounding.
        if error <= 1e-12 * mean.abs() {
            return Err(NoInterval::Constant);
        }
        Ok(StandardError { error, freedom: scenes - 1.0 })
    }

    /// The value with Student's interval on `scale`.
    pub fn estimate(&self, scale: Scale, level: f64) -> Estimate {
        let interval = self.standard_error(scale);
        let interval = interval.map(|of| Interval::student(self.value, of, scale, level, self.method));
        Estimate { value: self.value, interval }
    }

    /// The value, a root of a mean of squared errors, with Student's interval on the logarithm. Squares are skewed and have long tails,
    /// so their standard error is as sure as that of half as many scenes would be: (S - 1) / 2 degrees of freedom, with which
    /// the interval covers 92 to 97% of simulations where S - 1 covered 89 to 95%.
    pub fn root_mean_square_estimate(&self, level: f64) -> Estimate {
        let of = self.standard_error(Scale::Logarithm);
        let of = of.map(|of| StandardError { freedom: of.freedom / 2.0, ..of });
        let interval = of.map(|of| Interval::student(self.value, of, Scale::Logarithm, level, self.method));
        Estimate { value: self.value, interval }
    }

    /// The value, a share, with Wilson's interval.
    pub fn share_estimate(&self, level: f64) -> Estimate {
        let at_end = self.value <= 0.0 || self.value >= 1.0;
        let scenes = self.without.len() as f64;
        let of = match self.standard_error(Scale::Plain) {
            Err(NoInterval::Constant) if at_end => Ok(StandardError { error: 0.0, freedom: scenes - 1.0 }),
            other => other,
        };
        let interval = of.map(|of| Interval::wilson(self.value, of, level, scenes));
        Estimate { value: self.value, interval }
    }

    /// The difference to another measure of the same scenes, scene by scene: what both have in common is not in its error.
    /// None if they are not of equally many scenes.
    pub fn minus(&self, other: &DeleteOne) -> Option<DeleteOne> {
        if self.without.len() != other.without.len() {
            return None;
        }
        let both = self.without.iter().zip(&other.without);
        let without = both.map(|(a, b)| Some((*a)? - (*b)?)).collect();
        let method = if self.method == IntervalMethod::JackknifeT { other.method } else { self.method };
        Some(DeleteOne { value: self.value - other.value, without, method })
    }
}

/// The measures of a table of rows, each of all scenes and without each of them; None where it is not defined.
#[derive(Clone, Debug, PartialEq)]
pub struct Jackknife {
    /// Rows.
    pub rows: u64,
    /// The scenes' numbers, ascending: what the values without a scene are in the order of.
    pub scenes: Vec<u32>,
    /// Spearman's rank correlation.
    pub srcc: Option<DeleteOne>,
    /// Kendall's tau-b.
    pub krcc: Option<DeleteOne>,
    /// Pearson's correlation.
    pub plcc: Option<DeleteOne>,
    /// The root of the mean squared difference of score and label.
    pub rmse: Option<DeleteOne>,
    /// Of pairs of one scene's pictures.
    pub pairwise_accuracy: Option<DeleteOne>,
}

/// Every measure of `columns`, of all scenes and without each of them.
pub fn jackknife(table: &SortedColumns<'_>) -> Jackknife {
    jackknife_by(table, RANKED_WORK_MAX, RANKED_SCENES_MAX)
}

fn jackknife_by(table: &SortedColumns<'_>, ranked_work_max: usize, ranked_scenes_max: usize) -> Jackknife {
    let SortedColumns { columns, score, mos, scene } = table;
    let pairs = pairs_by_scene(score, mos, scene);
    let scenes = scene.counts.len();
    let is_ranked = scenes <= ranked_scenes_max || score.rows().saturating_mul(scenes) <= ranked_work_max;
    let srcc = || if is_ranked { ranked(score, mos, scene) } else { to_first_order(score, mos, scene) };
    let (srcc, krcc) = join(srcc, || tau(score, mos, (scene, &pairs)));
    let [plcc, rmse, pairwise_accuracy] = sums(columns, scene, &pairs);
    let first = |rows: &[u32]| columns.scene[rows[0] as usize];
    let scenes = scene.groups().map(first).collect();
    Jackknife { rows: score.rows() as u64, scenes, srcc, krcc, plcc, rmse, pairwise_accuracy }
}

/// SRCC, ranked again without each scene.
fn ranked(score: &Levels, mos: &Levels, scene: &Levels) -> Option<DeleteOne> {
    let value = spearman::of(score, mos)?;
    let scenes: Vec<&[u32]> = scene.groups().collect();
    let scratch = || (vec![1_u32; score.rows()], spearman::Scratch::default());
    let without = |(weights, scratch): &mut (Vec<u32>, spearman::Scratch), rows: &[u32]| {
        rows.iter().for_each(|&row| weights[row as usize] = 0);
        let value = spearman::weighted(score, mos, weights, scratch);
        rows.iter().for_each(|&row| weights[row as usize] = 1);
        value
    };
    let without = scenes.into_par_iter().map_init(scratch, without).collect();
    Some(DeleteOne { value, without, method: IntervalMethod::JackknifeT })
}

/// SRCC, and without each scene as far as its rows' influence says, on Fisher's scale, which has no ends to run into.
fn to_first_order(score: &Levels, mos: &Levels, scene: &Levels) -> Option<DeleteOne> {
    let (value, influence) = spearman::influence(score, mos)?;
    let method = IntervalMethod::LinearisedJackknifeT;
    let without = |rows: &[u32]| {
        let moved: f64 = rows.iter().map(|&row| influence[row as usize]).sum();
        let rest = (score.rows() - rows.len()) as f64;
        let is_inside = value.abs() < 1.0 && rest > 0.0;
        is_inside.then(|| Scale::Fisher.back(Scale::Fisher.of(value) - moved / rest / Scale::Fisher.unit(value)))
    };
    Some(DeleteOne { value, without: scene.groups().map(without).collect(), method })
}

/// Tau-b: a scene takes the pairs of its rows with all rows, those among themselves once.
fn tau(score: &Levels, mos: &Levels, (scene, pairs): (&Levels, &[PairCounts])) -> Option<DeleteOne> {
    let concordance = kendall::concordance(score, mos);
    let (sum, rows) = (concordance.iter().sum::<i64>() / 2, score.rows() as u64);
    let all = super::levels::pairs(rows);
    let (untied_score, untied_mos) = (all - score.tied_pairs(), all - mos.tied_pairs());
    let value = kendall::tau(sum, untied_score, untied_mos)?;
    let untied = |levels: &Levels, row: u32| rows - u64::from(levels.counts[levels.codes[row as usize] as usize]);
    let without = |(rows, within): (&[u32], &PairCounts)| {
        let of_rows = |of: &dyn Fn(u32) -> u64| rows.iter().map(|&row| of(row)).sum::<u64>();
        let ordered = within.concordant + within.discordant;
        let taken: i64 = rows.iter().map(|&row| concordance[row as usize]).sum();
        kendall::tau(
            sum - taken + within.concordant as i64 - within.discordant as i64,
            untied_score + ordered + within.tied_y - of_rows(&|row| untied(score, row)),
            untied_mos + ordered + within.tied_x - of_rows(&|row| untied(mos, row)),
        )
    };
    let without = scene.groups().zip(pairs).map(without).collect();
    Some(DeleteOne { value, without, method: IntervalMethod::JackknifeT })
}

/// Sums over a scene's rows.
#[derive(Clone, Copy, Default)]
struct Sums {
    moments: Moments,
    squared_errors: f64,
    pairs_agree: f64,
    pairs: f64,
}

impl Sums {
    fn plus(mut self, other: &Sums) -> Sums {
        self.moments.add_all(&other.moments, 1.0);
        self.squared_errors += other.squared_errors;
        self.pairs_agree += other.pairs_agree;
        self.pairs += other.pairs;
        self
    }

    fn values(&self) -> [Option<f64>; 3] {
        let over = |sum: f64, n: f64| (n > 0.0).then(|| sum / n);
        let rmse = over(self.squared_errors, self.moments.n).map(f64::sqrt);
        [self.moments.plcc(), rmse, over(self.pairs_agree, self.pairs)]
    }
}

/// PLCC, RMSE and pairwise accuracy. Without a scene is before it plus after it: nothing is subtracted, so nothing cancels.
fn sums(columns: &Columns<'_>, scene: &Levels, pairs: &[PairCounts]) -> [Option<DeleteOne>; 3] {
    let (unit_score, unit_mos) = (Unit::of(columns.score), Unit::of(columns.mos));
    let of_scene = |(rows, pairs): (&[u32], &PairCounts)| {
        let accuracy = pairs.accuracy();
        let mut sums = Sums {
            pairs_agree: accuracy.agree as f64 + accuracy.tied as f64 / 2.0,
            pairs: (accuracy.agree + accuracy.disagree + accuracy.tied) as f64,
            ..Sums::default()
        };
        for &row in rows {
            let (score, mos) = (columns.score[row as usize], columns.mos[row as usize]);
            sums.moments.add(unit_score.of_value(score), unit_mos.of_value(mos));
            sums.squared_errors += (score - mos) * (score - mos);
        }
        sums
    };
    let scenes: Vec<Sums> = scene.groups().zip(pairs).map(of_scene).collect();
    let mut after = vec![Sums::default(); scenes.len() + 1];
    for (place, sums) in scenes.iter().enumerate().rev() {
        after[place] = after[place + 1].plus(sums);
    }
    let mut before = Sums::default();
    let mut without: [Vec<Option<f64>>; 3] = Default::default();
    for (sums, after) in scenes.iter().zip(&after[1..]) {
        for (without, value) in without.iter_mut().zip(before.plus(after).values()) {
            without.push(value);
        }
        before = before.plus(sums);
    }
    let all = [plcc(columns.score, columns.mos), rmse(columns.score, columns.mos), before.values()[2]];
    let mut without = without.into_iter();
    all.map(|value| {
        let without = without.next().expect("one for each measure");
        value.map(|value| DeleteOne { value, without, method: IntervalMethod::JackknifeT })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::table;
    use super::super::{krcc, pairwise_accuracy, srcc};
    use super::*;

    /// The rows of all scenes but one.
    fn without(columns: &Columns<'_>, scene: u32) -> (Vec<f64>, Vec<f64>, Vec<u32>) {
        let kept = (0..columns.scene.len()).filter(|&row| columns.scene[row] != scene);
        let kept: Vec<usize> = kept.collect();
        let value = |of: &[f64]| kept.iter().map(|&row| of[row]).collect::<Vec<_>>();
        (value(columns.score), value(columns.mos), kept.iter().map(|&row| columns.scene[row]).collect())
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
            let of = jackknife(&columns.sorted());
            for (place, &number) in of.scenes.iter().enumerate() {
                let (score, mos, scene) = without(&columns, number);
                let rest = Columns { score: &score, mos: &mos, scene: &scene };
                let accuracy = pairwise_accuracy(&rest).and_then(|of| of.value());
                for (measure, wanted, all) in [
                    (&of.srcc, srcc(&score, &mos), srcc(columns.score, columns.mos)),
                    (&of.krcc, krcc(&score, &mos), krcc(columns.score, columns.mos)),
                    (&of.plcc, plcc(&score, &mos), plcc(columns.score, columns.mos)),
                    (&of.rmse, rmse(&score, &mos), rmse(columns.score, columns.mos)),
                    (&of.pairwise_accuracy, accuracy, pairwise_accuracy(&columns).and_then(|of| of.value())),
                ] {
                    prop_assert_eq!(measure.as_ref().map(|of| of.value), all);
                    let Some(measure) = measure else { continue };
                    match (measure.without[place], wanted) {
                        (Some(value), Some(wanted)) => prop_assert!((value - wanted).abs() < 1e-9),
                        (value, wanted) => prop_assert_eq!(value, wanted),
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

    /// Six scenes of two pictures; the numbers are of the review's `mc.py` (`jackknife t`, `Wilson n_eff t`) on these rows;
    /// RMSE's with 2.5 degrees of freedom.
    #[test]
    fn intervals_are_the_references() {
        let score = [0.10, 0.42, 0.35, 0.30, 0.55, 0.75, 0.20, 0.61, 0.48, 0.90, 0.15, 0.70];
        let mos = [1.0, 2.5, 2.0, 2.2, 3.1, 2.9, 1.4, 3.0, 3.6, 4.5, 1.9, 2.7];
        let scene = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5];
        let of = jackknife(&Columns { score: &score, mos: &mos, scene: &scene }.sorted());
        let check = |estimate: Estimate, [value, low, high]: [f64; 3]| {
            let interval = estimate.interval.unwrap();
            let far = [estimate.value - value, interval.low - low, interval.high - high];
            assert!(far.iter().all(|far| far.abs() < 1e-9), "{estimate:?}");
        };
        check(of.srcc.unwrap().estimate(Scale::Fisher, 0.95), SRCC);
        check(of.krcc.unwrap().estimate(Scale::Fisher, 0.95), KRCC);
        check(of.plcc.unwrap().estimate(Scale::Fisher, 0.95), PLCC);
        check(of.rmse.unwrap().root_mean_square_estimate(0.95), RMSE);
        check(of.pairwise_accuracy.unwrap().share_estimate(0.95), PAIRS);
    }

    #[test]
    fn to_first_order_is_near_where_scenes_are_many() {
        let (score, mos, scene) = table(3000, 300, 2);
        let table = Columns { score: &score, mos: &mos, scene: &scene }.sorted();
        let (anew, linear) = (jackknife_by(&table, usize::MAX, 0), jackknife_by(&table, 0, 0));
        let [anew, linear] = [anew, linear].map(|of| of.srcc.unwrap().estimate(Scale::Fisher, 0.95));
        let (anew, linear) = (anew.interval.unwrap(), linear.interval.unwrap());
        assert_eq!(anew.method, IntervalMethod::JackknifeT);
        assert_eq!(linear.method, IntervalMethod::LinearisedJackknifeT);
        // What is left is of second order: about 1 / scenes.
        assert!((anew.error / linear.error - 1.0).abs() < 0.02, "{anew:?} {linear:?}");
    }

    #[test]
    fn a_missing_interval_has_its_reason() {
        let few = jackknife(&Columns { score: &[1.0, 2.0, 3.0], mos: &[1.0, 3.0, 2.0], scene: &[7, 7, 7] }.sorted());
        let estimate = few.srcc.unwrap().estimate(Scale::Fisher, 0.95);
        assert_eq!(estimate, Estimate { value: 0.5, interval: Err(NoInterval::TooFewScenes) });
        let rising = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let of = jackknife(&Columns { score: &rising, mos: &rising, scene: &[0, 1, 2, 3, 4, 5] }.sorted());
        let reason = |of: Option<DeleteOne>, scale| of.unwrap().estimate(scale, 0.95).interval.unwrap_err();
        assert_eq!(reason(of.srcc, Scale::Fisher), NoInterval::Perfect);
        assert_eq!(reason(of.rmse, Scale::Logarithm), NoInterval::Perfect);
        assert_eq!(of.pairwise_accuracy, None);
        let one_differs = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let of = jackknife(&Columns { score: &one_differs, mos: &rising, scene: &[0, 1, 2, 3, 4, 5] }.sorted());
        assert_eq!(reason(of.srcc, Scale::Fisher), NoInterval::Undefined);
        let none = jackknife(&Columns { score: &[], mos: &[], scene: &[] }.sorted());
        assert_eq!((none.srcc, none.rmse, none.pairwise_accuracy), (None, None, None));
    }

    #[test]
    fn a_difference_of_measures_of_the_same_scenes_has_only_its_own_error() {
        let (score, mos, scene) = table(600, 60, 4);
        let nearly: Vec<f64> = score.iter().zip(0_u32..).map(|(x, row)| x + 0.01 * f64::from(row % 7)).collect();
        let of = |score: &[f64]| jackknife(&Columns { score, mos: &mos, scene: &scene }.sorted()).srcc.unwrap();
        let (a, b) = (of(&score), of(&nearly));
        let error = |of: &DeleteOne| of.standard_error(Scale::Plain).unwrap().error;
        assert!(error(&a.minus(&b).unwrap()) < error(&a) / 5.0);
        assert_eq!(a.minus(&a).unwrap().estimate(Scale::Plain, 0.95).interval, Err(NoInterval::Constant));
    }
}
