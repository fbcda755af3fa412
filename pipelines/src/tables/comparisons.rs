//! The table `comparisons`: for every pair of algorithms of a leaderboard, the difference of their adjusted scores and
//! its significance.

/// The table's name and its folder in a store.
pub const COMPARISONS: &str = "comparisons";

table! {
    /// A row of the table.
    ComparisonRow {
        /// The run's name.
        run: String,
        /// Fingerprint of the metric: 64 digits.
        fingerprint: String,
        /// The data set, or None for all data sets of the run with equal weights.
        dataset: Option<String>,
        /// The algorithm with the better adjusted score.
        algorithm_a: String,
        /// The other algorithm.
        algorithm_b: String,
        /// Number of scenes that both algorithms have a score for.
        common_scenes: u64,
        /// Adjusted score of the first algorithm minus that of the second, in the metric's unit: below 0 if `direction` is
        /// `lower`.
        difference: f64,
        /// Lower bound of the interval, or None with too few scenes. The interval is for this pair alone, not corrected.
        difference_low: Option<f64>,
        /// Upper bound of the interval.
        difference_high: Option<f64>,
        /// Test of the difference: `max_difference`, `max_t` or `wilcoxon`.
        test: String,
        /// Rank-biserial correlation over common scenes: sum of the ranks of the differences in favour of the first
        /// algorithm minus that of the others, divided by the sum of all ranks. From -1 to 1.
        rank_biserial: Option<f64>,
        /// Share of the common scenes in which the first algorithm has the better score. Ties count half.
        probability_of_superiority: Option<f64>,
        /// Two-sided p-value, for this pair alone.
        p: f64,
        /// The p-value corrected for all testable pairs of the leaderboard, or None if this pair is not testable.
        p_corrected: Option<f64>,
        /// The smallest `p` that is possible with this number of common scenes.
        p_smallest: f64,
        /// The difference that the corrected test detects with a power of 80%, or None if the pair is not testable.
        minimum_detectable_difference: Option<f64>,
        /// The requested margin within which a difference does not matter.
        equivalence_margin: Option<f64>,
        /// P-value of the hypothesis that the difference is outside the margin: two one-sided t tests.
        equivalence_p: Option<f64>,
        /// That p-value corrected for all pairs with an interval (Holm).
        equivalence_p_corrected: Option<f64>,
        /// Whether the pair's scenes can show a difference at all. Pairs that are not testable do not enter the
        /// correction.
        testable: bool,
        /// Whether the corrected p-value is below 1 - `level`.
        significant: bool,
        /// Confidence level of the intervals.
        level: f64,
        /// Seed of the random sign flips.
        seed: u32,
        /// The metric's name. None in tables of older versions: CLIP-DQA.
        metric: Option<String>,
        /// Whether high or low values of the metric are good: `higher` or `lower`. None in tables of older versions: `higher`.
        direction: Option<String>,
    }
}
