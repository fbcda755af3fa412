//! A study of metrics: which of them agrees with the labels, beside published figures. Nothing is trained. Its lines are
//! rows of a run's table `metrics`, so it knows neither pictures nor scores.

use std::str::FromStr;

use dqa_metrics::Metric;
use serde::{Deserialize, Serialize};

use super::study_error::StudyError;
use crate::metric::{CLIP_DQA, MetricSelection};
use crate::names::{StudyName, similar_names, suggestion};
use crate::report::{HELD_OUT, MetricTables};
use crate::tables::metrics::MetricRow;
use crate::tables::studies::StudyRow;

/// A study of metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricStudy {
    /// One line that states the question.
    pub title: String,
    /// What a reader needs to know about the table.
    #[serde(default)]
    pub about: String,
    /// The data sets: names of definitions, or paths of definitions, manifests or folders.
    #[serde(default)]
    pub datasets: Vec<String>,
    /// The protocol of the published figures: `pooled` or `exbedde`. They stand beside `pooled` if a data set does not
    /// have the protocol.
    #[serde(default = "pooled")]
    pub protocol: String,
    /// What the published figures measure, and their source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// The metrics.
    pub metric: Vec<StudyMetric>,
}

/// A metric of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyMetric {
    /// The metric's name. A metric that dqa does not compute needs a published figure.
    pub name: String,
    /// The published SRCC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<f64>,
}

const POOLED: &str = "pooled";

fn pooled() -> String {
    POOLED.to_owned()
}

impl MetricStudy {
    pub(super) fn check(&self) -> Result<(), StudyError> {
        let invalid = |text: String| Err(StudyError::Invalid(text));
        if self.metric.iter().filter(|metric| metric.is_computed()).count() < 2 {
            return invalid("a study of metrics needs at least two metrics that dqa computes".to_owned());
        }
        for (index, metric) in self.metric.iter().enumerate() {
            let name = &metric.name;
            if self.metric[..index].iter().any(|other| other.name == *name) {
                return invalid(format!("the study has metric `{name}` twice"));
            }
            if !metric.is_computed() && metric.paper.is_none() {
                let known = Metric::ALL.into_iter().map(Metric::name).chain([CLIP_DQA]);
                let similar = suggestion(&similar_names(name, known));
                return invalid(format!(
                    "dqa does not compute metric `{name}`{similar}; such a metric needs a published figure (`paper`)"
                ));
            }
        }
        Ok(())
    }

    /// Returns the metrics to score, of which those are left out that a data set lacks references for. CLIP-DQA is one of
    /// them only if there is a model.
    pub fn selection(&self, has_model: bool) -> MetricSelection {
        let mut classic: Vec<Metric> = self.metric.iter().filter_map(StudyMetric::classic).collect();
        classic.sort_unstable();
        MetricSelection { clip_dqa: has_model && self.has_clip_dqa(), classic, leaves_out: true }
    }

    /// Returns whether CLIP-DQA is one of the metrics.
    pub fn has_clip_dqa(&self) -> bool {
        self.metric.iter().any(|metric| metric.name == CLIP_DQA)
    }

    /// Returns the rows of the table `studies`: for each data set and protocol the metrics of the report, best SRCC first,
    /// then those that have a published figure alone.
    pub fn rows(&self, study: &StudyName, tables: &MetricTables) -> Vec<StudyRow> {
        let is_whole = |row: &&MetricRow| matches!(row.group_kind.as_str(), "all" | HELD_OUT);
        let whole: Vec<&MetricRow> = tables.metrics.iter().filter(is_whole).collect();
        let group = |row: &MetricRow| (row.dataset.clone(), row.protocol.clone(), row.group_kind.clone());
        let mut rows = Vec::new();
        for metrics in whole.chunk_by(|a, b| group(a) == group(b)) {
            let first = metrics[0];
            let has_protocol = whole.iter().any(|row| row.dataset == first.dataset && row.protocol == self.protocol);
            let is_published = first.protocol == if has_protocol { self.protocol.as_str() } else { POOLED };
            let published = |name: &str| self.metric.iter().find(|metric| metric.name == name)?.paper;
            rows.extend(metrics.iter().map(|row| StudyRow {
                study: study.to_string(),
                paper: published(&row.metric).filter(|_| is_published),
                ..metric_row(row)
            }));
            let is_absent = |metric: &&StudyMetric| !metrics.iter().any(|row| row.metric == metric.name);
            let absent = self.metric.iter().filter(|metric| is_published && metric.paper.is_some()).filter(is_absent);
            rows.extend(absent.map(|metric| StudyRow {
                study: study.to_string(),
                group: group_text(first),
                variant: metric.name.clone(),
                tested_on: first.dataset.clone(),
                paper: metric.paper,
                ..StudyRow::default()
            }));
        }
        rows.into_iter().zip(1..).map(|(row, line)| StudyRow { line, ..row }).collect()
    }
}

impl StudyMetric {
    fn classic(&self) -> Option<Metric> {
        Metric::from_str(&self.name).ok()
    }

    fn is_computed(&self) -> bool {
        self.name == CLIP_DQA || self.classic().is_some()
    }
}

fn group_text(row: &MetricRow) -> String {
    let part = if row.group_kind == HELD_OUT { ", held out" } else { "" };
    format!("{}, {}{part}", row.dataset, row.protocol)
}

/// Returns a metric's agreement with the labels as a line of a study: `srcc_more` is its difference to the best metric.
fn metric_row(row: &MetricRow) -> StudyRow {
    StudyRow {
        group: group_text(row),
        variant: row.metric.clone(),
        model: Some(row.fingerprint.clone()),
        tested_on: row.dataset.clone(),
        pictures: Some(row.n as f64),
        srcc: row.srcc,
        srcc_low: row.srcc_low,
        srcc_high: row.srcc_high,
        plcc: row.plcc,
        plcc_low: row.plcc_low,
        plcc_high: row.plcc_high,
        krcc: row.krcc,
        krcc_low: row.krcc_low,
        krcc_high: row.krcc_high,
        srcc_more: row.srcc_difference,
        srcc_more_low: row.srcc_difference_low,
        srcc_more_high: row.srcc_difference_high,
        srcc_more_p: row.srcc_p_corrected,
        ..StudyRow::default()
    }
}
