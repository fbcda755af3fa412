//! The report tables as text for a terminal, JSON and CSV. The text shows what a reader needs to judge a number: the
//! number of pictures, the interval, the model.

use std::fmt::Write;

use serde::Serialize;

use super::metrics_text::{self, Emphasis};
use super::{EXBEDDE, Report, ReportIntervals, VQEG, held_out, metric_choice};
use crate::count_text::counted;
use crate::metric::{Direction, MetricSpec};
use crate::tables::comparisons;
use crate::tables::correlations::{self, CorrelationRow};
use crate::tables::cross_dataset::{self, CrossDatasetRow};
use crate::tables::leaderboard::{self, LeaderboardRow};
use crate::tables::{metric_differences, metric_disagreements, metric_matrix, metric_ranks, metrics};
use crate::text_table::Alignment::{Left, Right};
use crate::text_table::{format_interval, format_number, format_rows};
use dqa_stats::GROUP_PICTURES_MIN;

/// One of the tables of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportTable {
    /// Correlations of scores with labels.
    Correlations,
    /// The algorithms by rank.
    Leaderboard,
    /// Every pair of algorithms.
    Comparisons,
    /// Agreement between data sets.
    CrossDataset,
    /// The metrics beside each other. The text also has the other tables about metrics in short.
    Metrics,
    /// Every pair of metrics.
    MetricDifferences,
    /// How alike the metrics rank the pictures.
    MetricMatrix,
    /// How the metrics rank the algorithms.
    MetricRanks,
    /// The pictures that metrics rank most differently.
    MetricDisagreements,
}

impl Report {
    /// Returns the rows of a table as JSON, one object per line.
    pub fn json(&self, table: ReportTable) -> String {
        fn lines<R: Serialize>(rows: &[R]) -> String {
            let line = |row| serde_json::to_string(row).expect("a row has text for keys") + "\n";
            rows.iter().map(line).collect()
        }
        match table {
            ReportTable::Correlations => lines(&self.correlations),
            ReportTable::Leaderboard => lines(&self.leaderboard),
            ReportTable::Comparisons => lines(&self.comparisons),
            ReportTable::CrossDataset => lines(&self.cross_dataset),
            ReportTable::Metrics => lines(&self.metrics.metrics),
            ReportTable::MetricDifferences => lines(&self.metrics.differences),
            ReportTable::MetricMatrix => lines(&self.metrics.matrix),
            ReportTable::MetricRanks => lines(&self.metrics.ranks),
            ReportTable::MetricDisagreements => lines(&self.metrics.disagreements),
        }
    }

    /// Returns the rows of a table as CSV with a header. An undefined value is an empty field.
    pub fn csv(&self, table: ReportTable) -> String {
        let batch = match table {
            ReportTable::Correlations => correlations::to_batch(&self.correlations),
            ReportTable::Leaderboard => leaderboard::to_batch(&self.leaderboard),
            ReportTable::Comparisons => comparisons::to_batch(&self.comparisons),
            ReportTable::CrossDataset => cross_dataset::to_batch(&self.cross_dataset),
            ReportTable::Metrics => metrics::to_batch(&self.metrics.metrics),
            ReportTable::MetricDifferences => metric_differences::to_batch(&self.metrics.differences),
            ReportTable::MetricMatrix => metric_matrix::to_batch(&self.metrics.matrix),
            ReportTable::MetricRanks => metric_ranks::to_batch(&self.metrics.ranks),
            ReportTable::MetricDisagreements => metric_disagreements::to_batch(&self.metrics.disagreements),
        };
        let mut bytes = Vec::new();
        arrow::csv::Writer::new(&mut bytes).write(&batch).expect("memory takes text and numbers");
        String::from_utf8(bytes).expect("what was written is text")
    }

    /// Returns a table as aligned text with `*` after the best values. It is empty if the table has nothing to show.
    pub fn text(&self, table: ReportTable) -> String {
        self.text_with(table, Emphasis::Asterisk)
    }

    /// Returns a table as [`Report::text`] does, with another mark of the best values.
    pub fn text_with(&self, table: ReportTable, emphasis: Emphasis) -> String {
        match table {
            ReportTable::Correlations => self.correlations_text(),
            ReportTable::Leaderboard => self.leaderboard_text(),
            ReportTable::Comparisons => self.comparisons_text(),
            ReportTable::CrossDataset => self.cross_dataset_text(),
            ReportTable::Metrics => metrics_text::metrics(&self.metrics, emphasis),
            ReportTable::MetricDifferences => metrics_text::differences(&self.metrics),
            ReportTable::MetricMatrix => metrics_text::matrix(&self.metrics),
            ReportTable::MetricRanks => metrics_text::ranks(&self.metrics),
            ReportTable::MetricDisagreements => metrics_text::disagreements(&self.metrics),
        }
    }

    fn correlations_text(&self) -> String {
        if self.correlations.is_empty() {
            return "Agreement with labels: none, as no picture with a score has a label\n".to_owned();
        }
        let tables = self.correlations.chunk_by(|a, b| a.metric == b.metric).map(|rows| {
            let title = format!("Agreement with labels{}", self.by_metric(&rows[0].metric));
            let note = if self.names_metrics() { left_out_text(rows) } else { String::new() };
            format!("{title}\n{}{note}", correlations_table(rows))
        });
        let tables: Vec<String> = tables.collect();
        let mut text = format!(
            "{}\nn: pictures with score and label. PLCC 4, PLCC 5: after a logistic fit of 4, 5 \
             parameters to the row's own pictures\n(40, 50 or more); ~ where it did not converge. pairs: of two pictures of \
             one scene, how often the score orders them as\nthe labels do.\n{}",
            tables.join("\n"),
            self.protocols_text()
        );
        if self.correlations.iter().any(|row| row.direction.as_deref() == Some(Direction::Lower.as_str())) {
            text += "Scores of which low values are good enter with the opposite sign: agreement is positive for every metric.\n";
        }
        text
    }

    /// Returns whether texts name the metric of each table.
    pub(super) fn names_metrics(&self) -> bool {
        metric_choice::are_named(&self.record)
    }

    /// Returns the end of a table's title: the metric and its direction, or nothing if the run has CLIP-DQA alone.
    pub(super) fn by_metric(&self, name: &Option<String>) -> String {
        let metrics = self.record.metrics();
        let metric = metrics.iter().find(|metric| Some(metric.name.as_str()) == name.as_deref());
        match metric.filter(|_| self.names_metrics()) {
            Some(metric) => format!(" by {}", metric_choice::title(metric)),
            None => String::new(),
        }
    }

    fn cross_dataset_text(&self) -> String {
        if self.cross_dataset.is_empty() {
            return String::new();
        }
        let tables = self.cross_dataset.chunk_by(|a, b| a.metric == b.metric).map(|rows| {
            let title = "Do data sets rank the algorithms alike? Correlations of the algorithms' means";
            format!("{title}{}\n{}", self.by_metric(&rows[0].metric), cross_dataset_table(rows))
        });
        tables.collect::<Vec<String>>().join("\n")
    }

    /// Returns the footnotes: the model, settings and failures that are needed to compare a number with another.
    pub fn footnotes(&self) -> String {
        let (record, options) = (&self.record, self.options);
        let spec = &record.spec;
        let mut text = match options.intervals {
            ReportIntervals::Jackknife => {
                "95% intervals: Student's t over scenes; of correlations by jackknife, of pairs by Wilson's method.\n"
                    .to_owned()
            }
            ReportIntervals::Bootstrap => format!(
                "95% intervals of correlations: bootstrap over scenes, {} draws, seed {}{}.\n",
                options.replicates,
                options.seed,
                self.monte_carlo_error()
            ),
        };
        let named = self.names_metrics();
        if named {
            let _ = writeln!(text, "run {}", record.name);
            for metric in record.metrics() {
                let _ = writeln!(text, "metric {}, fingerprint {}", metric_choice::title(&metric), metric.fingerprint);
            }
        } else {
            let _ = writeln!(text, "run {}, fingerprint {}", record.name, record.fingerprint);
        }
        if record.metrics().iter().any(MetricSpec::is_clip_dqa) {
            let prompts = spec.prompts.as_deref().unwrap_or("none (handcrafted)");
            let _ = writeln!(text, "model {}, prompts {prompts}, views {}, {}", spec.model, spec.views, spec.dtype);
        }
        for metric in record.metrics() {
            let is_own = |row: &&LeaderboardRow| row.metric.as_deref() == Some(metric.name.as_str());
            let rows = self.leaderboard.iter().filter(is_own).filter(|row| row.dataset.is_some());
            let failed: u64 = rows.map(|row| row.failed).sum();
            if failed > 0 {
                let score = if named { metric.name.as_str() } else { "score" };
                let (have, are) = if failed == 1 { ("has", "is") } else { ("have", "are") };
                let pictures = counted(failed, "picture");
                let _ = writeln!(text, "failed: {pictures} {have} no {score} and {are} in no mean");
            }
        }
        if let Some(remark) = &spec.remark {
            let _ = writeln!(text, "NOTE: {remark}");
        }
        text + &held_out::training_notes(spec)
    }
}

impl Report {
    /// Explains the protocols that the table contains.
    fn protocols_text(&self) -> String {
        let has = |protocol: &str| self.correlations.iter().any(|row| row.protocol == protocol);
        let mut text = String::new();
        if has(VQEG) {
            text += "by vqeg: the fit of published code (one descent from the usual start), to compare with published figures.\n";
        }
        if has(EXBEDDE) {
            text += "by exbedde: mean over scenes, each of which is fitted alone; its n are the pictures of these scenes.\n";
        }
        if !self.names_metrics() {
            text += &left_out_text(&self.correlations);
        }
        if has("mean_of_datasets") {
            text += "means: over these data sets, which count as fixed; an interval says nothing of other data sets.\n";
        }
        text
    }

    /// Returns the largest error of the bounds of SRCC intervals that is due to the finite number of draws.
    fn monte_carlo_error(&self) -> String {
        let errors = self.correlations.iter().filter_map(|row| row.srcc_monte_carlo_error);
        let greatest = errors.fold(0.0, f64::max);
        if greatest > 0.0 {
            format!("; the ends of SRCC have a Monte-Carlo error of up to {greatest:.4}")
        } else {
            String::new()
        }
    }
}

fn correlations_table(rows: &[CorrelationRow]) -> String {
    let heads = ["pictures of", "n", "scenes", "SRCC", "95% interval", "KRCC", "PLCC", "PLCC 4", "PLCC 5", "pairs"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(agreement_line));
    let mut alignments = [Right; 10];
    alignments[0] = Left;
    format_rows(&lines, &alignments)
}

fn cross_dataset_table(rows: &[CrossDatasetRow]) -> String {
    let heads = ["by", "data set", "and", "algorithms", "SRCC", "KRCC", "PLCC"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for row in rows {
        let mut cells = vec![row.measure.clone(), row.dataset_a.clone(), row.dataset_b.clone()];
        cells.push(row.algorithms.to_string());
        cells.extend([row.srcc, row.krcc, row.plcc].map(format_number));
        lines.push(cells);
    }
    format_rows(&lines, &[Left, Left, Left, Right, Right, Right, Right])
}

/// Returns a line that counts the scenes of one metric that exBeDDE's protocol leaves out. It is empty if there are none.
fn left_out_text(rows: &[CorrelationRow]) -> String {
    let total = |count: fn(&CorrelationRow) -> Option<u64>| -> u64 {
        rows.iter().filter(|row| row.group_kind == "all").filter_map(count).sum()
    };
    let (small, constant) = (total(|row| row.scenes_too_small), total(|row| row.scenes_constant));
    if small + constant == 0 {
        return String::new();
    }
    format!(
        "left out by exbedde: {small} scenes with fewer than {GROUP_PICTURES_MIN} pictures, {constant} with equal scores or \
         labels ({} pictures in all).\n",
        total(|row| row.left_out)
    )
}

fn agreement_line(row: &CorrelationRow) -> Vec<String> {
    let overall_label = match (&row.dataset, row.protocol.as_str()) {
        (Some(dataset), "pooled") => dataset.clone(),
        (Some(dataset), protocol) => format!("{dataset} by {protocol}"),
        (None, "mean_by_pictures") => "mean by pictures".to_owned(),
        (None, _) => "mean of data sets".to_owned(),
    };
    let fitted = |value: Option<f64>, status: &Option<String>| {
        let open = status.as_deref() == Some("not_converged");
        if open { format!("~{}", format_number(value)) } else { format_number(value) }
    };
    vec![
        match (held_out::row_label(row).or(row.group_name.as_deref()), row.protocol.as_str()) {
            (None, _) => overall_label,
            (Some(name), "pooled") => format!("  {name}"),
            (Some(name), protocol) => format!("  {name} by {protocol}"),
        },
        row.n.to_string(),
        row.scenes.to_string(),
        format_number(row.srcc),
        agreement_interval(row),
        format_number(row.krcc),
        format_number(row.plcc),
        fitted(row.plcc_logistic4, &row.logistic4_status),
        fitted(row.plcc_logistic5, &row.logistic5_status),
        format_number(row.pairwise_accuracy),
    ]
}

/// Returns the interval of SRCC, or the reason why it is missing.
fn agreement_interval(row: &CorrelationRow) -> String {
    match (row.srcc_low.zip(row.srcc_high), &row.srcc_interval) {
        (None, Some(reason)) => reason.replace('_', " "),
        _ => format_interval(row.srcc_low, row.srcc_high),
    }
}
