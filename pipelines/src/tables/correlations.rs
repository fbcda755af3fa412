//! The table `correlations`: how well scores agree with labels. One row for each data set, protocol and group of pictures.

/// The table's name and its folder in a store.
pub const CORRELATIONS: &str = "correlations";

table! {
    /// A row of the table. A measure is None where it is not defined. A column `..._interval` says how the measure's interval
    /// was made (`stats::IntervalMethod`) or why there is none (`stats::NoInterval`).
    CorrelationRow {
        /// Of which run.
        run: String,
        /// Of the model that scored: 64 digits.
        fingerprint: String,
        /// Of which data set; None: a mean over the data sets.
        dataset: Option<String>,
        /// How the measures were come by: `pooled`, `exbedde`, `mean_of_datasets`, `mean_by_pictures`.
        protocol: String,
        /// What the pictures have in common: `all`, `algorithm`, `scene_group`; `held_out` of what the model was
        /// trained on, or `seen` in training.
        group_kind: String,
        /// The algorithm or scene group; None for the other kinds.
        group_name: Option<String>,
        /// Rows of the scores.
        pictures: u64,
        /// Of them, those without a score.
        failed: u64,
        /// Of those with a score, those without a label.
        unlabelled: u64,
        /// Those with both: what the measures are of.
        n: u64,
        /// What the `n` pictures show.
        scenes: u64,
        /// By `exbedde`: pictures with score and label in scenes that have too few of them, or whose scores or labels are all the
        /// same. 0 by other protocols; None in tables of older versions.
        left_out: Option<u64>,
        /// By `exbedde`: scenes that were left out because they have too few pictures.
        scenes_too_small: Option<u64>,
        /// By `exbedde`: scenes that were left out because their scores or labels are all the same.
        scenes_constant: Option<u64>,
        /// Spearman's rank correlation.
        srcc: Option<f64>,
        /// The interval's lower end.
        srcc_low: Option<f64>,
        /// The interval's upper end.
        srcc_high: Option<f64>,
        /// How the interval was made, or why there is none.
        srcc_interval: Option<String>,
        /// Of a bootstrap: the standard error of the interval's ends by the number of draws.
        srcc_monte_carlo_error: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// The interval's lower end.
        krcc_low: Option<f64>,
        /// The interval's upper end.
        krcc_high: Option<f64>,
        /// How the interval was made, or why there is none.
        krcc_interval: Option<String>,
        /// Of a bootstrap: the standard error of the interval's ends by the number of draws.
        krcc_monte_carlo_error: Option<f64>,
        /// Pearson's correlation of score and label as they are.
        plcc: Option<f64>,
        /// The interval's lower end.
        plcc_low: Option<f64>,
        /// The interval's upper end.
        plcc_high: Option<f64>,
        /// How the interval was made, or why there is none.
        plcc_interval: Option<String>,
        /// Of a bootstrap: the standard error of the interval's ends by the number of draws.
        plcc_monte_carlo_error: Option<f64>,
        /// Root of the mean squared difference of score and label as they are: only where both have one range.
        rmse: Option<f64>,
        /// The interval's lower end.
        rmse_low: Option<f64>,
        /// The interval's upper end.
        rmse_high: Option<f64>,
        /// How the interval was made, or why there is none.
        rmse_interval: Option<String>,
        /// Of a bootstrap: the standard error of the interval's ends by the number of draws.
        rmse_monte_carlo_error: Option<f64>,
        /// Pearson's correlation after the 4-parameter logistic fit of the group's own rows.
        plcc_logistic4: Option<f64>,
        /// The interval's lower end.
        plcc_logistic4_low: Option<f64>,
        /// The interval's upper end.
        plcc_logistic4_high: Option<f64>,
        /// How the interval was made, or why there is none.
        plcc_logistic4_interval: Option<String>,
        /// RMSE after it, in the labels' units.
        rmse_logistic4: Option<f64>,
        /// The interval's lower end.
        rmse_logistic4_low: Option<f64>,
        /// The interval's upper end.
        rmse_logistic4_high: Option<f64>,
        /// How the interval was made, or why there is none.
        rmse_logistic4_interval: Option<String>,
        /// How the fit ended (`stats::FitStatus`); None where none was asked for.
        logistic4_status: Option<String>,
        /// Pearson's correlation after the 5-parameter logistic fit.
        plcc_logistic5: Option<f64>,
        /// The interval's lower end.
        plcc_logistic5_low: Option<f64>,
        /// The interval's upper end.
        plcc_logistic5_high: Option<f64>,
        /// How the interval was made, or why there is none.
        plcc_logistic5_interval: Option<String>,
        /// RMSE after it, in the labels' units.
        rmse_logistic5: Option<f64>,
        /// The interval's lower end.
        rmse_logistic5_low: Option<f64>,
        /// The interval's upper end.
        rmse_logistic5_high: Option<f64>,
        /// How the interval was made, or why there is none.
        rmse_logistic5_interval: Option<String>,
        /// How the fit ended.
        logistic5_status: Option<String>,
        /// Of two pictures of one scene with different labels: how often the score orders them alike, 0 to 1.
        pairwise_accuracy: Option<f64>,
        /// The interval's lower end.
        pairwise_accuracy_low: Option<f64>,
        /// The interval's upper end.
        pairwise_accuracy_high: Option<f64>,
        /// How the interval was made, or why there is none.
        pairwise_accuracy_interval: Option<String>,
        /// Of a bootstrap: the standard error of the interval's ends by the number of draws.
        pairwise_accuracy_monte_carlo_error: Option<f64>,
        /// Algorithms among the `n` pictures; None in means over data sets and by `exbedde`.
        algorithms: Option<u64>,
        /// Spearman's correlation of the algorithms' mean scores with their mean labels.
        algorithm_srcc: Option<f64>,
        /// The interval's lower end.
        algorithm_srcc_low: Option<f64>,
        /// The interval's upper end.
        algorithm_srcc_high: Option<f64>,
        /// How the interval was made, or why there is none.
        algorithm_srcc_interval: Option<String>,
        /// How the interval of SRCC was made, as older versions have it; None where there is none.
        rank_interval_method: Option<String>,
        /// The level of the intervals; None where there are none.
        level: Option<f64>,
        /// Draws of the bootstrap; None: the intervals are not of a bootstrap.
        replicates: Option<u32>,
        /// Of the bootstrap.
        seed: Option<u32>,
    }
}
