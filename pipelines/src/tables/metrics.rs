//! The table `metrics`: the agreement of each metric with the labels, beside that of the others. One row for each data
//! set, protocol, group of pictures and metric.

/// The table's name and its folder in a store.
pub const METRICS: &str = "metrics";

table! {
    /// A row of the table. The measures are those of `correlations`, of the metric's own pictures. A difference to the
    /// best metric is of the pictures that both have scored.
    MetricRow {
        /// The run's name.
        run: String,
        /// The data set.
        dataset: String,
        /// How the measures were computed: `pooled` or `exbedde`.
        protocol: String,
        /// The kind of group: `all`, `held_out`, `algorithm` or `scene_group`.
        group_kind: String,
        /// The algorithm or scene group. None for the other kinds.
        group_name: Option<String>,
        /// The metric's name, with `@` and the run's name if a metric of the report's own run has the same name.
        metric: String,
        /// The run that has the metric's scores.
        metric_run: String,
        /// Fingerprint of the metric: 64 digits.
        fingerprint: String,
        /// Whether high or low values of the metric are good: `higher` or `lower`.
        direction: String,
        /// Number of pictures of the group.
        pictures: u64,
        /// Number of pictures without a score.
        failed: u64,
        /// Number of pictures with a score and without a label.
        unlabelled: u64,
        /// Number of pictures with score and label, from which the measures are computed.
        n: u64,
        /// Number of scenes of the `n` pictures.
        scenes: u64,
        /// Spearman's rank correlation.
        srcc: Option<f64>,
        /// Lower bound of the interval.
        srcc_low: Option<f64>,
        /// Upper bound of the interval.
        srcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        srcc_interval: Option<String>,
        /// Rank of the metric by SRCC in this group, 1 is best.
        srcc_rank: Option<u32>,
        /// Letters: two metrics that share a letter do not differ significantly. `not testable` if no difference to
        /// another metric has an interval.
        srcc_group: Option<String>,
        /// SRCC minus that of the best metric. None for the best.
        srcc_difference: Option<f64>,
        /// Lower bound of the difference's interval, which is paired over scenes and for this pair alone.
        srcc_difference_low: Option<f64>,
        /// Upper bound of the difference's interval.
        srcc_difference_high: Option<f64>,
        /// Two-sided p-value of no difference to the best metric, for this pair alone.
        srcc_p: Option<f64>,
        /// The p-value corrected for all pairs of metrics of this group and measure (Holm).
        srcc_p_corrected: Option<f64>,
        /// Kendall's tau-b.
        krcc: Option<f64>,
        /// Lower bound of the interval.
        krcc_low: Option<f64>,
        /// Upper bound of the interval.
        krcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        krcc_interval: Option<String>,
        /// Rank of the metric by KRCC.
        krcc_rank: Option<u32>,
        /// Letters by KRCC.
        krcc_group: Option<String>,
        /// KRCC minus that of the best metric.
        krcc_difference: Option<f64>,
        /// Lower bound of the difference's interval.
        krcc_difference_low: Option<f64>,
        /// Upper bound of the difference's interval.
        krcc_difference_high: Option<f64>,
        /// Two-sided p-value of no difference to the best metric.
        krcc_p: Option<f64>,
        /// The corrected p-value.
        krcc_p_corrected: Option<f64>,
        /// Pearson's correlation of unfitted scores and labels. Protocol `exbedde`: after the fit.
        plcc: Option<f64>,
        /// Lower bound of the interval.
        plcc_low: Option<f64>,
        /// Upper bound of the interval.
        plcc_high: Option<f64>,
        /// Method of the interval, or the reason why it is missing.
        plcc_interval: Option<String>,
        /// Rank of the metric by PLCC.
        plcc_rank: Option<u32>,
        /// Letters by PLCC.
        plcc_group: Option<String>,
        /// PLCC minus that of the best metric.
        plcc_difference: Option<f64>,
        /// Lower bound of the difference's interval.
        plcc_difference_low: Option<f64>,
        /// Upper bound of the difference's interval.
        plcc_difference_high: Option<f64>,
        /// Two-sided p-value of no difference to the best metric.
        plcc_p: Option<f64>,
        /// The corrected p-value.
        plcc_p_corrected: Option<f64>,
        /// Pearson's correlation after the 5-parameter logistic fit.
        plcc_logistic5: Option<f64>,
        /// Lower bound of the interval.
        plcc_logistic5_low: Option<f64>,
        /// Upper bound of the interval.
        plcc_logistic5_high: Option<f64>,
        /// RMSE after that fit, in units of the labels.
        rmse_logistic5: Option<f64>,
        /// Lower bound of the interval.
        rmse_logistic5_low: Option<f64>,
        /// Upper bound of the interval.
        rmse_logistic5_high: Option<f64>,
        /// How the fit ended.
        logistic5_status: Option<String>,
        /// Root mean squared difference of unfitted oriented scores and labels: meaningful only if both have one range.
        rmse: Option<f64>,
        /// Lower bound of the interval.
        rmse_low: Option<f64>,
        /// Upper bound of the interval.
        rmse_high: Option<f64>,
        /// Share of pairs of pictures of one scene with different labels that the metric orders as the labels do.
        pairwise_accuracy: Option<f64>,
        /// Lower bound of the interval.
        pairwise_accuracy_low: Option<f64>,
        /// Upper bound of the interval.
        pairwise_accuracy_high: Option<f64>,
        /// Confidence level of the intervals and tests.
        level: f64,
    }
}
