//! All measures of one table of rows with their intervals, by jackknife or by bootstrap over scenes.

use rayon::join;

use super::bootstrap::Bootstrap;
use super::estimate::{Estimate, IntervalMethod, NoInterval, SCENES_MIN, Scale};
use super::jackknife::jackknife;
use super::kendall::{self, PairCounts};
use super::levels::Levels;
use super::pairwise::pairs_by_scene;
use super::pearson::{Moments, Unit, plcc, rmse};
use super::spearman;
use super::{Columns, SortedColumns};

/// Up to this many rows each replicate is ranked anew, which takes about a second for 1,000 replicates of so many on two
/// cores; above, it would take minutes, and SRCC and KRCC are linearised. The two agree well before.
const RANKED_ROWS_MAX: usize = 20_000;

/// What intervals are made from.
#[derive(Clone, Copy, Debug)]
pub enum Resampling {
    /// Each scene is left out once: no chance, nothing to choose.
    Jackknife {
        /// Share of studies whose interval holds the true value: 0.95.
        level: f64,
    },
    /// Scenes are drawn with replacement.
    Bootstrap(Bootstrap),
}

impl Resampling {
    /// Share of studies whose interval is meant to hold the true value.
    pub fn level(&self) -> f64 {
        match self {
            Resampling::Jackknife { level } => *level,
            Resampling::Bootstrap(bootstrap) => bootstrap.level,
        }
    }
}

/// The measures of a table of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// Rows.
    pub rows: u64,
    /// Scenes: what is left out, or drawn.
    pub scenes: u64,
    /// Spearman's rank correlation.
    pub srcc: Option<Estimate>,
    /// Kendall's tau-b.
    pub krcc: Option<Estimate>,
    /// Pearson's correlation.
    pub plcc: Option<Estimate>,
    /// The root of the mean squared difference of score and label.
    pub rmse: Option<Estimate>,
    /// Of pairs of one scene's pictures.
    pub pairwise_accuracy: Option<Estimate>,
}

/// Every measure, with its interval.
pub fn intervals(table: &SortedColumns<'_>, resampling: &Resampling) -> Intervals {
    match resampling {
        Resampling::Jackknife { level } => by_jackknife(table, *level),
        Resampling::Bootstrap(bootstrap) => by_bootstrap(table, bootstrap, RANKED_ROWS_MAX),
    }
}

fn by_jackknife(table: &SortedColumns<'_>, level: f64) -> Intervals {
    let of = jackknife(table);
    Intervals {
        rows: of.rows,
        scenes: of.scenes.len() as u64,
        srcc: of.srcc.map(|of| of.estimate(Scale::Fisher, level)),
        krcc: of.krcc.map(|of| of.estimate(Scale::Fisher, level)),
        plcc: of.plcc.map(|of| of.estimate(Scale::Fisher, level)),
        rmse: of.rmse.map(|of| of.root_mean_square_estimate(level)),
        pairwise_accuracy: of.pairwise_accuracy.map(|of| of.share_estimate(level)),
    }
}

fn by_bootstrap(table: &SortedColumns<'_>, bootstrap: &Bootstrap, ranked_rows_max: usize) -> Intervals {
    let table = Resampled::of(table);
    let (point, replicates, method) = if table.score.rows() <= ranked_rows_max {
        let (point, replicates) = table.ranked(bootstrap);
        (point, replicates, IntervalMethod::Bootstrap)
    } else {
        let (point, replicates) = table.linearised(bootstrap);
        (point, replicates, IntervalMethod::LinearisedBootstrap)
    };
    let estimate = |of: fn(&Values) -> Option<f64>, method| {
        let scenes = table.scene.counts.len();
        let interval = if scenes < SCENES_MIN {
            Err(NoInterval::TooFewScenes)
        } else {
            bootstrap.interval(replicates.iter().map(of), scenes, method)
        };
        of(&point).map(|value| Estimate { value, interval })
    };
    Intervals {
        rows: table.score.rows() as u64,
        scenes: table.scene.counts.len() as u64,
        srcc: estimate(|values| values.srcc, method),
        krcc: estimate(|values| values.krcc, method),
        plcc: estimate(|values| values.plcc, IntervalMethod::Bootstrap),
        rmse: estimate(|values| values.rmse, IntervalMethod::Bootstrap),
        pairwise_accuracy: estimate(|values| values.pairwise_accuracy, IntervalMethod::Bootstrap),
    }
}

/// One replicate's measures, or all rows'.
#[derive(Clone, Copy)]
struct Values {
    srcc: Option<f64>,
    krcc: Option<f64>,
    plcc: Option<f64>,
    rmse: Option<f64>,
    pairwise_accuracy: Option<f64>,
}

/// The rows' order, and of each scene what the measures that are not of ranks need.
struct Resampled<'a> {
    columns: Columns<'a>,
    score: &'a Levels,
    mos: &'a Levels,
    scene: &'a Levels,
    sums: Vec<Sums>,
}

/// Memory that replicates use again.
#[derive(Default)]
struct Scratch {
    /// Of each row.
    weights: Vec<u32>,
    spearman: spearman::Scratch,
    kendall: kendall::Scratch,
}

impl<'a> Resampled<'a> {
    fn of(table: &'a SortedColumns<'_>) -> Resampled<'a> {
        let SortedColumns { columns, score, mos, scene } = table;
        let (unit_score, unit_mos) = (Unit::of(columns.score), Unit::of(columns.mos));
        let pairs = pairs_by_scene(score, mos, scene);
        let of_scene = |(rows, pairs): (&[u32], &PairCounts)| {
            let mut sums = Sums::of_pairs(pairs);
            for &row in rows {
                let (score, mos) = (columns.score[row as usize], columns.mos[row as usize]);
                sums.moments.add(unit_score.of_value(score), unit_mos.of_value(mos));
                sums.squared_errors += (score - mos) * (score - mos);
            }
            sums
        };
        let sums = scene.groups().zip(&pairs).map(of_scene).collect();
        Resampled { columns: *columns, score, mos, scene, sums }
    }

    /// Ranks are taken anew in each replicate.
    fn ranked(&self, bootstrap: &Bootstrap) -> (Values, Vec<Values>) {
        let srcc = spearman::of(self.score, self.mos);
        let krcc = kendall::PairCounts::of(self.score, self.mos).tau_b();
        let replicate = |scratch: &mut Scratch, counts: &[u32]| {
            let Scratch { weights, spearman, kendall } = scratch;
            weights.clear();
            weights.extend(self.scene.codes.iter().map(|&scene| counts[scene as usize]));
            Values {
                srcc: spearman::weighted(self.score, self.mos, weights, spearman),
                krcc: kendall::weighted(self.score, self.mos, weights, kendall),
                ..Sums::drawn(&self.sums, counts).values()
            }
        };
        (self.point(srcc, krcc), bootstrap.replicates(self.sums.len(), replicate))
    }

    /// Ranks are taken once; a replicate adds up by how much its rows move the coefficients.
    fn linearised(&self, bootstrap: &Bootstrap) -> (Values, Vec<Values>) {
        let of_ranks = join(|| spearman::influence(self.score, self.mos), || kendall::influence(self.score, self.mos));
        let (units, units_len) = bootstrap.units(self.sums.len());
        let mut sums = vec![Sums::default(); units_len];
        for ((&unit, of_scene), rows) in units.iter().zip(&self.sums).zip(self.scene.groups()) {
            let sums = &mut sums[unit as usize];
            sums.add(of_scene, 1.0);
            let moved = |influence: &Option<(f64, Vec<f64>)>| match influence {
                Some((_, of_row)) => rows.iter().map(|&row| of_row[row as usize]).sum(),
                None => 0.0,
            };
            sums.srcc += moved(&of_ranks.0);
            sums.krcc += moved(&of_ranks.1);
        }
        let (srcc, krcc) = (of_ranks.0.map(|srcc| srcc.0), of_ranks.1.map(|krcc| krcc.0));
        let replicate = |(): &mut (), counts: &[u32]| {
            let drawn = Sums::drawn(&sums, counts);
            let moved = |value: Option<f64>, by: f64| value.map(|value| moved(value, by / drawn.moments.n));
            Values { srcc: moved(srcc, drawn.srcc), krcc: moved(krcc, drawn.krcc), ..drawn.values() }
        };
        (self.point(srcc, krcc), bootstrap.replicates(units_len, replicate))
    }

    fn point(&self, srcc: Option<f64>, krcc: Option<f64>) -> Values {
        let columns = &self.columns;
        let plcc = plcc(columns.score, columns.mos);
        let rmse = rmse(columns.score, columns.mos);
        Values { srcc, krcc, plcc, rmse, ..Sums::drawn(&self.sums, &vec![1; self.sums.len()]).values() }
    }
}

/// A coefficient that rows move `by` so much, to first order on Fisher's scale, which has no ends to run into.
fn moved(value: f64, by: f64) -> f64 {
    if value.abs() < 1.0 { (value.atanh() + by / (1.0 - value * value)).tanh() } else { value }
}

/// Sums over a scene's rows, or a unit's: what a replicate is added up from.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    moments: Moments,
    squared_errors: f64,
    /// Pairs that are ordered alike, ties by half.
    pairs_agree: f64,
    pairs: f64,
    /// By how much the rows move SRCC, times the number of all rows.
    srcc: f64,
    /// The same of KRCC.
    krcc: f64,
}

impl Sums {
    fn of_pairs(pairs: &PairCounts) -> Sums {
        let pairs = pairs.accuracy();
        Sums {
            pairs_agree: pairs.agree as f64 + pairs.tied as f64 / 2.0,
            pairs: (pairs.agree + pairs.disagree + pairs.tied) as f64,
            ..Sums::default()
        }
    }

    fn drawn(all: &[Sums], counts: &[u32]) -> Sums {
        let mut drawn = Sums::default();
        for (sums, &count) in all.iter().zip(counts) {
            drawn.add(sums, count.into());
        }
        drawn
    }

    fn add(&mut self, other: &Sums, weight: f64) {
        self.moments.add_all(&other.moments, weight);
        self.squared_errors += weight * other.squared_errors;
        self.pairs_agree += weight * other.pairs_agree;
        self.pairs += weight * other.pairs;
        self.srcc += weight * other.srcc;
        self.krcc += weight * other.krcc;
    }

    /// The measures that are not of ranks.
    fn values(&self) -> Values {
        let over = |sum: f64, n: f64| (n > 0.0).then(|| sum / n);
        Values {
            srcc: None,
            krcc: None,
            plcc: self.moments.plcc(),
            rmse: over(self.squared_errors, self.moments.n).map(f64::sqrt),
            pairwise_accuracy: over(self.pairs_agree, self.pairs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::table;
    use super::*;

    fn width(estimate: Option<Estimate>) -> f64 {
        let interval = estimate.unwrap().interval.unwrap();
        assert!(interval.low < estimate.unwrap().value && estimate.unwrap().value < interval.high);
        interval.high - interval.low
    }

    #[test]
    fn linearised_intervals_agree_with_ranks_taken_anew() {
        let (score, mos, scene) = table(3000, 300, 2);
        let columns = Columns { score: &score, mos: &mos, scene: &scene };
        let bootstrap = Bootstrap { replicates: 500, ..Bootstrap::default() };
        let (anew, linear) =
            (by_bootstrap(&columns.sorted(), &bootstrap, 3000), by_bootstrap(&columns.sorted(), &bootstrap, 0));
        assert_eq!(anew.srcc.unwrap().interval.unwrap().method, IntervalMethod::Bootstrap);
        assert_eq!(linear.srcc.unwrap().interval.unwrap().method, IntervalMethod::LinearisedBootstrap);
        for (anew, linear) in [(anew.srcc, linear.srcc), (anew.krcc, linear.krcc)] {
            assert_eq!(anew.unwrap().value, linear.unwrap().value);
            let (anew, linear) = (anew.unwrap().interval.unwrap(), linear.unwrap().interval.unwrap());
            let width = anew.high - anew.low;
            // What is left is of second order: about 1 / scenes.
            assert!((anew.low - linear.low).abs() < 0.05 * width, "{anew:?} {linear:?}");
            assert!((anew.high - linear.high).abs() < 0.05 * width, "{anew:?} {linear:?}");
        }
        assert_eq!((anew.plcc, anew.rmse), (linear.plcc, linear.rmse));
        assert_eq!(anew.pairwise_accuracy, linear.pairwise_accuracy);
    }

    #[test]
    fn blocks_of_scenes_are_as_sure_as_scenes() {
        let (score, mos, scene) = table(40_000, 20_000, 3);
        let columns = Columns { score: &score, mos: &mos, scene: &scene };
        let bootstrap = Bootstrap { replicates: 400, ..Bootstrap::default() };
        let blocks = by_bootstrap(&columns.sorted(), &bootstrap, 0);
        let scenes = by_bootstrap(&columns.sorted(), &Bootstrap { replicates: 400, ..bootstrap }, 40_000);
        for (blocks, scenes) in [
            (blocks.srcc, scenes.srcc),
            (blocks.krcc, scenes.krcc),
            (blocks.plcc, scenes.plcc),
            (blocks.rmse, scenes.rmse),
            (blocks.pairwise_accuracy, scenes.pairwise_accuracy),
        ] {
            // 400 replicates tell a width to some 6%, twice over.
            let ratio = width(blocks) / width(scenes);
            assert!((0.8..1.25).contains(&ratio), "{ratio}");
        }
    }

    #[test]
    fn intervals_narrow_with_scenes_and_not_with_rows_of_a_scene() {
        for resampling in [
            Resampling::Jackknife { level: 0.95 },
            Resampling::Bootstrap(Bootstrap { replicates: 300, ..Bootstrap::default() }),
        ] {
            narrows(&resampling);
        }
    }

    fn narrows(resampling: &Resampling) {
        let of = |rows, scenes| {
            let (score, mos, scene) = table(rows, scenes, 4);
            width(intervals(&Columns { score: &score, mos: &mos, scene: &scene }.sorted(), resampling).srcc)
        };
        let (few, many) = (of(600, 60), of(6000, 600));
        assert!(many < few / 2.2, "{few} {many}");
        let (score, mos, scene) = table(600, 60, 4);
        let twice = |values: &[f64]| [values, values].concat();
        let scene = [scene.clone(), scene].concat();
        let doubled = Columns { score: &twice(&score), mos: &twice(&mos), scene: &scene };
        let doubled = width(intervals(&doubled.sorted(), resampling).srcc);
        assert!((doubled / few - 1.0).abs() < 0.05, "{few} {doubled}");
    }

    #[test]
    fn one_scene_says_nothing_of_others() {
        let columns = Columns { score: &[1.0, 2.0, 3.0], mos: &[1.0, 3.0, 2.0], scene: &[7, 7, 7] };
        for resampling in [Resampling::Jackknife { level: 0.95 }, Resampling::Bootstrap(Bootstrap::default())] {
            let of = intervals(&columns.sorted(), &resampling);
            assert_eq!(of.srcc, Some(Estimate { value: 0.5, interval: Err(NoInterval::TooFewScenes) }));
            assert_eq!((of.rows, of.scenes), (3, 1));
            let none = intervals(&Columns { score: &[], mos: &[], scene: &[] }.sorted(), &resampling);
            assert_eq!((none.srcc, none.rmse, none.pairwise_accuracy), (None, None, None));
        }
    }

    #[test]
    fn jackknife_and_bootstrap_agree_where_scenes_are_many() {
        let (score, mos, scene) = table(3000, 300, 5);
        let columns = Columns { score: &score, mos: &mos, scene: &scene };
        let bootstrap = Bootstrap { replicates: 500, ..Bootstrap::default() };
        let (jackknife, bootstrap) =
            (by_jackknife(&columns.sorted(), 0.95), by_bootstrap(&columns.sorted(), &bootstrap, 3000));
        for (jackknife, bootstrap) in [
            (jackknife.srcc, bootstrap.srcc),
            (jackknife.krcc, bootstrap.krcc),
            (jackknife.plcc, bootstrap.plcc),
            (jackknife.rmse, bootstrap.rmse),
            (jackknife.pairwise_accuracy, bootstrap.pairwise_accuracy),
        ] {
            let ratio = width(jackknife) / width(bootstrap);
            assert!((0.88..1.15).contains(&ratio), "{ratio}");
        }
    }
}
