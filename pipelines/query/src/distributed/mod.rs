//! SRCC and PLCC of a run's groups for stores that one machine cannot hold: queries that spread each group over all
//! partitions, for a session whose engine may be a cluster. The numbers are those of [`report::make`](super::make): SRCC to
//! the bit, PLCC but for rounding. What runs the queries is not known here.
//!
//! `RunRecord` -cells-> groups and their counts -sums-> [`GroupAgreement`]
//!
//! Of the table `correlations`, these are the pooled rows: `all`, `algorithm` and `scene_group`. The other measures, the
//! intervals and exBeDDE's protocol need a group's pictures in one place and are left out.

mod correlation_sql;
#[cfg(test)]
mod tests;
pub mod agreement_text;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int64Type};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use serde::Serialize;

use self::correlation_sql::{Range, DatasetRanges, RowFilter};
use crate::error::SqlError;
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

/// What the pictures of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupKind {
    /// The data set.
    All,
    /// Who made them.
    Algorithm,
    /// The group of what they show.
    SceneGroup,
}

impl GroupKind {
    const EACH: [GroupKind; 3] = [GroupKind::All, GroupKind::Algorithm, GroupKind::SceneGroup];

    /// As in the table `correlations`.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupKind::All => "all",
            GroupKind::Algorithm => "algorithm",
            GroupKind::SceneGroup => "scene_group",
        }
    }
}

/// How well the scores of a group agree with its labels. Its columns are named and mean as in the table `correlations`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupAgreement {
    /// Of which data set.
    pub dataset: String,
    /// What its pictures have in common.
    pub group_kind: GroupKind,
    /// The algorithm or scene group; None for [`GroupKind::All`].
    pub group_name: Option<String>,
    /// Rows of the scores.
    pub pictures: u64,
    /// Of them, those without a score.
    pub failed: u64,
    /// Of those with a score, those without a label.
    pub unlabelled: u64,
    /// Those with both: what the measures are of.
    pub n: u64,
    /// Spearman's rank correlation; None where it is not defined.
    pub srcc: Option<f64>,
    /// Pearson's correlation; None where it is not defined.
    pub plcc: Option<f64>,
}

/// The agreement of a complete run's scores with labels: by data set in the run's order, all of its pictures first, then
/// by algorithm, then by scene group. None of a data set without a label. `context` has the run's `scores`
/// ([`session`](crate::session) of the run) and decides where the queries run.
///
/// # Errors
/// A run that is not complete; `scores` that are not the run's; an engine that fails.
pub async fn correlations(
    context: &SessionContext,
    record: &RunRecord,
) -> Result<Vec<GroupAgreement>, CorrelationsError> {
    check_complete(record)?;
    let cells = fetch_cells(context, record).await?;
    check_rows(record, &cells)?;
    let mut groups = count_groups(record, &cells);
    let datasets = dataset_ranges(&cells);
    if datasets.is_empty() {
        return Ok(groups);
    }
    for kind in GroupKind::EACH {
        let filter = RowFilter { fingerprint: &record.fingerprint, datasets: &datasets };
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

/// The pictures of one algorithm and one scene group.
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

async fn fetch_cells(context: &SessionContext, record: &RunRecord) -> Result<Vec<CellCounts>, CorrelationsError> {
    let datasets = record.spec.dataset_names();
    let mut cells = Vec::new();
    if datasets.is_empty() {
        return Ok(cells);
    }
    for batch in collect(context, &correlation_sql::cells_query(&record.fingerprint, &datasets)).await? {
        let text = |name: &str, row| text_at(&batch, name, row);
        let count = |name, row| count_at(&batch, name, row);
        let real = |name: &str, row| value_at::<Float64Type>(&batch, name, row);
        let range = |low, high, row| {
            let ends = real(low, row).zip(real(high, row));
            ends.map_or(Range::NONE, |(low, high)| Range { low, high })
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

/// Rows in = rows out, for each algorithm of each data set: `scores` may be those of other runs.
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

/// Of the data sets whose scores differ and whose labels do: on the others no measure is defined, and a constant score
/// would be one bucket of all pictures.
fn dataset_ranges(cells: &[CellCounts]) -> Vec<DatasetRanges> {
    let mut ranges: BTreeMap<&str, (Range, Range)> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.n > 0) {
        let (score, mos) = ranges.entry(&cell.dataset).or_insert((Range::NONE, Range::NONE));
        (*score, *mos) = (score.with(cell.score), mos.with(cell.mos));
    }
    let differ = ranges.into_iter().filter(|(_, (score, mos))| score.low < score.high && mos.low < mos.high);
    differ.map(|(dataset, (score, mos))| DatasetRanges { dataset: dataset.to_owned(), score, mos }).collect()
}

/// The groups with their counts, not yet measured.
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

/// A group of `cells`, of which there is one.
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

/// What a group's coefficients are made of.
#[derive(Clone, Copy, Debug, Default)]
struct RankSums {
    n: u64,
    /// Of scores' ranks, each doubled.
    score_squares: i128,
    /// Of labels' ranks, each doubled.
    mos_squares: i128,
    /// Of both.
    products: i128,
    /// None where a side is constant.
    moments: Option<Moments>,
}

/// By data set and group's name, which is empty for [`GroupKind::All`].
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
    // The mean of twice a rank is n + 1: what is left of the sums is about the mean, and still exact.
    let mean_share = n * (n + 1) * (n + 1);
    let about_mean = |sum: i128| sum - mean_share;
    group.srcc =
        stats::srcc_of_sums(about_mean(sums.products), about_mean(sums.score_squares), about_mean(sums.mos_squares));
    group.plcc = sums.moments.and_then(|moments| moments.plcc());
    Ok(())
}

async fn collect(context: &SessionContext, query: &str) -> Result<Vec<RecordBatch>, CorrelationsError> {
    let frame = crate::query(context, query).await?;
    frame.collect().await.map_err(CorrelationsError::Engine)
}

/// A row's number; None: NULL.
fn value_at<T: ArrowPrimitiveType>(batch: &RecordBatch, name: &str, row: usize) -> Option<T::Native> {
    let column: &PrimitiveArray<T> = batch[name].as_primitive();
    column.is_valid(row).then(|| column.value(row))
}

/// A row's count.
fn count_at(batch: &RecordBatch, name: &str, row: usize) -> u64 {
    let count = value_at::<Int64Type>(batch, name, row).unwrap_or_default();
    u64::try_from(count).expect("a count is not negative")
}

fn text_at(batch: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = batch[name].as_string::<i32>();
    column.is_valid(row).then(|| column.value(row).to_owned())
}
