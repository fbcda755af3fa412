//! The table `study_splits`: what a study's rows are means of. One row for each line of its table and split.

/// The table's name and its folder in a store.
pub const STUDY_SPLITS: &str = "study_splits";

table! {
    /// A row of the table. A measure is None where it is not defined.
    StudySplitRow {
        /// Of which study.
        study: String,
        /// As in the table `studies`.
        line: u32,
        /// Which split of the data set that was tested, from 1.
        split: u32,
        /// The training; None: nothing was trained.
        trial: Option<String>,
        /// The test; None: the training's own.
        evaluation: Option<String>,
        /// The epoch that was kept; None: nothing was trained.
        epoch: Option<u32>,
        /// Pictures tested.
        n: u64,
        /// Spearman's rank correlation.
        srcc: Option<f64>,
        /// Pearson's.
        plcc: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// Root of the mean squared difference of score and label.
        rmse: Option<f64>,
        /// Windows of all pictures.
        windows: u64,
        /// Time of the device for them; None where it was not measured.
        seconds: Option<f64>,
    }
}
