//! The queries that the statistics are made of: SQL with nothing but standard functions, so that any engine that plans it
//! can run it. Pure. What they must not do: bring the pictures of a group to one place. Only tables with a row for each
//! group, or for each group and bucket, may be collected.
//!
//! Ranks are made by buckets. A column's range over a data set is cut into [`BUCKETS`] of equal width: a function that
//! never falls, so equal values share a bucket and buckets lie in the values' order. A rank is one inside the bucket plus
//! the pictures of the buckets before. Sums of ranks are of twice the rank, a whole number, and exact: what grows with the
//! cube of a group's pictures is DECIMAL, the rest holds in 64 bits up to 2³¹ pictures.
//!
//! Equal values cannot be in several buckets. Labels, of which many are equal, are summed up within each partition before
//! they meet; pictures of one score do meet, and their task holds them: it is the scores that must mostly differ.

use super::GroupKind;
use dqa_pipelines::tables::scores::SCORES;

/// Of a column's range: many times the partitions of a cluster, so that clustered values still spread, and few enough that
/// a table of a group's buckets is small.
const BUCKETS: f64 = 1024.0;

/// Which rows of `scores`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowFilter<'a> {
    pub(crate) fingerprint: &'a str,
    pub(crate) datasets: &'a [DatasetRanges],
}

/// Where the values of a data set's labelled pictures lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DatasetRanges {
    pub(crate) dataset: String,
    pub(crate) score: Range,
    pub(crate) mos: Range,
}

/// From the least value to the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    /// That of no values.
    pub(crate) const NONE: Range = Range { low: f64::INFINITY, high: f64::NEG_INFINITY };

    pub(crate) fn with(self, other: Range) -> Range {
        Range { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// SQL for the bucket of `column`. A width that is beyond the numbers, or nearly none, is one bucket.
    fn bucket_sql(self, column: &str) -> String {
        let per_unit = BUCKETS / (self.high - self.low);
        if per_unit.is_normal() {
            format!("floor(({column} - ({:e})) * {per_unit:e})", self.low)
        } else {
            "0e0".to_owned()
        }
    }
}

/// How many pictures there are of each algorithm and scene group, and where their values lie.
pub(crate) fn cells_query(fingerprint: &str, datasets: &[&str]) -> String {
    format!(
        "SELECT arrow_cast(dataset, 'Utf8') AS dataset, arrow_cast(algorithm, 'Utf8') AS algorithm,
                arrow_cast(scene_group, 'Utf8') AS scene_group,
                count(*) AS pictures, count(score) AS scored, count(mos) FILTER (WHERE score IS NOT NULL) AS n,
                min(score) FILTER (WHERE mos IS NOT NULL) AS score_low,
                max(score) FILTER (WHERE mos IS NOT NULL) AS score_high,
                min(mos) FILTER (WHERE score IS NOT NULL) AS mos_low,
                max(mos) FILTER (WHERE score IS NOT NULL) AS mos_high
         FROM {SCORES} WHERE {} GROUP BY 1, 2, 3",
        row_condition(fingerprint, datasets)
    )
}

/// The sums of each group that its coefficients are made of: one row a group.
///
/// - `labelled`: the pictures, with their buckets.
/// - `buckets`, `placed`: of each bucket of scores, the pictures before it; and its group's means (nearly) and ranges.
/// - `ranked`: the pictures with the rank of their score inside its bucket. With equal scores, `rank` is the first's place
///   and `count` the last's: together twice the mean.
/// - `measured`: that rank in the group. Score and label less a value near to their mean, the second pass of Pearson's.
/// - `labels`: the pictures of each label. Labels have many equal values, so this is where most rows end; a product of
///   ranks needs no more of a label's pictures than the sum of their scores' ranks.
/// - `label_ranks`, `label_buckets`, `label_places`: the same for the labels' ranks, but nothing is joined back: what a
///   bucket's place adds to its sums is a polynomial of the place.
pub(crate) fn rank_sums_query(kind: GroupKind, filter: RowFilter<'_>) -> String {
    let names: Vec<&str> = filter.datasets.iter().map(|ranges| ranges.dataset.as_str()).collect();
    let covered = row_condition(filter.fingerprint, &names);
    let (name, named) = group_name_sql(kind);
    let (score_bucket, mos_bucket) = (bucket_sql(filter, "score", |ranges| ranges.score), bucket_sql(filter, "mos", |ranges| ranges.mos));
    let big = "DECIMAL(38, 0)";
    format!(
        "WITH pictures AS (
  -- Plus zero: a negative zero, which sorts by itself, becomes the other one.
  SELECT arrow_cast(dataset, 'Utf8') AS dataset, {name} AS name, score + 0e0 AS score, mos + 0e0 AS mos
  FROM {SCORES} WHERE {covered} AND {named} AND score IS NOT NULL AND mos IS NOT NULL
), labelled AS (
  SELECT dataset, name, score, mos, {score_bucket} AS score_bucket, {mos_bucket} AS mos_bucket FROM pictures
), buckets AS (
  SELECT dataset, name, score_bucket, count(*) AS n,
         sum(score) AS score_sum, min(score) AS score_low, max(score) AS score_high,
         sum(mos) AS mos_sum, min(mos) AS mos_low, max(mos) AS mos_high
  FROM labelled GROUP BY dataset, name, score_bucket
), group_buckets AS (
  SELECT dataset, name, score_bucket, sum(n) OVER in_order - n AS before,
         sum(score_sum) OVER of_group / sum(n) OVER of_group AS score_mean,
         sum(mos_sum) OVER of_group / sum(n) OVER of_group AS mos_mean,
         min(score_low) OVER of_group AS score_low, max(score_high) OVER of_group AS score_high,
         min(mos_low) OVER of_group AS mos_low, max(mos_high) OVER of_group AS mos_high
  FROM buckets
  WINDOW of_group AS (PARTITION BY dataset, name), in_order AS (PARTITION BY dataset, name ORDER BY score_bucket)
), placed AS (
  -- Rounding can put a mean outside of the range; inside, a difference to it is as exact as one between two values.
  SELECT dataset, name, score_bucket, before,
         greatest(score_low, least(score_high, score_mean)) AS score_centre, score_high - score_low AS score_width,
         greatest(mos_low, least(mos_high, mos_mean)) AS mos_centre, mos_high - mos_low AS mos_width
  FROM group_buckets
), ranked AS (
  SELECT dataset, name, score_bucket, mos_bucket, score, mos,
         CAST(rank() OVER in_order AS BIGINT) + count(*) OVER in_order AS twice_rank
  FROM labelled WINDOW in_order AS (PARTITION BY dataset, name, score_bucket ORDER BY score)
), measured AS (
  SELECT ranked.dataset, ranked.name, mos_bucket, mos, 2 * before + twice_rank AS twice_rank,
         (score - score_centre) / nullif(score_width, 0e0) AS x, (mos - mos_centre) / nullif(mos_width, 0e0) AS y
  FROM placed JOIN ranked ON placed.dataset = ranked.dataset AND placed.name = ranked.name
       AND placed.score_bucket = ranked.score_bucket
), labels AS (
  SELECT dataset, name, mos_bucket, mos, count(*) AS n, sum(twice_rank) AS score_ranks,
         sum(CAST(twice_rank AS {big}) * twice_rank) AS score_squares,
         sum(x) AS x, sum(y) AS y, sum(x * x) AS xx, sum(y * y) AS yy, sum(x * y) AS xy
  FROM measured GROUP BY dataset, name, mos_bucket, mos
), label_ranks AS (
  SELECT *, 2 * sum(n) OVER (PARTITION BY dataset, name, mos_bucket ORDER BY mos) - n + 1 AS twice_rank FROM labels
), label_buckets AS (
  SELECT dataset, name, mos_bucket, sum(n) AS n, sum(score_ranks) AS score_ranks, sum(score_squares) AS score_squares,
         sum(n * twice_rank) AS mos_ranks, sum(CAST(n * twice_rank AS {big}) * twice_rank) AS mos_squares,
         sum(CAST(score_ranks AS {big}) * twice_rank) AS products,
         sum(x) AS x, sum(y) AS y, sum(xx) AS xx, sum(yy) AS yy, sum(xy) AS xy
  FROM label_ranks GROUP BY dataset, name, mos_bucket
), label_places AS (
  SELECT *, CAST(2 * (sum(n) OVER (PARTITION BY dataset, name ORDER BY mos_bucket) - n) AS {big}) AS twice_before
  FROM label_buckets
)
SELECT dataset, name, sum(n) AS n, sum(score_squares) AS score_squares,
       sum(mos_squares + 2 * twice_before * mos_ranks + twice_before * twice_before * n) AS mos_squares,
       sum(products + twice_before * score_ranks) AS products,
       sum(x) AS x, sum(y) AS y, sum(xx) AS xx, sum(yy) AS yy, sum(xy) AS xy
FROM label_places GROUP BY dataset, name"
    )
}

/// SQL for a group's name, and for which pictures have one. What pictures are sorted by is never NULL, and the planner is to
/// know it: it would sort them again for a join that sorts, which puts NULL first where windows put it last.
fn group_name_sql(kind: GroupKind) -> (&'static str, &'static str) {
    match kind {
        GroupKind::All => ("''", "TRUE"),
        GroupKind::Algorithm => ("arrow_cast(algorithm, 'Utf8')", "TRUE"),
        GroupKind::SceneGroup => ("coalesce(arrow_cast(scene_group, 'Utf8'), '')", "scene_group IS NOT NULL"),
    }
}

/// SQL for the bucket of `column`; never NULL, as names.
fn bucket_sql(filter: RowFilter<'_>, column: &str, range: fn(&DatasetRanges) -> Range) -> String {
    let case = |ranges: &DatasetRanges| format!(" WHEN {} THEN {}", quoted(&ranges.dataset), range(ranges).bucket_sql(column));
    let cases: String = filter.datasets.iter().map(case).collect();
    format!("coalesce(CAST(CASE dataset{cases} END AS INT), 0)")
}

fn row_condition(fingerprint: &str, datasets: &[&str]) -> String {
    let names: Vec<String> = datasets.iter().map(|name| quoted(name)).collect();
    format!("fingerprint = {} AND dataset IN ({})", quoted(fingerprint), names.join(", "))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
