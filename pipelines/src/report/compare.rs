//! Compares several runs on the same pictures: which of their models or prompts agrees better with the labels, and
//! whether they rank the algorithms alike. A run is only a column of scores by picture here, whatever produced the
//! scores.
//!
//! `RunRecord`s -`join_pictures`-> `JoinedPictures` of a data set -> rows of two tables -> [`RunComparison`]

mod compare_text;
mod error;
pub(super) mod join_pictures;
mod rank_agreement;
mod rows;

use std::collections::HashSet;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::error::ReportError;
use super::held_out::HELD_OUT;
use super::metric_choice::select_metric;
use super::require_complete::require_complete;
use crate::names::DatasetName;
use crate::run::{DatasetSpec, RunRecord};
use crate::store::Store;
use crate::trained_on::SeenScenes;
use dqa_stats::{self as stats, ScoreColumns};

pub use compare_text::CompareTable;
pub use error::CompareError;
use join_pictures::{Join, JoinedPictures};
pub use rows::{AgreementRow, ComparedDataset, ExcludedCounts, RankAgreementRow};

/// Maximum number of runs. A table of all pairs of more runs would be unreadable.
pub const RUNS_MAX: usize = 16;

/// How runs are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareOptions {
    /// The data set to compare, or None for all data sets that every run has.
    pub dataset: Option<DatasetName>,
    /// Whether to compare the first run with each other run, and not all pairs of runs.
    pub only_to_first: bool,
    /// Confidence level of the intervals.
    pub level: f64,
}

impl CompareOptions {
    /// The default level of the intervals.
    pub const LEVEL: f64 = 0.95;
}

/// The result of a comparison of runs.
#[derive(Clone, Debug)]
pub struct RunComparison {
    /// The records of the runs, each restricted to the metric that is compared.
    pub records: Vec<RunRecord>,
    /// The data sets that every run has.
    pub datasets: Vec<ComparedDataset>,
    /// Rows by data set and group.
    pub agreement: Vec<AgreementRow>,
    /// Rows by data set.
    pub rank_agreement: Vec<RankAgreementRow>,
    options: CompareOptions,
}

/// Compares complete runs of a store on the pictures that all of them have scored, by CLIP-DQA or else by the only metric
/// of a run. To compare another metric, restrict the records to it with [`select_metric`].
///
/// # Errors
/// Any [`CompareError`].
pub async fn compare(
    store: &Store,
    records: &[RunRecord],
    options: &CompareOptions,
) -> Result<RunComparison, CompareError> {
    if !(2..=RUNS_MAX).contains(&records.len()) {
        return Err(CompareError::RunCount(records.len()));
    }
    for (index, record) in records.iter().enumerate() {
        if records[..index].iter().any(|other| other.name == record.name) {
            return Err(CompareError::DuplicateRun(record.name.clone()));
        }
    }
    require_complete(store, records).await?;
    let records: Vec<RunRecord> = records.iter().map(|record| select_metric(record, None)).collect::<Result<_, _>>()?;
    let records = records.as_slice();
    let names = common_datasets(records, options)?;
    let mut compared = RunComparison {
        records: records.to_vec(),
        datasets: Vec::new(),
        agreement: Vec::new(),
        rank_agreement: Vec::new(),
        options: options.clone(),
    };
    for name in names {
        let joined = join_pictures::read_and_join(store, records, &name, Join::Inner).await?;
        compared.datasets.push(ComparedDataset {
            name: name.clone(),
            pictures: joined.scene.len() as u64,
            excluded: joined.excluded,
        });
        let (records, options) = (records.to_vec(), options.clone());
        let work = move || {
            let context = CompareContext { dataset: &name, records: &records, options: &options };
            (agreement(&joined, &context), rank_agreement::compute(&joined, &context))
        };
        let (agreement, ranks) = tokio::task::spawn_blocking(work).await.expect("statistics do not panic");
        compared.agreement.extend(agreement);
        compared.rank_agreement.extend(ranks);
    }
    if compared.agreement.is_empty() && compared.rank_agreement.is_empty() {
        return Err(CompareError::NothingToCompare);
    }
    Ok(compared)
}

/// What the rows of one data set have in common.
struct CompareContext<'a> {
    dataset: &'a DatasetName,
    records: &'a [RunRecord],
    options: &'a CompareOptions,
}

impl CompareContext<'_> {
    /// Returns the index pairs of the runs to compare.
    fn pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.records.len(), self.options.only_to_first)
    }

    fn run(&self, index: usize) -> String {
        self.records[index].name.to_string()
    }

    /// Returns each run's specification of the data set.
    fn specs(&self) -> impl Iterator<Item = &DatasetSpec> {
        self.records.iter().filter_map(|record| spec_of(record, self.dataset))
    }
}

fn pairs(runs: usize, only_to_first: bool) -> Vec<(usize, usize)> {
    let firsts = if only_to_first { 1 } else { runs };
    (0..firsts).flat_map(|first| (first + 1..runs).map(move |second| (first, second))).collect()
}

fn spec_of<'a>(record: &'a RunRecord, dataset: &DatasetName) -> Option<&'a DatasetSpec> {
    record.spec.datasets.iter().find(|spec| spec.name == *dataset)
}

/// Returns the data sets that every run has, in the order of the first run.
fn common_datasets(records: &[RunRecord], options: &CompareOptions) -> Result<Vec<DatasetName>, CompareError> {
    if let Some(dataset) = &options.dataset {
        if let Some(record) = records.iter().find(|record| spec_of(record, dataset).is_none()) {
            return Err(ReportError::unknown_dataset(record, dataset).into());
        }
        return Ok(vec![dataset.clone()]);
    }
    let names = records[0].spec.datasets.iter().map(|spec| &spec.name);
    let common = names.filter(|name| records.iter().all(|record| spec_of(record, name).is_some()));
    let common: Vec<DatasetName> = common.cloned().collect();
    if common.is_empty() {
        let has = |record: &RunRecord| format!("`{}` has {}", record.name, record.spec.dataset_names().join(", "));
        return Err(CompareError::NoCommonDataset { has: records.iter().map(has).collect() });
    }
    Ok(common)
}

/// A group of a data set's pictures.
pub(super) struct Group {
    pub(super) kind: &'static str,
    pub(super) name: Option<String>,
    /// Rows of the joined columns that have a label.
    pub(super) rows: Vec<usize>,
}

fn agreement(joined: &JoinedPictures, context: &CompareContext<'_>) -> Vec<AgreementRow> {
    let seen: Vec<&SeenScenes> = context.specs().filter_map(|spec| spec.seen_in_training.as_ref()).collect();
    let groups = groups(joined, &seen);
    let group_rows = |group: &Group| {
        let take = |values: &[f64]| group.rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
        let scores: Vec<Vec<f64>> = joined.scores.iter().map(|scores| take(scores)).collect();
        let scene: Vec<u32> = group.rows.iter().map(|&row| joined.scene[row]).collect();
        let columns = ScoreColumns { scores: &scores, mos: &take(&joined.mos), scene: &scene };
        let measures = stats::paired_differences(&columns, &context.pairs(), context.options.level);
        let scenes = scene.iter().collect::<HashSet<_>>().len() as u64;
        measures
            .iter()
            .flat_map(|measure| agreement_rows(measure, (group, scenes), context))
            .collect::<Vec<AgreementRow>>()
    };
    let rows: Vec<Vec<AgreementRow>> = groups.par_iter().map(group_rows).collect();
    rows.concat()
}

/// Returns the groups: all pictures with a label, those of held-out scenes, those of each algorithm, those of each
/// scene group.
pub(super) fn groups(joined: &JoinedPictures, seen: &[&SeenScenes]) -> Vec<Group> {
    let labelled: Vec<usize> = (0..joined.scene.len()).filter(|&row| !joined.mos[row].is_nan()).collect();
    if labelled.is_empty() {
        return Vec::new();
    }
    let only = |is_wanted: &dyn Fn(usize) -> bool| labelled.iter().copied().filter(|&row| is_wanted(row)).collect();
    let mut groups = vec![Group { kind: "all", name: None, rows: labelled.clone() }];
    if !seen.is_empty() {
        let texts: Vec<String> = joined.scenes.iter().map(ToString::to_string).collect();
        let is_seen: Vec<bool> = texts.iter().map(|text| seen.iter().any(|seen| seen.contains(text))).collect();
        let rows = only(&|row| !is_seen[joined.scene[row] as usize]);
        groups.push(Group { kind: HELD_OUT, name: None, rows });
    }
    for (number, algorithm) in (0..).zip(&joined.algorithms) {
        let rows = only(&|row| joined.algorithm[row] == number);
        groups.push(Group { kind: "algorithm", name: Some(algorithm.to_string()), rows });
    }
    for (number, name) in (0..).zip(&joined.groups) {
        let rows = only(&|row| joined.group[row] == number);
        groups.push(Group { kind: "scene_group", name: Some(name.to_string()), rows });
    }
    groups.retain(|group| !group.rows.is_empty());
    groups
}

fn agreement_rows(
    measure: &stats::PairedMeasure,
    (group, scenes): (&Group, u64),
    context: &CompareContext<'_>,
) -> Vec<AgreementRow> {
    let spread = |index: usize| super::correlations::estimate_columns(measure.values[index]);
    let row = |difference: &stats::PairedDifference| {
        let (value_a, value_a_low, value_a_high) = spread(difference.first);
        let (value_b, value_b_low, value_b_high) = spread(difference.second);
        let (value, low, high) = super::correlations::estimate_columns(difference.estimate);
        AgreementRow {
            dataset: context.dataset.to_string(),
            group_kind: group.kind,
            group_name: group.name.clone(),
            measure: measure.measure.as_str(),
            n: group.rows.len() as u64,
            scenes,
            run_a: context.run(difference.first),
            value_a,
            value_a_low,
            value_a_high,
            run_b: context.run(difference.second),
            value_b,
            value_b_low,
            value_b_high,
            difference: value,
            difference_low: low,
            difference_high: high,
            p: difference.p,
            p_corrected: difference.p_corrected,
            interval_method: difference
                .estimate
                .and_then(|estimate| estimate.interval.ok())
                .map(|interval| interval.method.as_str()),
            interval_missing: difference.missing_interval().map(stats::NoInterval::as_str),
            level: context.options.level,
        }
    };
    measure.differences.iter().map(row).collect()
}
