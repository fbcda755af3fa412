//! The table `comparisons`: every pair of algorithms of a leaderboard, the difference of their adjusted scores, and what the
//! scenes can say of it.

/// The table's name and its folder in a store.
pub const COMPARISONS: &str = "comparisons";

table! {
    /// A row of the table.
    ComparisonRow {
        /// Of which run.
        run: String,
        /// Of the model that scored: 64 digits.
        fingerprint: String,
        /// On which data set; None: over all of the run, each counting the same.
        dataset: Option<String>,
        /// The one with the higher adjusted score.
        algorithm_a: String,
        /// The other.
        algorithm_b: String,
        /// Scenes that both have a score of.
        common_scenes: u64,
        /// Adjusted score of the first less that of the second.
        difference: f64,
        /// The interval's lower end; None where there are too few scenes for one. It is of this pair alone: not corrected.
        difference_low: Option<f64>,
        /// The interval's upper end.
        difference_high: Option<f64>,
        /// Of differences: `max_difference`, `max_t` or `wilcoxon`.
        test: String,
        /// Ranks of the positive differences of common scenes less those of the negative ones, over all: -1 to 1.
        rank_biserial: Option<f64>,
        /// Share of the common scenes in which the first has the higher score; equal ones count half.
        probability_of_superiority: Option<f64>,
        /// Two-sided, of this pair alone.
        p: f64,
        /// Corrected for the testable pairs of the leaderboard; None where this is none.
        p_corrected: Option<f64>,
        /// The smallest `p` that so many common scenes can give.
        p_smallest: f64,
        /// The difference that the corrected test finds with a power of 80%; None where the pair is not testable.
        minimum_detectable_difference: Option<f64>,
        /// The margin within which a difference does not matter, where one was asked for.
        equivalence_margin: Option<f64>,
        /// That the difference is outside of the margin: two one-sided t tests.
        equivalence_p: Option<f64>,
        /// The same, corrected for all pairs with an interval (Holm).
        equivalence_p_corrected: Option<f64>,
        /// Whether the pair's scenes could show a difference at all; the others are not in the correction.
        testable: bool,
        /// Whether the corrected p is below 1 less `level`.
        significant: bool,
        /// Share of the intervals that hold the true value.
        level: f64,
        /// Of the draws of signs.
        seed: u32,
    }
}
