//! The result of a study as tables: each line's measures over the splits, and its difference to the baseline line of
//! its group.

use serde::{Deserialize, Serialize};

use super::definition::{Baseline, StudyDefinition};
use super::study_rows;
use super::table_lines::Line;
use crate::names::StudyName;
use crate::store::{Store, StoreError};
use crate::tables::studies::StudyRow;
use crate::tables::study_splits::StudySplitRow;
use crate::train::Measures;
use dqa_stats::{SplitSummary, split_summary};

/// A study with its results.
#[derive(Clone, Debug)]
pub struct StudyOutcome {
    /// The study's name in the store.
    pub name: StudyName,
    /// The study's definition.
    pub definition: StudyDefinition,
    /// Names of the data sets, in the order of the lines' indices.
    pub datasets: Vec<String>,
    /// For each data set, the number of test scenes divided by the number of training scenes.
    pub test_to_train: Vec<f64>,
    /// The program and machine that ran the study, by setting.
    pub provenance: Vec<(String, String)>,
    /// The results, in the order of the lines.
    pub lines: Vec<LineOutcome>,
}

/// A line with its results.
#[derive(Clone, Debug)]
pub struct LineOutcome {
    /// The line.
    pub line: Line,
    /// Results by split, in the order of split numbers from 1. Those that are not made yet have no pictures.
    pub splits: Vec<SplitOutcome>,
}

/// A line's result on one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitOutcome {
    /// The trial's name.
    pub trial: Option<String>,
    /// The evaluation's name, if the test is not the trial's own.
    pub evaluation: Option<String>,
    /// The epoch that was kept.
    pub epoch: Option<u32>,
    /// Agreement of scores with labels.
    pub measures: Measures,
    /// Number of windows of all pictures.
    pub windows: u64,
    /// Time on the device for all windows in seconds.
    pub seconds: Option<f64>,
}

type Measure = fn(&Measures) -> Option<f64>;

impl LineOutcome {
    /// Aggregates a measure over the splits where it is defined.
    fn split_summary(&self, measure: Measure, test_to_train: f64) -> Option<SplitSummary> {
        let values: Vec<f64> = self.splits.iter().filter_map(|split| measure(&split.measures)).collect();
        split_summary(&values, test_to_train)
    }

    /// Aggregates SRCC minus that of `other` over the splits where both are defined.
    fn srcc_gain_over(&self, other: &LineOutcome, test_to_train: f64) -> Option<SplitSummary> {
        let pairs = self.splits.iter().zip(&other.splits);
        let more = pairs.filter_map(|(own, other)| Some(own.measures.srcc? - other.measures.srcc?));
        split_summary(&more.collect::<Vec<_>>(), test_to_train)
    }

    /// Returns the number of splits whose results are made.
    pub(super) fn splits_made(&self) -> usize {
        self.splits.iter().filter(|split| split.measures.n > 0).count()
    }

    fn pictures(&self) -> u64 {
        self.splits.iter().map(|split| split.measures.n as u64).sum()
    }
}

impl StudyOutcome {
    /// Adds, for studies that exclude algorithms, lines with the mean over the excluded algorithms or families, because
    /// the test has only few pictures of a single algorithm.
    #[must_use]
    pub fn with_means(mut self) -> StudyOutcome {
        if self.definition.leave_out.is_none() {
            return self;
        }
        let mut means: Vec<LineOutcome> = Vec::new();
        for outcome in &self.lines {
            let is_equivalent = |other: &&LineOutcome| {
                let (a, b) = (&outcome.line, &other.line);
                a.tested_on == b.tested_on && a.variant == b.variant && a.model == b.model
            };
            let equivalents: Vec<&LineOutcome> = self.lines.iter().filter(is_equivalent).collect();
            if std::ptr::eq(equivalents[0], outcome) {
                means.push(mean_outcome(&equivalents, &self.datasets[outcome.line.tested_on]));
            }
        }
        self.lines.extend(means);
        self.lines.sort_by_key(|outcome| outcome.line.tested_on);
        self
    }

    /// Returns the numbers of results that are made, and of all.
    pub fn made(&self) -> (usize, usize) {
        let lines = self.lines.iter();
        (lines.clone().map(LineOutcome::splits_made).sum(), lines.map(|outcome| outcome.splits.len()).sum())
    }

    /// Returns the rows of the table `studies`.
    pub fn rows(&self) -> Vec<StudyRow> {
        let groups = self.lines.chunk_by(|a, b| a.line.group == b.line.group);
        let other = |index: usize| match self.definition.against {
            Baseline::First => 0,
            Baseline::Previous => index.saturating_sub(1),
        };
        let row =
            |group: &[LineOutcome], index: usize| self.row(&group[index], (index > 0).then(|| &group[other(index)]));
        let rows = groups.flat_map(|group| (0..group.len()).map(move |index| row(group, index)));
        rows.zip(1..).map(|(row, line)| StudyRow { line, ..row }).collect()
    }

    fn row(&self, outcome: &LineOutcome, other: Option<&LineOutcome>) -> StudyRow {
        let line = &outcome.line;
        let ratio = self.test_to_train[line.tested_on];
        let measures: [Measure; 4] = [|m| m.srcc, |m| m.plcc, |m| m.krcc, |m| m.rmse];
        let [srcc, plcc, krcc, rmse] = measures.map(|measure| outcome.split_summary(measure, ratio));
        let [srcc, plcc, krcc] = [srcc, plcc, krcc].map(|summary| MeasureColumns::clamped(summary, (-1.0, 1.0)));
        let rmse = MeasureColumns::clamped(rmse, (0.0, 1.0));
        let more = other.and_then(|other| outcome.srcc_gain_over(other, ratio));
        let p = more.and_then(|more| more.p);
        let more = MeasureColumns::clamped(more, (-2.0, 2.0));
        let (pictures, splits) = (outcome.pictures(), outcome.splits_made());
        let windows: u64 = outcome.splits.iter().map(|split| split.windows).sum();
        let made = outcome.splits.iter().filter(|split| split.measures.n > 0);
        let seconds: Option<f64> = made.map(|split| split.seconds).sum();
        StudyRow {
            study: self.name.to_string(),
            line: 0,
            group: line.group.clone(),
            variant: line.variant.clone(),
            model: Some(line.model.clone()),
            trained_on: line.trained_on.map(|index| self.datasets[index].clone()),
            tested_on: self.datasets[line.tested_on].clone(),
            algorithms: line.algorithms.as_ref().map(|names| names.join(",")),
            views: Some(line.views.clone()),
            pool: Some(line.pool.to_string()),
            select: line.setup.as_ref().map(|setup| setup.select.to_string()),
            setup: line.setup.as_ref().map(|setup| serde_json::to_string(setup).expect("a setup has text for keys")),
            splits: Some(u32::try_from(splits).unwrap_or(u32::MAX)),
            pictures: (splits > 0).then(|| pictures as f64 / splits as f64),
            srcc: srcc.mean,
            srcc_std: srcc.std,
            srcc_low: srcc.low,
            srcc_high: srcc.high,
            plcc: plcc.mean,
            plcc_std: plcc.std,
            plcc_low: plcc.low,
            plcc_high: plcc.high,
            krcc: krcc.mean,
            krcc_std: krcc.std,
            krcc_low: krcc.low,
            krcc_high: krcc.high,
            rmse: rmse.mean,
            rmse_std: rmse.std,
            rmse_low: rmse.low,
            rmse_high: rmse.high,
            srcc_more: more.mean,
            srcc_more_low: more.low,
            srcc_more_high: more.high,
            srcc_more_p: p,
            windows: (pictures > 0).then(|| windows as f64 / pictures as f64),
            seconds: seconds.filter(|_| pictures > 0).map(|seconds| seconds / pictures as f64),
            paper: line.paper,
        }
    }

    /// Returns the rows of the table `study_splits`.
    pub fn split_rows(&self) -> Vec<StudySplitRow> {
        let line_rows = |(outcome, line): (&LineOutcome, u32)| {
            let rows = outcome.splits.iter().zip(1..).map(move |(split, number)| StudySplitRow {
                study: self.name.to_string(),
                line,
                split: number,
                trial: split.trial.clone(),
                evaluation: split.evaluation.clone(),
                epoch: split.epoch,
                n: split.measures.n as u64,
                srcc: split.measures.srcc,
                plcc: split.measures.plcc,
                krcc: split.measures.krcc,
                rmse: split.measures.rmse,
                windows: split.windows,
                seconds: split.seconds,
            });
            rows.collect::<Vec<_>>()
        };
        self.lines.iter().zip(1..).flat_map(line_rows).collect()
    }

    /// Writes both tables, replacing those of an earlier study of this name.
    ///
    /// # Errors
    /// The store fails.
    pub async fn write(&self, store: &Store) -> Result<(), StoreError> {
        let definition = toml::to_string(&self.definition).expect("a definition has text for keys");
        study_rows::write(store, (&self.name, definition), &self.provenance, (&self.rows(), &self.split_rows())).await
    }
}

/// Returns the mean over lines that differ only in the excluded algorithms or families, split by split.
fn mean_outcome(equivalents: &[&LineOutcome], dataset: &str) -> LineOutcome {
    let mean_on = |index: usize| {
        let splits: Vec<&SplitOutcome> = equivalents.iter().map(|outcome| &outcome.splits[index]).collect();
        let mean = |measure: Measure| {
            let values: Vec<f64> = splits.iter().filter_map(|split| measure(&split.measures)).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let n = splits.iter().map(|split| split.measures.n).sum();
        let (srcc, plcc, krcc, rmse) = (mean(|m| m.srcc), mean(|m| m.plcc), mean(|m| m.krcc), mean(|m| m.rmse));
        SplitOutcome {
            measures: Measures { n, srcc, plcc, krcc, rmse },
            windows: splits.iter().map(|split| split.windows).sum(),
            seconds: splits.iter().map(|split| split.seconds).sum(),
            ..SplitOutcome::default()
        }
    };
    let mut line = equivalents[0].line.clone();
    line.group = format!("{dataset}: mean");
    line.algorithms = Some(vec![format!("mean of {}", equivalents.len())]);
    if let Some(setup) = line.setup.as_mut() {
        setup.without.clear();
    }
    LineOutcome { line, splits: (0..equivalents[0].splits.len()).map(mean_on).collect() }
}

/// The columns of a measure.
struct MeasureColumns {
    mean: Option<f64>,
    std: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
}

impl MeasureColumns {
    fn clamped(summary: Option<SplitSummary>, ends: (f64, f64)) -> MeasureColumns {
        let (low, high) = summary.and_then(|summary| summary.interval_within(ends)).unzip();
        MeasureColumns {
            mean: summary.map(|summary| summary.mean),
            std: summary.and_then(|summary| summary.deviation),
            low,
            high,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{DatasetFacts, LeaveOut};
    use super::*;

    /// A study of two data sets, one line not trained, with made-up results.
    pub(in crate::study) fn outcome(across: bool, srcc: impl Fn(usize, usize) -> Option<f64>) -> StudyOutcome {
        let text = "title = \"What?\"\nabout = \"Made up.\"\nmodels = [\"m\"]\nsplits = 3\npaper = \"SRCC on d\"\n[base]\nepochs = 2\n\
                    [[variant]]\nname = \"plain\"\ntrain = false\npaper = 0.25\n[[variant]]\nname = \"learned\"\nset.tune = \"text\"\n";
        let mut definition = StudyDefinition::parse(text, "x").unwrap();
        definition.across = across;
        let facts = ["a", "b"].map(|name| DatasetFacts { name: name.parse().unwrap(), algorithms: Vec::new() });
        let lines = definition.lines(&facts).unwrap();
        let split = |index: usize, split: usize, line: &Line| SplitOutcome {
            trial: line.trained_on.map(|_| format!("t{split}")),
            epoch: line.trained_on.map(|_| 2),
            measures: Measures { n: 10, srcc: srcc(index, split), plcc: Some(0.5), krcc: None, rmse: Some(0.1) },
            windows: 40,
            seconds: Some(0.5),
            ..SplitOutcome::default()
        };
        let of_line = |(index, line): (usize, Line)| LineOutcome {
            splits: (0..3).map(|number| split(index, number, &line)).collect(),
            line,
        };
        StudyOutcome {
            name: "made-up".parse().unwrap(),
            datasets: vec!["a".to_owned(), "b".to_owned()],
            test_to_train: vec![0.25; 2],
            provenance: Vec::new(),
            lines: lines.into_iter().enumerate().map(of_line).collect(),
            definition,
        }
    }

    #[test]
    fn rows_are_means_over_splits_and_differences_are_paired() {
        let outcome = outcome(false, |line, split| Some(0.5 + 0.1 * split as f64 + if line == 1 { 0.2 } else { 0.0 }));
        let rows = outcome.rows();
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!((rows[0].srcc.unwrap() - 0.6).abs() < 1e-12 && (rows[0].srcc_std.unwrap() - 0.1).abs() < 1e-12);
        assert_eq!((rows[0].srcc_more, rows[2].srcc_more), (None, None), "the first of each group");
        // The difference is the same on every split, whatever the level of the split.
        assert!((rows[1].srcc_more.unwrap() - 0.2).abs() < 1e-12);
        assert!(rows[1].srcc_more_p.unwrap() < 1e-6 && rows[3].srcc_more == Some(0.0));
        assert_eq!((rows[1].windows, rows[1].seconds, rows[1].pictures), (Some(4.0), Some(0.05), Some(10.0)));
        assert!(rows[1].setup.as_ref().unwrap().contains("\"epochs\":2") && rows[0].setup.is_none());
        assert_eq!(rows[0].krcc, None);
        assert_eq!(outcome.split_rows().len(), 12);
    }

    #[test]
    fn a_line_may_be_compared_with_the_one_before() {
        let mut outcome = outcome(false, |line, _| Some([0.1, 0.4, 0.6, 0.9][line]));
        outcome.lines.iter_mut().for_each(|outcome| outcome.line.group = "a".to_owned());
        let more = |outcome: &StudyOutcome| outcome.rows().iter().map(|row| row.srcc_more).collect::<Vec<_>>();
        assert_eq!(more(&outcome)[0], None);
        assert!((more(&outcome)[3].unwrap() - 0.8).abs() < 1e-12);
        outcome.definition.against = Baseline::Previous;
        assert_eq!(more(&outcome)[0], None);
        assert!((more(&outcome)[3].unwrap() - 0.3).abs() < 1e-12);
    }

    #[test]
    fn what_was_left_out_has_a_mean_for_each_variant() {
        let mut outcome = outcome(false, |line, split| Some(0.1 * line as f64 + 0.01 * split as f64));
        outcome.definition.leave_out = Some(LeaveOut::Families(std::collections::BTreeMap::new()));
        // Treats the lines of both data sets as lines of one data set, with one algorithm each.
        outcome.lines.iter_mut().for_each(|outcome| outcome.line.tested_on = 0);
        let rows = outcome.with_means().rows();
        assert_eq!(rows.len(), 6);
        let [plain, learned] = [&rows[4], &rows[5]];
        assert_eq!((plain.group.as_str(), plain.algorithms.as_deref()), ("a: mean", Some("mean of 2")));
        assert!((plain.srcc.unwrap() - 0.11).abs() < 1e-12, "of lines 0 and 2, on the middle split");
        assert!((learned.srcc_more.unwrap() - 0.1).abs() < 1e-12 && plain.srcc_more.is_none());
    }

    #[test]
    fn a_split_without_the_measure_is_in_no_mean() {
        let outcome = outcome(false, |line, split| (line != 1 || split == 2).then_some(0.5));
        let rows = outcome.rows();
        assert_eq!((rows[1].srcc, rows[1].srcc_std, rows[1].srcc_more_p), (Some(0.5), None, None));
    }
}
