//! Agreement of scores with labels, and how sure it is. Pure: plain slices in, numbers out; no tables, no clock, and
//! chance only from a seed, the same for any number of threads.
//!
//! Everything is signed: callers give labels turned so that higher is better, and no measure is made positive here. A
//! measure that is not defined (fewer than two rows, a side that is constant) is `None`. Values are never NaN: leaving
//! such rows out is the caller's decision, so a NaN is a panic.

mod additive;
mod algorithms;
mod bend;
mod bootstrap;
mod comparing;
mod descent;
mod estimate;
mod exbedde;
mod fit_intervals;
mod flips;
mod intervals;
mod jackknife;
mod kendall;
mod letters;
mod levels;
mod logistic;
mod over_splits;
mod paired;
mod pairwise;
mod pearson;
mod ranking;
mod sorted;
mod spearman;
pub mod student;
mod wilcoxon;

pub use algorithms::algorithm_srcc;
pub use bootstrap::Bootstrap;
pub use comparing::{Comparison, Equivalence, POWER, Test};
pub use descent::fits_vqeg;
pub use estimate::{
    Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError, combined, mean_estimate,
    weighted_correlation, weighted_share,
};
pub use exbedde::{Exbedde, ExbeddeCity, ExbeddeCounts, ExbeddeMeasures, GROUP_PICTURES_MIN, exbedde};
pub use fit_intervals::{FitEstimate, fit_estimates};
pub use intervals::{Intervals, Resampling, intervals};
pub use jackknife::{DeleteOne, Jackknife, jackknife};
pub use kendall::krcc;
pub use logistic::{Fit, FitStatus, Logistic, ROWS_PER_PARAMETER, fit, fits};
pub use over_splits::{OverSplits, over_splits};
pub use paired::{Difference, Measure, PairedMeasure, ScoreColumns, paired};
pub use pairwise::{PairwiseAccuracy, pairwise_accuracy};
pub use pearson::{plcc, rmse};
pub use ranking::{Rank, RankOptions, Ranking, SceneScores, Standing, rank, rank_across};
pub use sorted::SortedColumns;
pub use spearman::srcc;

#[cfg(test)]
mod tests;

use levels::Levels;
// For callers that add up rows which are not in one place.
pub use pearson::Moments;
pub use spearman::of_sums as srcc_of_sums;

/// A table's columns, of equal lengths.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// What the model says.
    pub score: &'a [f64],
    /// The label; higher is better.
    pub mos: &'a [f64],
    /// What a picture shows, as a number of the caller's choice.
    pub scene: &'a [u32],
}

impl Columns<'_> {
    fn check(&self) {
        let rows = self.score.len();
        assert!(self.mos.len() == rows && self.scene.len() == rows, "columns of one table");
    }
}
