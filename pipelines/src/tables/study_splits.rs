//! The table `study_splits`: the results on single splits that the rows of `studies` average. One row for each line and
//! split.

/// The table's name and its folder in a store.
pub const STUDY_SPLITS: &str = "study_splits";

table! {
    /// A row of the table. A measure is None if it is undefined.
    StudySplitRow {
        /// The study's name.
        study: String,
        /// The line's number, as in the table `studies`.
        line: u32,
        /// The split's number, from 1, of the data set with the test pictures.
        split: u32,
        /// The trial's name, or None if nothing was trained.
        trial: Option<String>,
        /// The evaluation's name, or None if the trial's own test was used.
        evaluation: Option<String>,
        /// The kept epoch, or None if nothing was trained.
        epoch: Option<u32>,
        /// Number of test pictures.
        n: u64,
        /// Spearman's rank correlation.
        srcc: Option<f64>,
        /// Pearson's correlation.
        plcc: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// Root mean squared difference of score and label.
        rmse: Option<f64>,
        /// Number of windows of all pictures.
        windows: u64,
        /// Time on the device for them in seconds. None if it was not measured.
        seconds: Option<f64>,
    }
}
