//! The SQL queries that compute the sums behind the coefficients. They use only standard functions, so that any engine
//! can plan and run them. Pure. They must not bring all pictures of a group to one place: only tables with a row for
//! each group, or for each group and bucket, may be collected.
//!
//! Ranks are computed by buckets. A column's range over a data set is cut into [`BUCKETS`] of equal width. The bucket
//! is a non-decreasing function of the value, so equal values share a bucket and buckets are ordered as the values are.
//! A rank is the rank inside the bucket plus the number of pictures in lower buckets. Sums are of twice the rank, which
//! is an integer, and are exact: sums that grow with the cube of a group's pictures are DECIMAL, the others fit in 64
//! bits for up to 2³¹ pictures.
//!
//! Equal values cannot be spread over several buckets. Labels, of which many are equal, are aggregated within each
//! partition first. Pictures with equal scores do meet in one task, which holds them in memory, so most scores must
//! differ.

use super::GroupKind;
use dqa_pipelines::metric::{Direction, MetricSpec};
use dqa_pipelines::tables::scores::SCORES;

/// Buckets of a column's range: many times the partitions of a cluster, so that clustered values still spread, and few
/// enough that a table of a group's buckets is small.
const BUCKETS: f64 = 1024.0;

/// The rows of `scores` to use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFilter<'a> {
    pub(crate) metric: &'a MetricSpec,
    pub(crate) datasets: &'a [DatasetRanges],
}

/// The ranges of oriented scores and labels of a data set's labelled pictures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DatasetRanges {
    pub(crate) dataset: String,
    pub(crate) score: Range,
    pub(crate) mos: Range,
}

/// The range from the smallest to the largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    /// The range of no values.
    pub(crate) const EMPTY: Range = Range { low: f64::INFINITY, high: f64::NEG_INFINITY };

    pub(crate) fn union(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Returns SQL for the bucket of `column`. If the range is infinite or nearly empty, there is one bucket.
    fn bucket_sql(self, column: &str) -> String {
        let per_unit = BUCKETS / (self.high - self.low);
        if per_unit.is_normal() {
            format!("floor(({column} - ({:e})) * {per_unit:e})", self.low)
        } else {
            "0e0".to_owned()
        }
    }
}

/// Returns the query for the numbers of pictures and the ranges of values by algorithm and scene group.
pub(crate) fn cells_query(metric: &MetricSpec, datasets: &[&str]) -> String {
    let score = oriented_score_sql(metric);
    format!(
        "SELECT arrow_cast(dataset, 'Utf8') AS dataset, arrow_cast(algorithm, 'Utf8') AS algorithm,
                arrow_cast(scene_group, 'Utf8') AS scene_group,
                count(*) AS pictures, count(score) AS scored, count(mos) FILTER (WHERE score IS NOT NULL) AS n,
                min({score}) FILTER (WHERE mos IS NOT NULL) AS score_low,
                max({score}) FILTER (WHERE mos IS NOT NULL) AS score_high,
                min(mos) FILTER (WHERE score IS NOT NULL) AS mos_low,
                max(mos) FILTER (WHERE score IS NOT NULL) AS mos_high
         FROM {SCORES} WHERE {} GROUP BY 1, 2, 3",
        row_condition(metric, datasets)
    )
}

/// Returns the query for the sums of each group that its coefficients are computed from, one row per group.
///
/// - `pictures`, `labelled`: the pictures with their oriented scores; and with their buckets.
/// - `buckets`, `placed`: for each bucket of scores, the number of pictures in lower buckets; and its group's
///   approximate means and ranges.
/// - `ranked`: the pictures with the rank of their score inside its bucket. Among equal scores, `rank` is the position
///   of the first and `count` that of the last, so their sum is twice the mean rank.
/// - `measured`: that rank within the group. Score and label minus a value near their mean, for the second pass of
///   Pearson's correlation.
/// - `labels`: the pictures of each label. Labels have many equal values, so this step removes most rows. A product of
///   ranks needs only the sum of the score ranks of a label's pictures.
/// - `label_ranks`, `label_buckets`, `label_places`: the same for the ranks of labels, but without a join: the
///   contribution of a bucket's position to its sums is a polynomial of the position.
pub(crate) fn rank_sums_query(kind: GroupKind, filter: RowFilter<'_>) -> String {
    let names: Vec<&str> = filter.datasets.iter().map(|ranges| ranges.dataset.as_str()).collect();
    let covered = row_condition(filter.metric, &names);
    let (name, named) = group_name_sql(kind);
    let (score_bucket, mos_bucket) =
        (bucket_sql(filter, "score", |ranges| ranges.score), bucket_sql(filter, "mos", |ranges| ranges.mos));
    let big = "DECIMAL(38, 0)";
    format!(
        include_str!("rank_sums.sql"),
        SCORES = SCORES,
        big = big,
        covered = covered,
        mos_bucket = mos_bucket,
        name = name,
        named = named,
        score = oriented_score_sql(filter.metric),
        score_bucket = score_bucket
    )
}

/// Returns SQL for a group's name and for the condition that a picture has one. Sort keys must never be NULL, and the
/// planner must know this: otherwise it sorts the pictures again for a sort-merge join, which puts NULL first where
/// windows put it last.
fn group_name_sql(kind: GroupKind) -> (&'static str, &'static str) {
    match kind {
        GroupKind::All => ("''", "TRUE"),
        GroupKind::Algorithm => ("arrow_cast(algorithm, 'Utf8')", "TRUE"),
        GroupKind::SceneGroup => ("coalesce(arrow_cast(scene_group, 'Utf8'), '')", "scene_group IS NOT NULL"),
    }
}

/// Returns SQL for the bucket of `column`. Like group names, it is never NULL.
fn bucket_sql(filter: RowFilter<'_>, column: &str, range: fn(&DatasetRanges) -> Range) -> String {
    let case =
        |ranges: &DatasetRanges| format!(" WHEN {} THEN {}", quoted(&ranges.dataset), range(ranges).bucket_sql(column));
    let cases: String = filter.datasets.iter().map(case).collect();
    format!("coalesce(CAST(CASE dataset{cases} END AS INT), 0)")
}

/// Returns SQL for the score, turned so that higher is better.
fn oriented_score_sql(metric: &MetricSpec) -> &'static str {
    match metric.direction {
        Direction::Higher => "score",
        Direction::Lower => "(-score)",
    }
}

fn row_condition(metric: &MetricSpec, datasets: &[&str]) -> String {
    let names: Vec<String> = datasets.iter().map(|name| quoted(name)).collect();
    let (metric, fingerprint) = (quoted(metric.name.as_str()), quoted(&metric.fingerprint));
    format!("metric = {metric} AND fingerprint = {fingerprint} AND dataset IN ({})", names.join(", "))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
