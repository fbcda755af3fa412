//! SRCC and PLCC of a run's groups, by one metric, for stores that do not fit on one machine. The queries spread each group over all
//! partitions, and the session may run them on a cluster. The results equal those of [`dqa_pipelines::report::compute`]:
//! SRCC exactly, PLCC up to rounding. This module does not know the engine.
//!
//! `RunRecord`, `MetricSpec` -cells-> groups and their counts -rank sums-> [`GroupAgreement`]
//!
//! The results are the pooled rows `all`, `algorithm` and `scene_group` of the table `correlations`. The other
//! measures, the intervals and the exBeDDE protocol need all pictures of a group in one place and are left out.

pub mod agreement_text;
mod correlation_sql;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use serde::Serialize;

use self::correlation_sql::{DatasetRanges, Range, RowFilter};
use crate::error::SqlError;
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::names::{AlgorithmName, DatasetName};
use dqa_pipelines::report::{ReportError, check_complete};
use dqa_pipelines::run::RunRecord;
use dqa_stats::{self as stats, Moments};

/// Why a run's correlations could not be computed.
#[derive(Debug, thiserror::Error)]
pub enum CorrelationsError {
    /// The run is not complete, or the rows of `scores` are not those of the run.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// DataFusion refused a query.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A query failed while it ran, in this process or on the cluster.
    #[error("the query failed")]
    Engine(#[source] DataFusionError),
}

/// The kind of a group of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// All pictures of the data set.
    All,
    /// The pictures of one algorithm.
    Algorithm,
    /// The pictures of one scene group.
    SceneGroup,
}

impl GroupKind {
    const EACH: [GroupKind; 3] = [GroupKind::All, GroupKind::Algorithm, GroupKind::SceneGroup];

    /// Returns the value of the column `group_kind` in the table `correlations`.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupKind::All => "all",
            GroupKind::Algorithm => "algorithm",
            GroupKind::SceneGroup => "scene_group",
        }
    }
}

/// The agreement of a group's scores with its labels. Columns have the same names and meanings as in the table
/// `correlations`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupAgreement {
    /// The data set's name.
    pub dataset: String,
    /// The kind of the group.
    pub group_kind: GroupKind,
    /// The algorithm or scene group, or None for [`GroupKind::All`].
    pub group_name: Option<String>,
    /// Number of pictures, which is the number of rows in `scores`.
    pub pictures: u64,
    /// Number of pictures without a score.
    pub failed: u64,
    /// Number of pictures with a score and without a label.
    pub unlabelled: u64,
    /// Number of pictures with score and label, from which the measures are computed.
    pub n: u64,
    /// Spearman's rank correlation, or None if it is undefined.
    pub srcc: Option<f64>,
    /// Pearson's correlation, or None if it is undefined.
    pub plcc: Option<f64>,
}

/// Computes the agreement of a complete run's scores by one metric with labels. Scores are turned so that higher is
/// better: a positive SRCC means agreement. Rows are sorted by data set in the run's order, then
/// all pictures, algorithms and scene groups. A data set without labels has no rows. `context` has the table `scores`
/// of the run ([`open_session`](crate::open_session)) and decides where the queries run.
///
/// # Errors
/// The run is not complete, the rows of `scores` are not those of the run, or the engine fails.
pub async fn correlations(
    context: &SessionContext,
    record: &RunRecord,
    metric: &MetricSpec,
) -> Result<Vec<GroupAgreement>, CorrelationsError> {
    let record = record.for_metric(metric);
    check_complete(&record)?;
    let cells = fetch_cells(context, &record, metric).await?;
    check_rows(&record, &cells)?;
    let mut groups = count_groups(&record, &cells);
    let datasets = dataset_ranges(&cells);
    if datasets.is_empty() {
        return Ok(groups);
    }
    for kind in GroupKind::EACH {
        let filter = RowFilter { metric, datasets: &datasets };
        let mut sums = fetch_rank_sums(context, kind, filter).await?;
        let is_asked = |group: &GroupAgreement| {
            group.group_kind == kind && datasets.iter().any(|ranges| ranges.dataset == group.dataset)
        };
        for group in groups.iter_mut().filter(|group| is_asked(group)) {
            let name = group.group_name.clone().unwrap_or_default();
            set_coefficients(group, &sums.remove(&(group.dataset.clone(), name)).unwrap_or_default())?;
        }
    }
    Ok(groups)
}

/// Counts and ranges of the pictures of one algorithm and one scene group.
#[derive(Debug)]
struct CellCounts {
    dataset: String,
    algorithm: String,
    scene_group: Option<String>,
    pictures: u64,
    scored: u64,
    n: u64,
    score: Range,
    mos: Range,
}

async fn fetch_cells(
    context: &SessionContext,
    record: &RunRecord,
    metric: &MetricSpec,
) -> Result<Vec<CellCounts>, CorrelationsError> {
    let datasets = record.spec.dataset_names();
    let mut cells = Vec::new();
    if datasets.is_empty() {
        return Ok(cells);
    }
    for batch in collect(context, &correlation_sql::cells_query(metric, &datasets)).await? {
        let text = |name: &str, row| text_at(&batch, name, row);
        let count = |name, row| count_at(&batch, name, row);
        let real = |name: &str, row| value_at::<Float64Type>(&batch, name, row);
        let range = |low, high, row| {
            let ends = real(low, row).zip(real(high, row));
            ends.map_or(Range::EMPTY, |(low, high)| Range { low, high })
        };
        cells.extend((0..batch.num_rows()).map(|row| CellCounts {
            dataset: text("dataset", row).unwrap_or_default(),
            algorithm: text("algorithm", row).unwrap_or_default(),
            scene_group: text("scene_group", row),
            pictures: count("pictures", row),
            scored: count("scored", row),
            n: count("n", row),
            score: range("score_low", "score_high", row),
            mos: range("mos_low", "mos_high", row),
        }));
    }
    Ok(cells)
}

/// Checks that each algorithm of each data set has the planned number of rows, because `scores` may be those of other
/// runs.
fn check_rows(record: &RunRecord, cells: &[CellCounts]) -> Result<(), ReportError> {
    let mut planned: BTreeMap<(&DatasetName, &AlgorithmName), u64> = BTreeMap::new();
    for part in &record.parts {
        *planned.entry((&part.dataset, &part.algorithm)).or_default() += part.rows;
    }
    let mut found: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for cell in cells {
        *found.entry((&cell.dataset, &cell.algorithm)).or_default() += cell.pictures;
    }
    let mismatch = |what: String, planned, found| Err(ReportError::Rows { what, planned, found });
    for ((dataset, algorithm), planned) in planned {
        let found = found.remove(&(dataset.as_str(), algorithm.as_str())).unwrap_or_default();
        if found != planned {
            return mismatch(format!("algorithm `{algorithm}` of data set `{dataset}`"), planned, found);
        }
    }
    match found.first_key_value() {
        None => Ok(()),
        Some(((dataset, algorithm), found)) => {
            mismatch(format!("algorithm `{algorithm}` of data set `{dataset}`"), 0, *found)
        }
    }
}

/// Returns the ranges of the data sets whose scores differ and whose labels differ. On other data sets no measure is
/// defined, and a constant score would put all pictures into one bucket.
fn dataset_ranges(cells: &[CellCounts]) -> Vec<DatasetRanges> {
    let mut ranges: BTreeMap<&str, (Range, Range)> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.n > 0) {
        let (score, mos) = ranges.entry(&cell.dataset).or_insert((Range::EMPTY, Range::EMPTY));
        (*score, *mos) = (score.union(cell.score), mos.union(cell.mos));
    }
    let differ = ranges.into_iter().filter(|(_, (score, mos))| score.low < score.high && mos.low < mos.high);
    differ.map(|(dataset, (score, mos))| DatasetRanges { dataset: dataset.to_owned(), score, mos }).collect()
}

/// Returns the groups with their counts, without coefficients.
fn count_groups(record: &RunRecord, cells: &[CellCounts]) -> Vec<GroupAgreement> {
    let mut groups = Vec::new();
    for dataset in &record.spec.datasets {
        let cells: Vec<&CellCounts> = cells.iter().filter(|cell| cell.dataset == dataset.name.as_str()).collect();
        if cells.iter().all(|cell| cell.n == 0) {
            continue;
        }
        groups.push(count_group(GroupKind::All, None, &cells));
        let algorithms: BTreeSet<&str> = cells.iter().map(|cell| cell.algorithm.as_str()).collect();
        for name in algorithms {
            let own: Vec<&CellCounts> = cells.iter().copied().filter(|cell| cell.algorithm == name).collect();
            groups.push(count_group(GroupKind::Algorithm, Some(name), &own));
        }
        let scene_groups: BTreeSet<&str> = cells.iter().filter_map(|cell| cell.scene_group.as_deref()).collect();
        for name in scene_groups {
            let own: Vec<&CellCounts> =
                cells.iter().copied().filter(|cell| cell.scene_group.as_deref() == Some(name)).collect();
            groups.push(count_group(GroupKind::SceneGroup, Some(name), &own));
        }
    }
    groups
}

/// Adds up the counts of a group. `cells` is not empty.
fn count_group(group_kind: GroupKind, group_name: Option<&str>, cells: &[&CellCounts]) -> GroupAgreement {
    let count = |field: fn(&CellCounts) -> u64| cells.iter().map(|cell| field(cell)).sum();
    GroupAgreement {
        dataset: cells[0].dataset.clone(),
        group_kind,
        group_name: group_name.map(str::to_owned),
        pictures: count(|cell| cell.pictures),
        failed: count(|cell| cell.pictures - cell.scored),
        unlabelled: count(|cell| cell.scored - cell.n),
        n: count(|cell| cell.n),
        srcc: None,
        plcc: None,
    }
}

/// The sums that a group's coefficients are computed from.
#[derive(Clone, Copy, Debug, Default)]
struct RankSums {
    n: u64,
    /// Sum of squares of the doubled ranks of scores.
    score_squares: i128,
    /// Sum of squares of the doubled ranks of labels.
    mos_squares: i128,
    /// Sum of products of the doubled ranks of scores and labels.
    products: i128,
    /// None if scores or labels are constant.
    moments: Option<Moments>,
}

/// Returns the sums by data set and group name. The name is empty for [`GroupKind::All`].
async fn fetch_rank_sums(
    context: &SessionContext,
    kind: GroupKind,
    filter: RowFilter<'_>,
) -> Result<BTreeMap<(String, String), RankSums>, CorrelationsError> {
    let mut sums = BTreeMap::new();
    for batch in collect(context, &correlation_sql::rank_sums_query(kind, filter)).await? {
        for row in 0..batch.num_rows() {
            let text = |name| text_at(&batch, name, row).unwrap_or_default();
            sums.insert((text("dataset"), text("name")), rank_sums_at(&batch, row));
        }
    }
    Ok(sums)
}

fn rank_sums_at(batch: &RecordBatch, row: usize) -> RankSums {
    let n = count_at(batch, "n", row);
    let big = |name| value_at::<Decimal128Type>(batch, name, row).unwrap_or_default();
    let real = |name| value_at::<Float64Type>(batch, name, row);
    let moments = || {
        let (x, y, xx, yy, xy) = (real("x")?, real("y")?, real("xx")?, real("yy")?, real("xy")?);
        Some(Moments { n: n as f64, x, y, xx, yy, xy })
    };
    RankSums {
        n,
        score_squares: big("score_squares"),
        mos_squares: big("mos_squares"),
        products: big("products"),
        moments: moments(),
    }
}

fn set_coefficients(group: &mut GroupAgreement, sums: &RankSums) -> Result<(), ReportError> {
    if sums.n != group.n {
        let name = group.group_name.as_deref().unwrap_or("all");
        let what = format!("group `{name}` of data set `{}`", group.dataset);
        return Err(ReportError::Rows { what, planned: group.n, found: sums.n });
    }
    let n = i128::from(sums.n);
    // The mean of a doubled rank is n + 1. Subtracting it gives central sums, which are still exact.
    let mean_share = n * (n + 1) * (n + 1);
    let about_mean = |sum: i128| sum - mean_share;
    group.srcc =
        stats::srcc_from_sums(about_mean(sums.products), about_mean(sums.score_squares), about_mean(sums.mos_squares));
    group.plcc = sums.moments.and_then(|moments| moments.plcc());
    Ok(())
}

async fn collect(context: &SessionContext, query: &str) -> Result<Vec<RecordBatch>, CorrelationsError> {
    let frame = crate::query(context, query).await?;
    frame.collect().await.map_err(CorrelationsError::Engine)
}

/// Returns a row's value, or None for NULL.
fn value_at<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str, row: usize) -> Option<T::Native> {
    let column: &PrimitiveArray<T> = batch[name].as_primitive();
    column.is_valid(row).then(|| column.value(row))
}

/// Returns a row's count.
fn count_at(batch: &RecordBatch, name: &str, row: usize) -> u64 {
    let count = value_at::<Int64Type>(batch, name, row).unwrap_or_default();
    u64::try_from(count).expect("a count is not negative")
}

fn text_at(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch[name].as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}
