//! The rows of a comparison's tables, and the counts of pictures that it excludes.

use serde::Serialize;

use crate::names::DatasetName;

/// The agreement of a pair of runs with the labels by one measure on one group of pictures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgreementRow {
    /// The data set's name.
    pub dataset: String,
    /// The kind of group: `all`, `algorithm`, `scene_group`, or `held_out` for scenes that no run's model saw in
    /// training.
    pub group_kind: &'static str,
    /// The algorithm or scene group. None for the other kinds.
    pub group_name: Option<String>,
    /// `srcc`, `plcc` or `krcc`.
    pub measure: &'static str,
    /// Number of pictures with a label that every run has scored.
    pub n: u64,
    /// Number of their scenes.
    pub scenes: u64,
    /// The baseline run.
    pub run_a: String,
    /// The measure of run a.
    pub value_a: Option<f64>,
    /// Lower bound of its interval.
    pub value_a_low: Option<f64>,
    /// Upper bound of its interval.
    pub value_a_high: Option<f64>,
    /// The run that is compared with run a.
    pub run_b: String,
    /// The measure of run b.
    pub value_b: Option<f64>,
    /// Lower bound of its interval.
    pub value_b_low: Option<f64>,
    /// Upper bound of its interval.
    pub value_b_high: Option<f64>,
    /// The measure of run b minus that of run a.
    pub difference: Option<f64>,
    /// Lower bound of the difference's interval, which is paired over scenes.
    pub difference_low: Option<f64>,
    /// Upper bound of the difference's interval.
    pub difference_high: Option<f64>,
    /// Two-sided p-value of no difference.
    pub p: Option<f64>,
    /// The p-value corrected for the pairs of runs (Holm), but not for groups and measures.
    pub p_corrected: Option<f64>,
    /// The method of the difference's interval.
    pub interval_method: Option<&'static str>,
    /// Why the difference's interval is missing.
    pub interval_missing: Option<&'static str>,
    /// Confidence level of the intervals.
    pub level: f64,
}

/// How alike two runs rank the algorithms of a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankAgreementRow {
    /// The data set's name.
    pub dataset: String,
    /// A run.
    pub run_a: String,
    /// Another run.
    pub run_b: String,
    /// Number of algorithms that both runs rank.
    pub algorithms: u64,
    /// Spearman's correlation of the algorithms' scores.
    pub srcc: Option<f64>,
    /// Kendall's tau-b of the algorithms' scores.
    pub krcc: Option<f64>,
    /// Number of pairs of algorithms.
    pub pairs: u64,
    /// Number of pairs that the runs order differently.
    pub pairs_reversed: u64,
    /// Pairs that differ significantly in both runs, in opposite directions, as `better in a > better in b`. None
    /// if there are none.
    pub reversed_significantly: Option<String>,
    /// Number of pairs that differ significantly only in run a.
    pub significant_in_a_only: u64,
    /// Number of pairs that differ significantly only in run b.
    pub significant_in_b_only: u64,
}

/// Numbers of pictures of a data set that are not compared, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExcludedCounts {
    /// Missing from a run.
    pub not_in_all: u64,
    /// A different file of the same name in some run.
    pub other_file: u64,
    /// Failed in some run.
    pub failed: u64,
    /// Without a label. These pictures enter only the leaderboards.
    pub unlabelled: u64,
}

/// A data set of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedDataset {
    /// The data set's name.
    pub name: DatasetName,
    /// Number of pictures that every run has scored.
    pub pictures: u64,
    /// Pictures that are not compared.
    pub excluded: ExcludedCounts,
}
