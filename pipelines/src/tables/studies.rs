//! The table `studies`: what a study found. One row for each line of its table, over all splits.

/// The table's name and its folder in a store.
pub const STUDIES: &str = "studies";

table! {
    /// A row of the table. Means, deviations and intervals are over splits; None where a measure is not defined, a deviation
    /// and an interval also under two splits.
    StudyRow {
        /// Of which study.
        study: String,
        /// Its place in the study's table, from 1.
        line: u32,
        /// What was tested: rows of one group were tested on the same pictures.
        group: String,
        /// What was tried.
        variant: String,
        /// The model that it began with.
        model: String,
        /// The data set that it was trained on; None: nothing was trained.
        trained_on: Option<String>,
        /// The data set that has the test's pictures.
        tested_on: String,
        /// The algorithms whose pictures were tested, joined by commas, or `mean of N`: mean over the N rows that leave some out;
        /// None: all.
        algorithms: Option<String>,
        /// What the model looked at in the test.
        views: String,
        /// How pictures' scores were made of windows' (`study::Pool`).
        pool: String,
        /// Which epoch was kept; `best-on-test` is optimistic. None: nothing was trained.
        select: Option<String>,
        /// All settings of the training, as JSON; None: nothing was trained.
        setup: Option<String>,
        /// Splits.
        splits: u32,
        /// Pictures of a test, mean over splits.
        pictures: f64,
        /// Spearman's rank correlation, mean over splits.
        srcc: Option<f64>,
        /// Standard deviation between splits.
        srcc_std: Option<f64>,
        /// The mean's 95% interval's lower end (`stats::over_splits`).
        srcc_low: Option<f64>,
        /// Its upper end.
        srcc_high: Option<f64>,
        /// Pearson's correlation of score and label as they are.
        plcc: Option<f64>,
        /// Standard deviation between splits.
        plcc_std: Option<f64>,
        /// The interval's lower end.
        plcc_low: Option<f64>,
        /// Its upper end.
        plcc_high: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// Standard deviation between splits.
        krcc_std: Option<f64>,
        /// The interval's lower end.
        krcc_low: Option<f64>,
        /// Its upper end.
        krcc_high: Option<f64>,
        /// Root of the mean squared difference of score and label, both 0 to 1.
        rmse: Option<f64>,
        /// Standard deviation between splits.
        rmse_std: Option<f64>,
        /// The interval's lower end.
        rmse_low: Option<f64>,
        /// Its upper end.
        rmse_high: Option<f64>,
        /// SRCC less that of the group's first row, mean over the splits; None for that row.
        srcc_more: Option<f64>,
        /// The interval's lower end.
        srcc_more_low: Option<f64>,
        /// Its upper end.
        srcc_more_high: Option<f64>,
        /// That there is no difference: two-sided, paired over splits, corrected t; not corrected for many rows.
        srcc_more_p: Option<f64>,
        /// Windows of a picture, mean.
        windows: f64,
        /// Time of the device for a picture, mean; None where it was not measured.
        seconds: Option<f64>,
        /// The paper's SRCC.
        paper: Option<f64>,
    }
}
