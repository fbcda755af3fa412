//! The table `metric_ranks`: how the metrics rank the algorithms of a data set. One row for each algorithm and metric.

/// The table's name and its folder in a store.
pub const METRIC_RANKS: &str = "metric_ranks";

table! {
    /// A row of the table.
    MetricRankRow {
        /// The run's name.
        run: String,
        /// The data set.
        dataset: String,
        /// The algorithm's name.
        algorithm: String,
        /// The metric's name, as in `metrics`.
        metric: String,
        /// Whether high or low values of the metric are good: `higher` or `lower`.
        direction: String,
        /// The algorithm's adjusted score, as in `leaderboard`.
        score: Option<f64>,
        /// The algorithm's rank by it, as in `leaderboard`.
        rank: Option<u32>,
        /// The best possible rank.
        rank_best: Option<u32>,
        /// The worst possible rank.
        rank_worst: Option<u32>,
        /// The algorithm's rank by the mean label of the pictures that this metric has scored, among ranked algorithms.
        mos_rank: Option<u32>,
    }
}
