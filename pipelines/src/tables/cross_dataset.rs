//! The table `cross_dataset`: do two data sets rank the algorithms alike? One row for each pair of data sets and measure.

/// The table's name and its folder in a store.
pub const CROSS_DATASET: &str = "cross_dataset";

table! {
    /// A row of the table.
    CrossDatasetRow {
        /// Of which run.
        run: String,
        /// Of the model that scored: 64 digits.
        fingerprint: String,
        /// What the algorithms are compared by: `score`, adjusted for scenes, or `mos`, the mean over scenes.
        measure: String,
        /// One data set, the earlier one of the run.
        dataset_a: String,
        /// The other.
        dataset_b: String,
        /// Algorithms that both have.
        algorithms: u64,
        /// Spearman's correlation of the algorithms' means on the one with those on the other; None under two.
        srcc: Option<f64>,
        /// Kendall's tau-b of them.
        krcc: Option<f64>,
        /// Pearson's correlation of them.
        plcc: Option<f64>,
    }
}
