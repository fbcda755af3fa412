//! The statistics of a leaderboard: the order of the algorithms by their adjusted scores (the additive model), and
//! which of the differences of these scores exceed chance over scenes. The same quantity is ranked, tested and given an
//! interval, so a rank always lies within its own range.

mod additive_model;
mod algorithm_group;
mod compact_letter_display;
mod comparison;
mod component_statistics;
mod pair_tests;
mod rank_algorithms;
mod rank_options;
mod scene_scores;
mod sign_flip_test;
mod standing;
mod wilcoxon;

pub use compact_letter_display::compact_letter_display;
pub use comparison::{Comparison, Equivalence, POWER, SignificanceTest};
pub use rank_algorithms::{Ranking, rank_across_data_sets, rank_algorithms};
pub use rank_options::RankOptions;
pub use scene_scores::SceneScores;
pub use standing::{Rank, Standing};

#[cfg(test)]
mod tests;
