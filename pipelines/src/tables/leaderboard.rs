//! The table `leaderboard`: the algorithms of each data set by their mean scores, and which ranks are inside the noise.

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
        /// By mean score, 1 is best; None where the algorithm has no score, or not on all data sets.
        rank: Option<u32>,
        /// 1 and the algorithms that are significantly better.
        rank_best: Option<u32>,
        /// The last rank less the algorithms that are significantly worse.
        rank_worst: Option<u32>,
        /// Letters: two algorithms that share one do not differ significantly.
        rank_group: Option<String>,
        /// Which algorithm.
        algorithm: String,
        /// Its pictures.
        pictures: u64,
        /// Of them, those without a score.
        failed: u64,
        /// Scenes that it has a score for.
        scenes: u64,
        /// Mean over its scenes of their pictures' mean; over all data sets: the mean of these.
        mean_score: Option<f64>,
        /// The interval's lower end.
        mean_score_low: Option<f64>,
        /// The interval's upper end.
        mean_score_high: Option<f64>,
        /// The mean label, in the same way; None where no picture with a score has one, and over all data sets.
        mean_mos: Option<f64>,
        /// Of the difference to the next rank: two-sided, corrected for the number of pairs; None for the last.
        p_next: Option<f64>,
        /// Share of the replicates in an interval.
        level: f64,
        /// Draws of the bootstrap.
        replicates: u32,
        /// Of the bootstrap.
        seed: u32,
    }
}
