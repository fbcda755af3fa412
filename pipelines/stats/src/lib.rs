//! Statistics of image quality metrics: how well the scores of a metric agree with mean opinion scores, and which of
//! several algorithms scores best, each with confidence intervals and tests that account for scenes.
//!
//! The crate is pure: it takes slices and returns numbers. It reads no files and no clock, and randomness comes only
//! from seeds; results do not depend on the number of threads.
//!
//! | Question | Function |
//! |---|---|
//! | How well do scores agree with labels? | [`srcc`], [`krcc`], [`plcc`], [`rmse`], [`pairwise_accuracy()`] |
//! | How uncertain are these measures? | [`estimate_agreement`] |
//! | What are PLCC and RMSE after a logistic fit? | [`estimate_logistic_fits`], [`fit_logistics_vqeg`] |
//! | Do scores order the algorithms as labels do? | [`algorithm_srcc()`] |
//! | Which of two metrics agrees better? | [`paired_differences()`], by exBeDDE's protocol [`exbedde_differences()`] |
//! | Which algorithm is best, and is that significant? | [`rank_algorithms`], [`rank_across_data_sets`] |
//! | What is the mean over data sets or splits? | [`weighted_correlation`], [`weighted_share`], [`split_summary()`] |
//! | What does exBeDDE's own protocol report? | [`exbedde()`] |
//!
//! # Agreement with labels
//!
//! Pictures of one scene are not independent, so intervals resample scenes and not pictures.
//!
//! ```
//! use dqa_stats::{Columns, Resampling, estimate_agreement};
//!
//! // Six scenes, each processed by two algorithms: a metric's score and the mean opinion score of each picture.
//! let table = Columns {
//!     score: &[0.10, 0.42, 0.35, 0.30, 0.55, 0.75, 0.20, 0.61, 0.48, 0.90, 0.15, 0.70],
//!     mos: &[1.0, 2.5, 2.0, 2.2, 3.1, 2.9, 1.4, 3.0, 3.6, 4.5, 1.9, 2.7],
//!     scene: &[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5],
//! };
//! let agreement = estimate_agreement(&table.sorted(), &Resampling::Jackknife { level: 0.95 });
//! for (name, measure) in [("SRCC", agreement.srcc), ("PLCC", agreement.plcc), ("KRCC", agreement.krcc)] {
//!     let estimate = measure.expect("neither side is constant");
//!     let interval = estimate.interval.expect("six scenes are enough");
//!     println!("{name} {:.3}, 95% interval {:.3} to {:.3}", estimate.value, interval.low, interval.high);
//! }
//! # assert!((agreement.plcc.unwrap().value - 0.8686).abs() < 1e-4);
//! # assert!((agreement.krcc.unwrap().interval.unwrap().high - 0.9424).abs() < 1e-4);
//! ```
//!
//! # Ranking with comparisons
//!
//! ```
//! use dqa_stats::{RankOptions, SceneScores, rank_algorithms};
//!
//! // Mean scores of three dehazing algorithms (rows) on eight scenes (columns).
//! let scores = [
//!     0.71, 0.64, 0.80, 0.69, 0.75, 0.66, 0.73, 0.70,
//!     0.70, 0.66, 0.79, 0.70, 0.73, 0.67, 0.72, 0.71,
//!     0.52, 0.49, 0.63, 0.50, 0.54, 0.51, 0.55, 0.53,
//! ];
//! let table = SceneScores { algorithms: 3, scenes: 8, scores: &scores };
//! let ranking = rank_algorithms(&table, None, &RankOptions::default());
//! for standing in &ranking.standings {
//!     let rank = standing.rank.as_ref().expect("there is no hazy input");
//!     println!("{}. algorithm {}: {:.3}", rank.rank, standing.algorithm, standing.adjusted.value);
//!     println!("   ranks {} to {} are not ruled out, letters {}", rank.best, rank.worst, rank.groups);
//! }
//! let significant = ranking.comparisons.iter().filter(|pair| pair.significant);
//! assert_eq!(significant.map(|pair| (pair.first, pair.second)).collect::<Vec<_>>(), [(0, 2), (1, 2)]);
//! ```
//!
//! # Conventions
//!
//! - Measures are signed. Callers pass labels for which higher is better; no measure is made positive here, except in
//!   exBeDDE's protocol, whose PLCC has no sign.
//! - A measure that is undefined (fewer than two rows, or a constant side) is `None`.
//! - Values must not be NaN, except for missing scores in [`SceneScores`]. The caller decides which rows to leave out;
//!   a NaN panics.
//! - A missing interval has its reason in [`Estimate::interval`].

mod agreement;
mod algorithm_srcc;
mod columns;
mod dense_ranks;
mod estimate;
mod exbedde;
mod exbedde_differences;
mod jackknife;
mod kendall;
mod logistic;
mod multiple_testing;
mod paired_differences;
mod pairwise_accuracy;
mod pearson;
mod ranking;
mod scene_bootstrap;
mod scene_groups;
mod scene_sums;
mod spearman;
mod split_summary;
pub mod student_t;

pub use agreement::{Agreement, Resampling, estimate_agreement};
pub use algorithm_srcc::algorithm_srcc;
pub use columns::{Columns, SortedColumns};
pub use dense_ranks::midranks;
pub use estimate::{
    Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError, combine_standard_errors,
    mean_estimate, weighted_correlation, weighted_share,
};
pub use exbedde::{Exbedde, ExbeddeCity, ExbeddeCounts, ExbeddeMeasures, GROUP_PICTURES_MIN, exbedde};
pub use exbedde_differences::exbedde_differences;
pub use jackknife::{Jackknife, LeaveOneOut, jackknife};
pub use kendall::krcc;
pub use logistic::{
    FitStatus, Logistic, LogisticFit, LogisticFitEstimate, ROWS_PER_PARAMETER, estimate_logistic_fits, fit_logistic,
    fit_logistics, fit_logistics_vqeg,
};
pub use multiple_testing::holm_of_known;
pub use paired_differences::{Measure, PairedDifference, PairedMeasure, ScoreColumns, paired_differences};
pub use pairwise_accuracy::{PairwiseAccuracy, pairwise_accuracy};
pub use pearson::{Moments, plcc, rmse};
pub use ranking::{
    Comparison, Equivalence, POWER, Rank, RankOptions, Ranking, SceneScores, SignificanceTest, Standing,
    compact_letter_display, rank_across_data_sets, rank_algorithms,
};
pub use scene_bootstrap::Bootstrap;
pub use spearman::{srcc, srcc_from_sums};
pub use split_summary::{SplitSummary, split_summary};

#[cfg(test)]
mod tests;
