//! All measures of one table of rows with their intervals.

use rayon::join;

use super::Columns;
use super::bootstrap::{Bootstrap, Estimate, IntervalMethod};
use super::levels::Levels;
use super::pairwise::{PairwiseAccuracy, by_scene};
use super::pearson::{Moments, Unit, plcc, rmse};
use super::{kendall, spearman};

/// Up to this many rows each replicate is ranked anew, which takes about a second for 1,000 replicates of so many on two
/// cores; above, it would take minutes, and SRCC and KRCC are linearised. The two agree well before.
const RANKED_ROWS_MAX: usize = 20_000;

/// The measures of a table of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// Rows.
    pub rows: u64,
    /// Scenes: what the bootstrap draws.
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

/// Every measure, with an interval by bootstrap over scenes.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn intervals(columns: &Columns<'_>, bootstrap: &Bootstrap) -> Intervals {
    intervals_by(columns, bootstrap, RANKED_ROWS_MAX)
}

fn intervals_by(columns: &Columns<'_>, bootstrap: &Bootstrap, ranked_rows_max: usize) -> Intervals {
    columns.check();
    let table = Table::of(columns);
    let (point, replicates, method) = if columns.score.len() <= ranked_rows_max {
        let (point, replicates) = table.ranked(columns, bootstrap);
        (point, replicates, IntervalMethod::Bootstrap)
    } else {
        let (point, replicates) = table.linearised(columns, bootstrap);
        (point, replicates, IntervalMethod::LinearisedBootstrap)
    };
    let estimate = |of: fn(&Values) -> Option<f64>, method| {
        let interval = bootstrap.interval(replicates.iter().map(of), method);
        of(&point).map(|value| Estimate { value, interval })
    };
    Intervals {
        rows: columns.score.len() as u64,
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
struct Table {
    score: Levels,
    mos: Levels,
    scene: Levels,
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

impl Table {
    fn of(columns: &Columns<'_>) -> Table {
        let (score, mos) = join(|| Levels::of(columns.score), || Levels::of(columns.mos));
        let scene = Levels::of_numbers(columns.scene);
        let (unit_score, unit_mos) = (Unit::of(columns.score), Unit::of(columns.mos));
        let pairs = by_scene(&score, &mos, &scene);
        let of_scene = |(rows, pairs): (&[u32], &PairwiseAccuracy)| {
            let mut sums = Sums::of_pairs(pairs);
            for &row in rows {
                let (score, mos) = (columns.score[row as usize], columns.mos[row as usize]);
                sums.moments.add(unit_score.of_value(score), unit_mos.of_value(mos));
                sums.squared_errors += (score - mos) * (score - mos);
            }
            sums
        };
        let sums = scene.groups().zip(&pairs).map(of_scene).collect();
        Table { score, mos, scene, sums }
    }

    /// Ranks are taken anew in each replicate.
    fn ranked(&self, columns: &Columns<'_>, bootstrap: &Bootstrap) -> (Values, Vec<Values>) {
        let srcc = spearman::of(&self.score, &self.mos);
        let krcc = kendall::PairCounts::of(&self.score, &self.mos).tau_b();
        let replicate = |scratch: &mut Scratch, counts: &[u32]| {
            let Scratch { weights, spearman, kendall } = scratch;
            weights.clear();
            weights.extend(self.scene.codes.iter().map(|&scene| counts[scene as usize]));
            Values {
                srcc: spearman::weighted(&self.score, &self.mos, weights, spearman),
                krcc: kendall::weighted(&self.score, &self.mos, weights, kendall),
                ..Sums::drawn(&self.sums, counts).values()
            }
        };
        (self.point(columns, srcc, krcc), bootstrap.replicates(self.sums.len(), replicate))
    }

    /// Ranks are taken once; a replicate adds up by how much its rows move the coefficients.
    fn linearised(&self, columns: &Columns<'_>, bootstrap: &Bootstrap) -> (Values, Vec<Values>) {
        let of_ranks =
            join(|| spearman::influence(&self.score, &self.mos), || kendall::influence(&self.score, &self.mos));
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
            let moved =
                |value: Option<f64>, by: f64| value.map(|value| (value + by / drawn.moments.n).clamp(-1.0, 1.0));
            Values { srcc: moved(srcc, drawn.srcc), krcc: moved(krcc, drawn.krcc), ..drawn.values() }
        };
        (self.point(columns, srcc, krcc), bootstrap.replicates(units_len, replicate))
    }

    fn point(&self, columns: &Columns<'_>, srcc: Option<f64>, krcc: Option<f64>) -> Values {
        let plcc = plcc(columns.score, columns.mos);
        let rmse = rmse(columns.score, columns.mos);
        Values { srcc, krcc, plcc, rmse, ..Sums::drawn(&self.sums, &vec![1; self.sums.len()]).values() }
    }
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
    fn of_pairs(pairs: &PairwiseAccuracy) -> Sums {
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
