//! Agreement of scores with labels: all measures of one table with their intervals, by jackknife or bootstrap over
//! scenes.

use rayon::join;

use crate::columns::SortedColumns;
use crate::estimate::{Estimate, IntervalMethod, NoInterval, SCENES_MIN, Scale};
use crate::jackknife::jackknife;
use crate::kendall::{self, PairCounts};
use crate::pairwise_accuracy::pairs_by_scene;
use crate::pearson::{plcc, rmse};
use crate::scene_bootstrap::Bootstrap;
use crate::scene_sums::SceneSums;
use crate::spearman;

/// Up to this many rows, SRCC and KRCC are ranked again in each bootstrap replicate, which takes about a second for
/// 1,000 replicates of this many rows on two cores. In larger tables it would take minutes, and both are linearised;
/// the two methods agree well at much smaller sizes.
const RANKED_ROWS_MAX: usize = 20_000;

/// How intervals are computed.
#[derive(Clone, Copy, Debug)]
pub enum Resampling {
    /// Leaves out each scene once. It involves no randomness.
    Jackknife {
        /// The nominal coverage of the intervals, such as 0.95.
        level: f64,
    },
    /// Draws scenes with replacement.
    Bootstrap(Bootstrap),
}

impl Resampling {
    /// Returns the nominal coverage of the intervals.
    pub fn level(&self) -> f64 {
        match self {
            Resampling::Jackknife { level } => *level,
            Resampling::Bootstrap(bootstrap) => bootstrap.level,
        }
    }
}

/// The measures of agreement of a table's scores with its labels; `None` for a measure that is undefined.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// The number of rows.
    pub rows: u64,
    /// The number of scenes, which are the units of resampling.
    pub scenes: u64,
    /// Spearman's rank correlation, with its interval on Fisher's scale.
    pub srcc: Option<Estimate>,
    /// Kendall's tau-b, with its interval on Fisher's scale.
    pub krcc: Option<Estimate>,
    /// Pearson's correlation, with its interval on Fisher's scale.
    pub plcc: Option<Estimate>,
    /// The root of the mean squared difference of score and label, which should have the same unit.
    pub rmse: Option<Estimate>,
    /// The share of pairs of pictures of one scene that score and label order alike, with Wilson's interval.
    pub pairwise_accuracy: Option<Estimate>,
}

/// Computes every measure with its interval over scenes. Scenes are assumed to be independent draws from the scenes
/// that the statement is about.
///
/// # Examples
/// ```
/// use dqa_stats::{Columns, Resampling, estimate_agreement};
///
/// // Six scenes with two pictures each.
/// let table = Columns {
///     score: &[0.10, 0.42, 0.35, 0.30, 0.55, 0.75, 0.20, 0.61, 0.48, 0.90, 0.15, 0.70],
///     mos: &[1.0, 2.5, 2.0, 2.2, 3.1, 2.9, 1.4, 3.0, 3.6, 4.5, 1.9, 2.7],
///     scene: &[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
/// };
/// let agreement = estimate_agreement(&table.sorted(), &Resampling::Jackknife { level: 0.95 });
/// let srcc = agreement.srcc.unwrap();
/// let interval = srcc.interval.unwrap();
/// assert!((srcc.value - 0.8531).abs() < 1e-4);
/// assert!((interval.low - -0.0667).abs() < 1e-4 && (interval.high - 0.9891).abs() < 1e-4);
/// ```
pub fn estimate_agreement(table: &SortedColumns<'_>, resampling: &Resampling) -> Agreement {
    match resampling {
        Resampling::Jackknife { level } => by_jackknife(table, *level),
        Resampling::Bootstrap(bootstrap) => by_bootstrap(table, bootstrap, RANKED_ROWS_MAX),
    }
}

fn by_jackknife(table: &SortedColumns<'_>, level: f64) -> Agreement {
    let measures = jackknife(table);
    Agreement {
        rows: measures.rows,
        scenes: measures.scenes.len() as u64,
        srcc: measures.srcc.map(|srcc| srcc.estimate(Scale::Fisher, level)),
        krcc: measures.krcc.map(|krcc| krcc.estimate(Scale::Fisher, level)),
        plcc: measures.plcc.map(|plcc| plcc.estimate(Scale::Fisher, level)),
        rmse: measures.rmse.map(|rmse| rmse.root_mean_square_estimate(level)),
        pairwise_accuracy: measures.pairwise_accuracy.map(|accuracy| accuracy.share_estimate(level)),
    }
}

fn by_bootstrap(table: &SortedColumns<'_>, bootstrap: &Bootstrap, ranked_rows_max: usize) -> Agreement {
    let resampled = Resampled::new(table);
    let rows = table.score.rows();
    let (observed, replicates, method) = if rows <= ranked_rows_max {
        let (observed, replicates) = resampled.ranked(bootstrap);
        (observed, replicates, IntervalMethod::Bootstrap)
    } else {
        let (observed, replicates) = resampled.linearised(bootstrap);
        (observed, replicates, IntervalMethod::LinearisedBootstrap)
    };
    let scenes = table.scene.counts.len();
    let estimate = |measure: fn(&Measures) -> Option<f64>, method| {
        let interval = if scenes < SCENES_MIN {
            Err(NoInterval::TooFewScenes)
        } else {
            bootstrap.interval(replicates.iter().map(measure), scenes, method)
        };
        measure(&observed).map(|value| Estimate { value, interval })
    };
    Agreement {
        rows: rows as u64,
        scenes: scenes as u64,
        srcc: estimate(|measures| measures.srcc, method),
        krcc: estimate(|measures| measures.krcc, method),
        plcc: estimate(|measures| measures.plcc, IntervalMethod::Bootstrap),
        rmse: estimate(|measures| measures.rmse, IntervalMethod::Bootstrap),
        pairwise_accuracy: estimate(|measures| measures.pairwise_accuracy, IntervalMethod::Bootstrap),
    }
}

/// The measures of one replicate, or of all rows.
#[derive(Clone, Copy)]
struct Measures {
    srcc: Option<f64>,
    krcc: Option<f64>,
    plcc: Option<f64>,
    rmse: Option<f64>,
    pairwise_accuracy: Option<f64>,
}

impl Measures {
    fn from_sums(srcc: Option<f64>, krcc: Option<f64>, sums: &SceneSums) -> Measures {
        let (plcc, rmse) = (sums.plcc(), sums.rmse());
        Measures { srcc, krcc, plcc, rmse, pairwise_accuracy: sums.pairwise_accuracy() }
    }
}

/// A table and the sums of each of its scenes.
struct Resampled<'a> {
    table: &'a SortedColumns<'a>,
    scenes: Vec<SceneSums>,
}

/// Buffers that replicates share.
#[derive(Default)]
struct ReplicateScratch {
    /// How often each row occurs.
    weights: Vec<u32>,
    spearman: spearman::SpearmanScratch,
    kendall: kendall::KendallScratch,
}

impl<'a> Resampled<'a> {
    fn new(table: &'a SortedColumns<'a>) -> Resampled<'a> {
        let pairs = pairs_by_scene(&table.score, &table.mos, &table.scene);
        Resampled { table, scenes: SceneSums::by_scene(table, &pairs) }
    }

    /// Ranks the rows again in each replicate.
    fn ranked(&self, bootstrap: &Bootstrap) -> (Measures, Vec<Measures>) {
        let SortedColumns { score, mos, scene, .. } = self.table;
        let srcc = spearman::coefficient(score, mos);
        let krcc = PairCounts::count(score, mos).tau_b();
        let replicate = |scratch: &mut ReplicateScratch, counts: &[u32]| {
            let ReplicateScratch { weights, spearman, kendall } = scratch;
            weights.clear();
            weights.extend(scene.ranks.iter().map(|&scene| counts[scene as usize]));
            let srcc = spearman::weighted_coefficient(score, mos, weights, spearman);
            let krcc = kendall::weighted_coefficient(score, mos, weights, kendall);
            Measures::from_sums(srcc, krcc, &SceneSums::weighted(&self.scenes, counts))
        };
        (self.observed(srcc, krcc), bootstrap.replicates(self.scenes.len(), replicate))
    }

    /// Ranks the rows once; a replicate adds up the influence of its rows on the coefficients.
    fn linearised(&self, bootstrap: &Bootstrap) -> (Measures, Vec<Measures>) {
        let SortedColumns { score, mos, scene, .. } = self.table;
        let (srcc, krcc) = join(|| spearman::influence(score, mos), || kendall::influence(score, mos));
        let (unit_by_scene, unit_count) = bootstrap.resampling_units(self.scenes.len());
        let mut units = vec![SceneSums::default(); unit_count];
        for ((&unit, scene_sums), rows) in unit_by_scene.iter().zip(&self.scenes).zip(scene.groups()) {
            let sums = &mut units[unit as usize];
            sums.add(scene_sums, 1.0);
            let scene_influence = |influence: &Option<(f64, Vec<f64>)>| match influence {
                Some((_, row_influence)) => rows.iter().map(|&row| row_influence[row as usize]).sum(),
                None => 0.0,
            };
            sums.srcc_influence += scene_influence(&srcc);
            sums.krcc_influence += scene_influence(&krcc);
        }
        let (srcc, krcc) = (srcc.map(|srcc| srcc.0), krcc.map(|krcc| krcc.0));
        let replicate = |(): &mut (), counts: &[u32]| {
            let drawn = SceneSums::weighted(&units, counts);
            let changed = |value: Option<f64>, influence: f64| {
                value.map(|value| change_to_first_order(value, influence / drawn.moments.n))
            };
            let (srcc, krcc) = (changed(srcc, drawn.srcc_influence), changed(krcc, drawn.krcc_influence));
            Measures::from_sums(srcc, krcc, &drawn)
        };
        (self.observed(srcc, krcc), bootstrap.replicates(unit_count, replicate))
    }

    fn observed(&self, srcc: Option<f64>, krcc: Option<f64>) -> Measures {
        let columns = &self.table.columns;
        let sums = SceneSums::weighted(&self.scenes, &vec![1; self.scenes.len()]);
        let (plcc, rmse) = (plcc(columns.score, columns.mos), rmse(columns.score, columns.mos));
        Measures { srcc, krcc, plcc, rmse, pairwise_accuracy: sums.pairwise_accuracy() }
    }
}

/// Changes a coefficient by `change`, to first order on Fisher's scale, which has no ends.
fn change_to_first_order(value: f64, change: f64) -> f64 {
    if value.abs() < 1.0 { (value.atanh() + change / (1.0 - value * value)).tanh() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Columns;
    use crate::tests::table;

    fn width(estimate: Option<Estimate>) -> f64 {
        let interval = estimate.unwrap().interval.unwrap();
        assert!(interval.low < estimate.unwrap().value && estimate.unwrap().value < interval.high);
        interval.high - interval.low
    }

    #[test]
    fn linearised_intervals_agree_with_ranked_ones() {
        let (score, mos, scene) = table(3000, 300, 2);
        let columns = Columns { score: &score, mos: &mos, scene: &scene };
        let bootstrap = Bootstrap { replicates: 500, ..Bootstrap::default() };
        let (ranked, linear) =
            (by_bootstrap(&columns.sorted(), &bootstrap, 3000), by_bootstrap(&columns.sorted(), &bootstrap, 0));
        assert_eq!(ranked.srcc.unwrap().interval.unwrap().method, IntervalMethod::Bootstrap);
        assert_eq!(linear.srcc.unwrap().interval.unwrap().method, IntervalMethod::LinearisedBootstrap);
        for (ranked, linear) in [(ranked.srcc, linear.srcc), (ranked.krcc, linear.krcc)] {
            assert_eq!(ranked.unwrap().value, linear.unwrap().value);
            let (ranked, linear) = (ranked.unwrap().interval.unwrap(), linear.unwrap().interval.unwrap());
            let width = ranked.high - ranked.low;
            // The rest is of second order: about 1 / scenes.
            assert!((ranked.low - linear.low).abs() < 0.05 * width, "{ranked:?} {linear:?}");
            assert!((ranked.high - linear.high).abs() < 0.05 * width, "{ranked:?} {linear:?}");
        }
        assert_eq!((ranked.plcc, ranked.rmse), (linear.plcc, linear.rmse));
        assert_eq!(ranked.pairwise_accuracy, linear.pairwise_accuracy);
    }

    #[test]
    fn intervals_over_blocks_of_scenes_are_as_wide_as_over_scenes() {
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
            // 400 replicates determine each width to about 6%.
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
            check_narrowing(&resampling);
        }
    }

    fn check_narrowing(resampling: &Resampling) {
        let srcc_width = |rows, scenes| {
            let (score, mos, scene) = table(rows, scenes, 4);
            width(estimate_agreement(&Columns { score: &score, mos: &mos, scene: &scene }.sorted(), resampling).srcc)
        };
        let (few, many) = (srcc_width(600, 60), srcc_width(6000, 600));
        assert!(many < few / 2.2, "{few} {many}");
        let (score, mos, scene) = table(600, 60, 4);
        let twice = |values: &[f64]| [values, values].concat();
        let scene = [scene.clone(), scene].concat();
        let doubled = Columns { score: &twice(&score), mos: &twice(&mos), scene: &scene };
        let doubled = width(estimate_agreement(&doubled.sorted(), resampling).srcc);
        assert!((doubled / few - 1.0).abs() < 0.05, "{few} {doubled}");
    }

    #[test]
    fn one_scene_has_no_interval() {
        let columns = Columns { score: &[1.0, 2.0, 3.0], mos: &[1.0, 3.0, 2.0], scene: &[7, 7, 7] };
        for resampling in [Resampling::Jackknife { level: 0.95 }, Resampling::Bootstrap(Bootstrap::default())] {
            let agreement = estimate_agreement(&columns.sorted(), &resampling);
            assert_eq!(agreement.srcc, Some(Estimate { value: 0.5, interval: Err(NoInterval::TooFewScenes) }));
            assert_eq!((agreement.rows, agreement.scenes), (3, 1));
            let none = estimate_agreement(&Columns { score: &[], mos: &[], scene: &[] }.sorted(), &resampling);
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
