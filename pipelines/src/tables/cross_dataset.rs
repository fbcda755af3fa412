//! The table `cross_dataset`: agreement between the rankings of algorithms on two data sets. One row for each pair of
//! data sets and measure.

/// The table's name and its folder in a store.
pub const CROSS_DATASET: &str = "cross_dataset";

table! {
    /// A row of the table.
    CrossDatasetRow {
        /// The run's name.
        run: String,
        /// Fingerprint of the metric: 64 digits.
        fingerprint: String,
        /// What the algorithms are ranked by: `score`, adjusted for scenes, or `mos`, the mean over scenes.
        measure: String,
        /// The data set that comes first in the run.
        dataset_a: String,
        /// The other data set.
        dataset_b: String,
        /// Number of algorithms on both data sets.
        algorithms: u64,
        /// Spearman's correlation of the algorithms' values on the two data sets, or None with fewer than two
        /// algorithms.
        srcc: Option<f64>,
        /// Kendall's tau-b of these values.
        krcc: Option<f64>,
        /// Pearson's correlation of these values.
        plcc: Option<f64>,
        /// The metric's name. None in tables of older versions: CLIP-DQA.
        metric: Option<String>,
    }
}
