//! The table `metric_matrix`: how alike the metrics rank the pictures of a data set. One row for each ordered pair of
//! metrics, also of a metric with itself.

/// The table's name and its folder in a store.
pub const METRIC_MATRIX: &str = "metric_matrix";

table! {
    /// A row of the table.
    MetricMatrixRow {
        /// The run's name.
        run: String,
        /// The data set.
        dataset: String,
        /// The metric's name, as in `metrics`.
        metric: String,
        /// The other metric's name.
        other_metric: String,
        /// Number of pictures that both have scored, with or without a label.
        n: u64,
        /// Spearman's correlation of the oriented scores. None if it is undefined.
        srcc: Option<f64>,
    }
}
