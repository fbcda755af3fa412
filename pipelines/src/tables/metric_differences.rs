//! The table `metric_differences`: for every pair of metrics, the difference of their agreement with the labels and its
//! significance. One row for each data set, protocol, group of pictures, measure and pair.

/// The table's name and its folder in a store.
pub const METRIC_DIFFERENCES: &str = "metric_differences";

table! {
    /// A row of the table.
    MetricDifferenceRow {
        /// The run's name.
        run: String,
        /// The data set.
        dataset: String,
        /// How the measures were computed: `pooled` or `exbedde`.
        protocol: String,
        /// The kind of group: `all`, `held_out`, `algorithm` or `scene_group`.
        group_kind: String,
        /// The algorithm or scene group. None for the other kinds.
        group_name: Option<String>,
        /// `srcc`, `plcc` or `krcc`.
        measure: String,
        /// The metric that is better on its own pictures.
        metric_a: String,
        /// The other metric.
        metric_b: String,
        /// Number of labelled pictures that both metrics have scored.
        n: u64,
        /// Number of their scenes.
        scenes: u64,
        /// Number of labelled pictures of the group that only one of the two metrics, or neither of them, has scored.
        excluded: u64,
        /// The measure of the first metric on the `n` pictures.
        value_a: Option<f64>,
        /// The measure of the second metric on the `n` pictures.
        value_b: Option<f64>,
        /// The first value minus the second.
        difference: Option<f64>,
        /// Lower bound of the interval, which is paired over scenes and for this pair alone.
        difference_low: Option<f64>,
        /// Upper bound of the interval.
        difference_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        difference_interval: Option<String>,
        /// Two-sided p-value of no difference, for this pair alone.
        p: Option<f64>,
        /// The p-value corrected for all pairs of metrics of this group and measure (Holm).
        p_corrected: Option<f64>,
        /// Whether the corrected p-value is below 1 - `level`.
        significant: bool,
        /// Confidence level of the intervals.
        level: f64,
    }
}
