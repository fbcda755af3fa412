//! Several runs on the same pictures: which of their models or prompts agrees better with the labels, and whether they rank
//! the algorithms alike. What made a run's scores is not known here: a run is a column of scores by picture.
//!
//! `RunRecord`s -`pictures`-> `Matched` columns of a data set -> rows of two tables -> [`Compared`]

mod boards;
mod pictures;
mod text;

use std::collections::HashSet;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::Serialize;

use super::ReportError;
use crate::names::{DatasetName, RunName};
use crate::run::{DatasetSpec, RunRecord};
use crate::store::Store;
use dqa_stats::{self as stats, ScoreColumns};

use pictures::Matched;
pub use text::CompareTable;

/// Most runs that are compared at once: a table of all pairs of more is not read.
pub const RUNS_MAX: usize = 16;

/// How runs are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareOptions {
    /// Only this data set; None: all that every run has.
    pub dataset: Option<DatasetName>,
    /// Of three or more runs only the differences to the first.
    pub only_to_first: bool,
    /// Of intervals.
    pub level: f64,
}

impl CompareOptions {
    /// Of intervals, where nothing else is asked for.
    pub const LEVEL: f64 = 0.95;
}

/// Why runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A run that is not complete, or whose parts cannot be read.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Too few runs or too many.
    #[error("expected 2 to {RUNS_MAX} runs to compare, found {0}")]
    Count(usize),
    /// A run that is named twice.
    #[error("run `{0}` is named twice")]
    Twice(RunName),
    /// No data set is in all runs.
    #[error("the runs have no data set in common: {}", has.join("; "))]
    NoDataset {
        /// Each run with what it has.
        has: Vec<String>,
    },
    /// Data sets of one name that have no picture in common.
    #[error("runs `{first}` and `{second}` have no picture of data set `{dataset}` in common: {why}")]
    NoPicture {
        /// Which data set.
        dataset: DatasetName,
        /// One run.
        first: RunName,
        /// Another.
        second: RunName,
        /// How their pictures differ.
        why: String,
    },
    /// One picture with two labels, or of two scenes.
    #[error(
        "{count} pictures of data set `{dataset}` have another {what} in run `{second}` than in run `{first}`: {image} of \
         {algorithm} has {of_second} instead of {of_first}"
    )]
    Unlike {
        /// Which data set.
        dataset: DatasetName,
        /// One run.
        first: RunName,
        /// The other.
        second: RunName,
        /// `label` or `scene`.
        what: &'static str,
        /// How many.
        count: usize,
        /// Of the first of them: who made it.
        algorithm: String,
        /// Its name.
        image: String,
        /// What the one run has.
        of_first: String,
        /// What the other has.
        of_second: String,
    },
    /// Scores of pictures that were not what is compared.
    #[error(
        "no picture of a data set that the runs share was scored by all of them and has a label or an algorithm to rank"
    )]
    Nothing,
}

impl CompareError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CompareError::Report(_) => None,
            CompareError::Count(_) | CompareError::Twice(_) => Some("`dqa-coord runs` lists the runs of a store"),
            CompareError::NoDataset { .. } | CompareError::NoPicture { .. } => {
                Some("submit the same data sets with each model; pictures are the same if their content is")
            }
            CompareError::Unlike { .. } => Some(
                "the data set was changed between the runs: submit both again, and what is scored is not scored again",
            ),
            CompareError::Nothing => Some("`dqa-coord report RUN` says which pictures failed or have no label"),
        }
    }
}

/// What agrees better with the labels: one measure of one pair of runs on some pictures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AgreementRow {
    /// Which data set.
    pub dataset: String,
    /// What the pictures have in common: `all`, `algorithm`, `scene_group`; `held_out`: no run's model saw their scenes in
    /// training.
    pub group_kind: &'static str,
    /// The algorithm or scene group.
    pub group_name: Option<String>,
    /// `srcc`, `plcc` or `krcc`.
    pub measure: &'static str,
    /// Pictures with a label that every run has scored.
    pub n: u64,
    /// What they show.
    pub scenes: u64,
    /// The run that the difference is to.
    pub run_a: String,
    /// Its measure.
    pub value_a: Option<f64>,
    /// The interval's lower end.
    pub value_a_low: Option<f64>,
    /// The interval's upper end.
    pub value_a_high: Option<f64>,
    /// The other run.
    pub run_b: String,
    /// Its measure.
    pub value_b: Option<f64>,
    /// The interval's lower end.
    pub value_b_low: Option<f64>,
    /// The interval's upper end.
    pub value_b_high: Option<f64>,
    /// Of run b less that of run a.
    pub difference: Option<f64>,
    /// The interval's lower end, paired over scenes.
    pub difference_low: Option<f64>,
    /// The interval's upper end.
    pub difference_high: Option<f64>,
    /// That there is no difference: two-sided.
    pub p: Option<f64>,
    /// Corrected for the pairs of runs (Holm); not for groups and measures.
    pub p_corrected: Option<f64>,
    /// How the difference's interval was made.
    pub interval_method: Option<&'static str>,
    /// Why there is none.
    pub interval_missing: Option<&'static str>,
    /// Of the intervals.
    pub level: f64,
}

/// Whether two runs rank a data set's algorithms alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoardsRow {
    /// Which data set.
    pub dataset: String,
    /// One run.
    pub run_a: String,
    /// The other.
    pub run_b: String,
    /// Algorithms that both rank.
    pub algorithms: u64,
    /// Spearman's correlation of their scores.
    pub srcc: Option<f64>,
    /// Kendall's tau-b of their scores.
    pub krcc: Option<f64>,
    /// Pairs of algorithms.
    pub pairs: u64,
    /// Pairs that the two order differently.
    pub pairs_reversed: u64,
    /// Pairs that differ significantly in both, in opposite directions, as `better in a > better in b`.
    pub reversed_significantly: String,
    /// Pairs that differ significantly in run a alone.
    pub significant_in_a_only: u64,
    /// Pairs that differ significantly in run b alone.
    pub significant_in_b_only: u64,
}

/// Pictures of a data set that are not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Some run has no such picture.
    pub not_in_all: u64,
    /// Another file has its name in some run.
    pub other_file: u64,
    /// It failed in some run.
    pub failed: u64,
    /// It has no label: it counts for the leaderboards alone.
    pub unlabelled: u64,
}

/// A data set of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparedDataset {
    /// Its name.
    pub name: DatasetName,
    /// Pictures that every run has scored.
    pub pictures: u64,
    /// Those that are not compared.
    pub left_out: LeftOut,
}

/// Runs side by side.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The runs.
    pub records: Vec<RunRecord>,
    /// The data sets that every run has.
    pub datasets: Vec<ComparedDataset>,
    /// By data set and group.
    pub agreement: Vec<AgreementRow>,
    /// By data set.
    pub boards: Vec<BoardsRow>,
    options: CompareOptions,
}

/// Compares complete runs of a store on the pictures that all of them have scored.
///
/// # Errors
/// Every [`CompareError`].
pub async fn compare(store: &Store, records: &[RunRecord], options: &CompareOptions) -> Result<Compared, CompareError> {
    if !(2..=RUNS_MAX).contains(&records.len()) {
        return Err(CompareError::Count(records.len()));
    }
    super::require_complete(store, records).await?;
    for (at, record) in records.iter().enumerate() {
        if records[..at].iter().any(|other| other.name == record.name) {
            return Err(CompareError::Twice(record.name.clone()));
        }
    }
    let names = common_datasets(records, options)?;
    let mut compared = Compared {
        records: records.to_vec(),
        datasets: Vec::new(),
        agreement: Vec::new(),
        boards: Vec::new(),
        options: options.clone(),
    };
    for name in names {
        let matched = pictures::matched(store, records, &name).await?;
        compared.datasets.push(ComparedDataset {
            name: name.clone(),
            pictures: matched.scene.len() as u64,
            left_out: matched.left_out,
        });
        let (records, options) = (records.to_vec(), options.clone());
        let work = move || {
            let head = Head { dataset: &name, records: &records, options: &options };
            (agreement(&matched, &head), boards::rows(&matched, &head))
        };
        let (agreement, boards) = tokio::task::spawn_blocking(work).await.expect("statistics do not panic");
        compared.agreement.extend(agreement);
        compared.boards.extend(boards);
    }
    if compared.agreement.is_empty() && compared.boards.is_empty() {
        return Err(CompareError::Nothing);
    }
    Ok(compared)
}

/// What the rows of a data set share.
struct Head<'a> {
    dataset: &'a DatasetName,
    records: &'a [RunRecord],
    options: &'a CompareOptions,
}

impl Head<'_> {
    /// Places of the runs whose differences are taken.
    fn pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.records.len(), self.options.only_to_first)
    }

    fn run(&self, place: usize) -> String {
        self.records[place].name.to_string()
    }

    /// What each run has of the data set.
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

/// The data sets that every run has, in the first's order.
fn common_datasets(records: &[RunRecord], options: &CompareOptions) -> Result<Vec<DatasetName>, CompareError> {
    if let Some(dataset) = &options.dataset {
        if let Some(record) = records.iter().find(|record| spec_of(record, dataset).is_none()) {
            return Err(ReportError::no_dataset(record, dataset).into());
        }
        return Ok(vec![dataset.clone()]);
    }
    let names = records[0].spec.datasets.iter().map(|spec| &spec.name);
    let common = names.filter(|name| records.iter().all(|record| spec_of(record, name).is_some()));
    let common: Vec<DatasetName> = common.cloned().collect();
    if common.is_empty() {
        let has = |record: &RunRecord| format!("`{}` has {}", record.name, record.spec.dataset_names().join(", "));
        return Err(CompareError::NoDataset { has: records.iter().map(has).collect() });
    }
    Ok(common)
}

/// Which of a data set's pictures.
struct Group {
    kind: &'static str,
    name: Option<String>,
    /// Rows of the matched columns, those with a label.
    rows: Vec<usize>,
}

fn agreement(matched: &Matched, head: &Head<'_>) -> Vec<AgreementRow> {
    let groups = groups(matched, head);
    let of_group = |group: &Group| {
        let take = |values: &[f64]| group.rows.iter().map(|&row| values[row]).collect::<Vec<f64>>();
        let scores: Vec<Vec<f64>> = matched.scores.iter().map(|scores| take(scores)).collect();
        let scene: Vec<u32> = group.rows.iter().map(|&row| matched.scene[row]).collect();
        let columns = ScoreColumns { scores: &scores, mos: &take(&matched.mos), scene: &scene };
        let measures = stats::paired(&columns, &head.pairs(), head.options.level);
        let scenes = scene.iter().collect::<HashSet<_>>().len() as u64;
        measures.iter().flat_map(|of| rows_of(of, (group, scenes), head)).collect::<Vec<AgreementRow>>()
    };
    let rows: Vec<Vec<AgreementRow>> = groups.par_iter().map(of_group).collect();
    rows.concat()
}

/// All pictures with a label, those that no run's model has seen, those of each algorithm and of each group of scenes.
fn groups(matched: &Matched, head: &Head<'_>) -> Vec<Group> {
    let labelled: Vec<usize> = (0..matched.scene.len()).filter(|&row| !matched.mos[row].is_nan()).collect();
    if labelled.is_empty() {
        return Vec::new();
    }
    let only = |is_wanted: &dyn Fn(usize) -> bool| labelled.iter().copied().filter(|&row| is_wanted(row)).collect();
    let seen: Vec<_> = head.specs().filter_map(|spec| spec.seen_in_training.as_ref()).collect();
    let mut groups = vec![Group { kind: "all", name: None, rows: labelled.clone() }];
    if !seen.is_empty() {
        let texts: Vec<String> = matched.scenes.iter().map(ToString::to_string).collect();
        let is_seen: Vec<bool> = texts.iter().map(|text| seen.iter().any(|seen| seen.contains(text))).collect();
        let rows = only(&|row| !is_seen[matched.scene[row] as usize]);
        groups.push(Group { kind: super::HELD_OUT, name: None, rows });
    }
    for (number, algorithm) in (0..).zip(&matched.algorithms) {
        let rows = only(&|row| matched.algorithm[row] == number);
        groups.push(Group { kind: "algorithm", name: Some(algorithm.to_string()), rows });
    }
    for (number, name) in (0..).zip(&matched.groups) {
        let rows = only(&|row| matched.group[row] == number);
        groups.push(Group { kind: "scene_group", name: Some(name.to_string()), rows });
    }
    groups.retain(|group| !group.rows.is_empty());
    groups
}

fn rows_of(of: &stats::PairedMeasure, (group, scenes): (&Group, u64), head: &Head<'_>) -> Vec<AgreementRow> {
    let spread = |place: usize| super::correlations::spread(of.values[place]);
    let row = |difference: &stats::Difference| {
        let (value_a, value_a_low, value_a_high) = spread(difference.first);
        let (value_b, value_b_low, value_b_high) = spread(difference.second);
        let (value, low, high) = super::correlations::spread(difference.estimate);
        AgreementRow {
            dataset: head.dataset.to_string(),
            group_kind: group.kind,
            group_name: group.name.clone(),
            measure: of.measure.as_str(),
            n: group.rows.len() as u64,
            scenes,
            run_a: head.run(difference.first),
            value_a,
            value_a_low,
            value_a_high,
            run_b: head.run(difference.second),
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
                .and_then(|of| of.interval.ok())
                .map(|interval| interval.method.as_str()),
            interval_missing: difference.missing().map(stats::NoInterval::as_str),
            level: head.options.level,
        }
    };
    of.differences.iter().map(row).collect()
}
