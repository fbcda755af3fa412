//! The table `metric_disagreements`: the pictures that two metrics rank most differently. Some rows for each pair of
//! metrics of a data set.

/// The table's name and its folder in a store.
pub const METRIC_DISAGREEMENTS: &str = "metric_disagreements";

table! {
    /// A row of the table.
    MetricDisagreementRow {
        /// The run's name.
        run: String,
        /// The data set.
        dataset: String,
        /// The metric that ranks the picture better.
        metric: String,
        /// The metric that ranks it worse.
        other_metric: String,
        /// Number of pictures that both have scored.
        n: u64,
        /// Position among the pictures that the two metrics rank most differently, 1 is the largest gap.
        position: u32,
        /// The algorithm that made the picture.
        algorithm: String,
        /// The group of the picture's scene.
        scene_group: Option<String>,
        /// The scene that the picture shows.
        scene: String,
        /// The picture's name in its data set.
        image: String,
        /// The picture's rank by the first metric among the `n` pictures, 1 is best. Equal scores share their mean rank.
        rank: f64,
        /// The picture's rank by the other metric.
        other_rank: f64,
        /// The difference of the ranks divided by `n` - 1: 0 to 1.
        gap: f64,
        /// The first metric's value.
        score: f64,
        /// The other metric's value.
        other_score: f64,
        /// The label.
        mos: Option<f64>,
    }
}
