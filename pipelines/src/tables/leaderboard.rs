//! The table `leaderboard`: the algorithms of each data set by their adjusted scores, and which ranks are inside the noise.

/// The table's name and its folder in a store.
pub const LEADERBOARD: &str = "leaderboard";

table! {
    /// A row of the table.
    LeaderboardRow {
        /// Of which run.
        run: String,
        /// Of the model that scored: 64 digits.
        fingerprint: String,
        /// On which data set; None: over all of the run, each counting the same.
        dataset: Option<String>,
        /// By adjusted score among the algorithms of one component, 1 is best; None for the hazy input, where the
        /// algorithm has no score, or not on all data sets.
        rank: Option<u32>,
        /// 1 and the algorithms that are significantly better.
        rank_best: Option<u32>,
        /// The last rank less the algorithms that are significantly worse.
        rank_worst: Option<u32>,
        /// Letters: two algorithms that share one do not differ significantly; `not testable` where so few scenes
        /// could not show a difference to any other algorithm.
        rank_group: Option<String>,
        /// Which algorithm.
        algorithm: String,
        /// Its pictures.
        pictures: u64,
        /// Of them, those without a score.
        failed: u64,
        /// Scenes that it has a score for.
        scenes: u64,
        /// Mean over its scenes of their pictures' mean; over all data sets: the mean of these. Not what is ranked.
        mean_score: Option<f64>,
        /// The interval's lower end.
        mean_score_low: Option<f64>,
        /// The interval's upper end.
        mean_score_high: Option<f64>,
        /// The mean label, in the same way; None where no picture with a score has one, and over all data sets.
        mean_mos: Option<f64>,
        /// That the next rank is no worse: two-sided, corrected for the number of pairs; None for the last.
        p_next: Option<f64>,
        /// Share of the intervals that hold the true value.
        level: f64,
        /// Draws of the bootstrap.
        replicates: u32,
        /// Of all draws.
        seed: u32,
        /// The mean score over all scenes of the data set, those that the algorithm lacks filled in by the least-squares fit
        /// score = algorithm + scene. What is ranked.
        adjusted_score: Option<f64>,
        /// The interval's lower end.
        adjusted_score_low: Option<f64>,
        /// The interval's upper end.
        adjusted_score_high: Option<f64>,
        /// The adjusted score less that of the hazy input; None without one.
        gain: Option<f64>,
        /// The interval's lower end.
        gain_low: Option<f64>,
        /// The interval's upper end.
        gain_high: Option<f64>,
        /// How the intervals of the scores were made: `student_t`; None where there is none.
        interval_method: Option<String>,
        /// Why the adjusted score has no interval: `too_few_scenes`; None where it has one.
        interval_missing: Option<String>,
        /// The fewest scenes that it has in common with another ranked algorithm; None without another.
        common_scenes: Option<u64>,
        /// Algorithms of one component are connected through common scenes; 1 is the largest. Ranks are within it.
        component: Option<u32>,
    }
}
