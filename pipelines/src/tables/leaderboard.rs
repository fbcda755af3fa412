//! The table `leaderboard`: the algorithms of each data set by their adjusted scores, and the range of ranks that noise
//! allows.

/// The table's name and its folder in a store.
pub const LEADERBOARD: &str = "leaderboard";

table! {
    /// A row of the table.
    LeaderboardRow {
        /// The run's name.
        run: String,
        /// Fingerprint of the metric: 64 digits.
        fingerprint: String,
        /// The data set, or None for all data sets of the run with equal weights.
        dataset: Option<String>,
        /// Rank by adjusted score among the algorithms of one component, 1 is best: the lowest score if `direction` is `lower`. None for the hazy input and for an
        /// algorithm that has no score, or does not have one on all data sets.
        rank: Option<u32>,
        /// The best possible rank: 1 plus the number of significantly better algorithms.
        rank_best: Option<u32>,
        /// The worst possible rank: the last rank minus the number of significantly worse algorithms.
        rank_worst: Option<u32>,
        /// Letters: two algorithms that share a letter do not differ significantly. `not testable` if the scenes are
        /// too few to show a difference to any other algorithm.
        rank_group: Option<String>,
        /// The algorithm's name.
        algorithm: String,
        /// Number of the algorithm's pictures.
        pictures: u64,
        /// Number of its pictures without a score.
        failed: u64,
        /// Number of scenes that it has a score for.
        scenes: u64,
        /// Mean over its scenes of the mean score of their pictures. Over all data sets, the mean of these means. It is
        /// not used for ranking.
        mean_score: Option<f64>,
        /// Lower bound of the interval.
        mean_score_low: Option<f64>,
        /// Upper bound of the interval.
        mean_score_high: Option<f64>,
        /// The mean label, computed in the same way. None if no picture with a score has a label, and over all data
        /// sets.
        mean_mos: Option<f64>,
        /// Two-sided p-value of no difference to the next rank, corrected for the number of pairs. None for the last
        /// rank.
        p_next: Option<f64>,
        /// Confidence level of the intervals.
        level: f64,
        /// Number of bootstrap draws.
        replicates: u32,
        /// Seed of all random draws.
        seed: u32,
        /// The mean score over all scenes of the data set. Scenes that the algorithm lacks are filled in by the
        /// least-squares fit score = algorithm + scene. Algorithms are ranked by it.
        adjusted_score: Option<f64>,
        /// Lower bound of the interval.
        adjusted_score_low: Option<f64>,
        /// Upper bound of the interval.
        adjusted_score_high: Option<f64>,
        /// The adjusted score minus that of the hazy input, in the metric's unit. None without a hazy input.
        gain: Option<f64>,
        /// Lower bound of the interval.
        gain_low: Option<f64>,
        /// Upper bound of the interval.
        gain_high: Option<f64>,
        /// Method of the intervals of scores: `student_t`. None if there is no interval.
        interval_method: Option<String>,
        /// Why the adjusted score has no interval: `too_few_scenes`. None if it has one.
        interval_missing: Option<String>,
        /// The smallest number of scenes in common with another ranked algorithm. None if there is no other.
        common_scenes: Option<u64>,
        /// Component of algorithms that are connected through common scenes. 1 is the largest. Ranks are within a
        /// component.
        component: Option<u32>,
        /// The metric's name. None in tables of older versions: CLIP-DQA.
        metric: Option<String>,
        /// Whether high or low values of the metric are good: `higher` or `lower`. None in tables of older versions: `higher`.
        direction: Option<String>,
    }
}
