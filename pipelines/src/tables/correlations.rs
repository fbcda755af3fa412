//! The table `correlations`: agreement of scores with labels. One row for each data set, protocol and group of
//! pictures.

/// The table's name and its folder in a store.
pub const CORRELATIONS: &str = "correlations";

table! {
    /// A row of the table. A measure is None if it is undefined. A column `..._interval` has the method of the
    /// measure's interval (`stats::IntervalMethod`) or the reason why it is missing (`stats::NoInterval`).
    CorrelationRow {
        /// The run's name.
        run: String,
        /// Fingerprint of the metric: 64 digits.
        fingerprint: String,
        /// The data set, or None for a mean over the data sets.
        dataset: Option<String>,
        /// How the measures were computed: `pooled`, `exbedde`, `mean_of_datasets`, `mean_by_pictures`.
        protocol: String,
        /// The kind of group: `all`, `algorithm`, `scene_group`, `held_out` for scenes that the model did not see in
        /// training, or `seen` for those that it saw.
        group_kind: String,
        /// The algorithm or scene group. None for the other kinds.
        group_name: Option<String>,
        /// Number of pictures, which is the number of rows in `scores`.
        pictures: u64,
        /// Number of pictures without a score.
        failed: u64,
        /// Number of pictures with a score and without a label.
        unlabelled: u64,
        /// Number of pictures with score and label, from which the measures are computed.
        n: u64,
        /// Number of scenes of the `n` pictures.
        scenes: u64,
        /// Protocol `exbedde`: number of pictures with score and label in scenes that have too few of them, or whose
        /// scores or labels are all equal. 0 for other protocols. None in tables of older versions.
        left_out: Option<u64>,
        /// Protocol `exbedde`: number of scenes excluded because they have too few pictures.
        scenes_too_small: Option<u64>,
        /// Protocol `exbedde`: number of scenes excluded because their scores or labels are all equal.
        scenes_constant: Option<u64>,
        /// Spearman's rank correlation.
        srcc: Option<f64>,
        /// Lower bound of the interval.
        srcc_low: Option<f64>,
        /// Upper bound of the interval.
        srcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        srcc_interval: Option<String>,
        /// Bootstrap only: standard error of the bounds due to the finite number of draws.
        srcc_monte_carlo_error: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// Lower bound of the interval.
        krcc_low: Option<f64>,
        /// Upper bound of the interval.
        krcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        krcc_interval: Option<String>,
        /// Bootstrap only: standard error of the bounds due to the finite number of draws.
        krcc_monte_carlo_error: Option<f64>,
        /// Pearson's correlation of unfitted scores and labels.
        plcc: Option<f64>,
        /// Lower bound of the interval.
        plcc_low: Option<f64>,
        /// Upper bound of the interval.
        plcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        plcc_interval: Option<String>,
        /// Bootstrap only: standard error of the bounds due to the finite number of draws.
        plcc_monte_carlo_error: Option<f64>,
        /// Root mean squared difference of unfitted scores and labels. Meaningful only if both have the same range. Scores of
        /// which low values are good enter all measures as their negatives.
        rmse: Option<f64>,
        /// Lower bound of the interval.
        rmse_low: Option<f64>,
        /// Upper bound of the interval.
        rmse_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        rmse_interval: Option<String>,
        /// Bootstrap only: standard error of the bounds due to the finite number of draws.
        rmse_monte_carlo_error: Option<f64>,
        /// Pearson's correlation after the 4-parameter logistic fit of the group's own rows.
        plcc_logistic4: Option<f64>,
        /// Lower bound of the interval.
        plcc_logistic4_low: Option<f64>,
        /// Upper bound of the interval.
        plcc_logistic4_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        plcc_logistic4_interval: Option<String>,
        /// RMSE after that fit, in units of the labels.
        rmse_logistic4: Option<f64>,
        /// Lower bound of the interval.
        rmse_logistic4_low: Option<f64>,
        /// Upper bound of the interval.
        rmse_logistic4_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        rmse_logistic4_interval: Option<String>,
        /// How the fit ended (`stats::FitStatus`), or None if no fit was requested.
        logistic4_status: Option<String>,
        /// Pearson's correlation after the 5-parameter logistic fit.
        plcc_logistic5: Option<f64>,
        /// Lower bound of the interval.
        plcc_logistic5_low: Option<f64>,
        /// Upper bound of the interval.
        plcc_logistic5_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        plcc_logistic5_interval: Option<String>,
        /// RMSE after that fit, in units of the labels.
        rmse_logistic5: Option<f64>,
        /// Lower bound of the interval.
        rmse_logistic5_low: Option<f64>,
        /// Upper bound of the interval.
        rmse_logistic5_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        rmse_logistic5_interval: Option<String>,
        /// How the fit ended.
        logistic5_status: Option<String>,
        /// Share of pairs of pictures of one scene with different labels that the score orders as the labels do, 0 to
        /// 1.
        pairwise_accuracy: Option<f64>,
        /// Lower bound of the interval.
        pairwise_accuracy_low: Option<f64>,
        /// Upper bound of the interval.
        pairwise_accuracy_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        pairwise_accuracy_interval: Option<String>,
        /// Bootstrap only: standard error of the bounds due to the finite number of draws.
        pairwise_accuracy_monte_carlo_error: Option<f64>,
        /// Number of algorithms of the `n` pictures. None in means over data sets and for `exbedde`.
        algorithms: Option<u64>,
        /// Spearman's correlation of the algorithms' mean scores with their mean labels.
        algorithm_srcc: Option<f64>,
        /// Lower bound of the interval.
        algorithm_srcc_low: Option<f64>,
        /// Upper bound of the interval.
        algorithm_srcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        algorithm_srcc_interval: Option<String>,
        /// The method of the SRCC interval, as in tables of older versions. None if there is no interval.
        rank_interval_method: Option<String>,
        /// Confidence level of the intervals. None if there are no intervals.
        level: Option<f64>,
        /// Number of bootstrap draws. None if the intervals are not from a bootstrap.
        replicates: Option<u32>,
        /// Seed of the bootstrap.
        seed: Option<u32>,
        /// The metric's name. None in tables of older versions: CLIP-DQA.
        metric: Option<String>,
        /// Whether high or low values of the metric are good: `higher` or `lower`. None in tables of older versions: `higher`.
        direction: Option<String>,
    }
}
