//! The table `studies`: the result of a study. One row for each line of the study, aggregated over all splits.

/// The table's name and its folder in a store.
pub const STUDIES: &str = "studies";

table! {
    /// A row of the table. Means, deviations and intervals are over splits. They are None if the measure is undefined;
    /// deviations and intervals also with fewer than two splits.
    StudyRow {
        /// The study's name.
        study: String,
        /// The line's number in the study's table, from 1.
        line: u32,
        /// The group of lines that were tested on the same pictures.
        group: String,
        /// The variant's name.
        variant: String,
        /// The initial model. For a metric of a study of metrics, its fingerprint; None if dqa does not compute the metric.
        model: Option<String>,
        /// The data set that the model was trained on, or None if nothing was trained.
        trained_on: Option<String>,
        /// The data set with the test pictures.
        tested_on: String,
        /// The algorithms whose pictures were tested, joined by commas, or `mean of N` for the mean over N rows with
        /// excluded algorithms. None for all algorithms.
        algorithms: Option<String>,
        /// The views of the test. None for a metric.
        views: Option<String>,
        /// How the scores of windows were combined into a picture's score (`study::Pooling`). None for a metric.
        pool: Option<String>,
        /// The rule by which the epoch was chosen; `best-on-test` is optimistic. None if nothing was trained.
        select: Option<String>,
        /// All settings of the training as JSON. None if nothing was trained.
        setup: Option<String>,
        /// Number of splits. None for a metric, which has one value for all pictures.
        splits: Option<u32>,
        /// Number of test pictures, mean over splits. None if there was no test.
        pictures: Option<f64>,
        /// Spearman's rank correlation, mean over splits.
        srcc: Option<f64>,
        /// Standard deviation between splits.
        srcc_std: Option<f64>,
        /// Lower bound of the 95% interval of the mean (`stats::split_summary`).
        srcc_low: Option<f64>,
        /// Upper bound of the interval.
        srcc_high: Option<f64>,
        /// Pearson's correlation of unfitted scores and labels.
        plcc: Option<f64>,
        /// Standard deviation between splits.
        plcc_std: Option<f64>,
        /// Lower bound of the interval.
        plcc_low: Option<f64>,
        /// Upper bound of the interval.
        plcc_high: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// Standard deviation between splits.
        krcc_std: Option<f64>,
        /// Lower bound of the interval.
        krcc_low: Option<f64>,
        /// Upper bound of the interval.
        krcc_high: Option<f64>,
        /// Root mean squared difference of score and label, both from 0 to 1.
        rmse: Option<f64>,
        /// Standard deviation between splits.
        rmse_std: Option<f64>,
        /// Lower bound of the interval.
        rmse_low: Option<f64>,
        /// Upper bound of the interval.
        rmse_high: Option<f64>,
        /// SRCC minus that of the baseline row, mean over the splits. None for a row without a baseline. The baseline of a
        /// metric is the best metric of the group, and the difference is paired over scenes.
        srcc_more: Option<f64>,
        /// Lower bound of the interval.
        srcc_more_low: Option<f64>,
        /// Upper bound of the interval.
        srcc_more_high: Option<f64>,
        /// Two-sided p-value of no difference, paired over splits, by the corrected t test. Not corrected for the
        /// number of rows. For metrics, by the jackknife over scenes, corrected for all pairs of metrics (Holm).
        srcc_more_p: Option<f64>,
        /// Mean number of windows of a picture. None for a metric.
        windows: Option<f64>,
        /// Mean time on the device for a picture in seconds. None if it was not measured.
        seconds: Option<f64>,
        /// SRCC in the paper.
        paper: Option<f64>,
    }
}
