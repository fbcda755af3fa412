//! The report tables as pages for people, JSON and CSV. A page shows what a reader needs to judge a number: the
//! number of pictures, the interval, the model.

use serde::Serialize;

use super::metrics_text;
use super::{EXBEDDE, Report, ReportIntervals, VQEG, held_out, metric_choice};
use crate::count_text::counted;
use crate::metric::{Direction, MetricSpec};
use crate::result_page::{Column, ResultPage, ResultTable, TableStyle};
use crate::tables::comparisons;
use crate::tables::correlations::{self, CorrelationRow};
use crate::tables::cross_dataset::{self, CrossDatasetRow};
use crate::tables::leaderboard::{self, LeaderboardRow};
use crate::tables::{metric_differences, metric_disagreements, metric_matrix, metric_ranks, metrics};
use crate::text_table::{format_interval, format_number, short_fingerprint};
use dqa_stats::{GROUP_PICTURES_MIN, NoInterval};

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

    /// Returns a table as text for a terminal, without the footnotes. It is empty if the table has nothing to show.
    pub fn text(&self, table: ReportTable) -> String {
        let mut page = ResultPage::new(TableStyle::default());
        self.add_table(&mut page, table);
        page.finish()
    }

    /// Returns tables for people to read, followed once by the meaning of their columns and by the footnotes.
    pub fn render(&self, tables: &[ReportTable], style: TableStyle) -> String {
        let mut page = ResultPage::new(style);
        tables.iter().for_each(|table| self.add_table(&mut page, *table));
        self.footnotes().iter().for_each(|note| page.note(note));
        page.finish()
    }

    fn add_table(&self, page: &mut ResultPage, table: ReportTable) {
        match table {
            ReportTable::Correlations => self.add_correlations(page),
            ReportTable::Leaderboard => self.add_leaderboard(page),
            ReportTable::Comparisons => self.add_comparisons(page),
            ReportTable::CrossDataset => self.add_cross_dataset(page),
            ReportTable::Metrics => metrics_text::add_all(page, &self.metrics),
            ReportTable::MetricDifferences => metrics_text::add_differences(page, &self.metrics),
            ReportTable::MetricMatrix => metrics_text::add_matrix(page, &self.metrics),
            ReportTable::MetricRanks => metrics_text::add_ranks(page, &self.metrics),
            ReportTable::MetricDisagreements => metrics_text::add_disagreements(page, &self.metrics),
        }
    }

    fn add_correlations(&self, page: &mut ResultPage) {
        if self.correlations.is_empty() {
            page.line("", "Agreement with labels: none, as no picture with a score has a label");
            return;
        }
        for rows in self.correlations.chunk_by(|a, b| a.metric == b.metric) {
            let title = format!("Agreement with labels{}", self.by_metric(&rows[0].metric));
            page.table(&correlations_table(title, rows));
            if self.names_metrics() {
                add_left_out(page, rows);
            }
        }
        self.add_protocols(page);
        if self.correlations.iter().any(|row| row.srcc_interval.as_deref() == Some(NoInterval::Perfect.as_str())) {
            page.note(
                "perfect: all scenes, or all but one of them, agree perfectly with the labels, which leaves no interval.",
            );
        }
        if self.correlations.iter().any(|row| row.direction.as_deref() == Some(Direction::Lower.as_str())) {
            page.note(
                "Scores of which low values are good enter with the opposite sign: whatever the metric, a positive number is \
                 agreement.",
            );
        }
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

    fn add_cross_dataset(&self, page: &mut ResultPage) {
        for rows in self.cross_dataset.chunk_by(|a, b| a.metric == b.metric) {
            let title = "Do data sets rank the algorithms alike? Correlations of the algorithms' means";
            page.table(&cross_dataset_table(format!("{title}{}", self.by_metric(&rows[0].metric)), rows));
        }
    }

    /// Returns the footnotes: the model, settings and failures that are needed to compare a number with another.
    pub fn footnotes(&self) -> Vec<String> {
        let (record, options) = (&self.record, self.options);
        let spec = &record.spec;
        let mut notes = vec![match options.intervals {
            ReportIntervals::Jackknife => {
                "95% intervals: Student's t over scenes; of correlations by jackknife, of pairs by Wilson's method."
                    .to_owned()
            }
            ReportIntervals::Bootstrap => format!(
                "95% intervals of correlations: bootstrap over scenes, {} draws, seed {}{}.",
                options.replicates,
                options.seed,
                self.monte_carlo_error()
            ),
        }];
        let named = self.names_metrics();
        if named {
            notes.push(format!("run {}", record.name));
            notes.extend(record.metrics().iter().map(|metric| {
                let fingerprint = short_fingerprint(&metric.fingerprint);
                format!("metric {}, fingerprint {fingerprint}", metric_choice::title(metric))
            }));
        } else {
            notes.push(format!("run {}, fingerprint {}", record.name, short_fingerprint(&record.fingerprint)));
        }
        if record.metrics().iter().any(MetricSpec::is_clip_dqa) {
            let prompts = spec.prompts.as_deref().unwrap_or("none (handcrafted)");
            notes.push(format!("model {}, prompts {prompts}, views {}, {}", spec.model, spec.views, spec.dtype));
        }
        for metric in record.metrics() {
            let is_own = |row: &&LeaderboardRow| row.metric.as_deref() == Some(metric.name.as_str());
            let rows = self.leaderboard.iter().filter(is_own).filter(|row| row.dataset.is_some());
            let failed: u64 = rows.map(|row| row.failed).sum();
            if failed > 0 {
                let score = if named { metric.name.as_str() } else { "score" };
                let (have, are) = if failed == 1 { ("has", "is") } else { ("have", "are") };
                let pictures = counted(failed, "picture");
                notes.push(format!("failed: {pictures} {have} no {score} and {are} in no mean"));
            }
        }
        // It is the model's.
        let remark = spec.remark.iter().filter(|_| record.metrics().iter().any(MetricSpec::is_clip_dqa));
        notes.extend(remark.map(|remark| format!("NOTE: {remark}")));
        notes.extend(held_out::training_notes(spec).lines().map(str::to_owned));
        notes
    }
}

impl Report {
    /// Explains the protocols that the table contains.
    fn add_protocols(&self, page: &mut ResultPage) {
        let has = |protocol: &str| self.correlations.iter().any(|row| row.protocol == protocol);
        if has(VQEG) {
            let fit = "the fit of published code (one descent from the usual start), to compare with published figures";
            page.meaning("by vqeg", fit);
        }
        if has(EXBEDDE) {
            let mean = "mean over scenes, each of which is fitted alone; its n are the pictures of these scenes";
            page.meaning("by exbedde", mean);
        }
        if !self.names_metrics() {
            add_left_out(page, &self.correlations);
        }
        if has("mean_of_datasets") {
            let mean = "over these data sets, which count as fixed; an interval says nothing of other data sets";
            page.meaning("means", mean);
        }
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

fn correlations_table(title: String, rows: &[CorrelationRow]) -> ResultTable {
    let column = |cell: &dyn Fn(&CorrelationRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
    let fitted = |value: Option<f64>, status: &Option<String>| {
        let open = status.as_deref() == Some("not_converged");
        if open { format!("~{}", format_number(value)) } else { format_number(value) }
    };
    let fit = "after a logistic fit of 4, 5 parameters to the row's own pictures (40, 50 or more); ~ where it did not converge";
    ResultTable::new(
        title,
        vec![
            Column::left("pictures of", column(&group_label)),
            Column::right("n", column(&|row| row.n.to_string())).meaning("pictures with score and label"),
            Column::right("scenes", column(&|row| row.scenes.to_string())).left_out(3),
            Column::right("SRCC", column(&|row| format_number(row.srcc))),
            Column::right("95% interval", column(&agreement_interval)),
            Column::right("KRCC", column(&|row| format_number(row.krcc))).left_out(2),
            Column::right("PLCC", column(&|row| format_number(row.plcc))),
            Column::right("PLCC 4", column(&|row| fitted(row.plcc_logistic4, &row.logistic4_status)))
                .left_out(4)
                .meaning(fit),
            Column::right("PLCC 5", column(&|row| fitted(row.plcc_logistic5, &row.logistic5_status)))
                .left_out(1)
                .meaning(fit),
            Column::right("pairs", column(&|row| format_number(row.pairwise_accuracy)))
                .meaning("pairwise accuracy within a scene (0.5 = chance)"),
        ],
    )
}

fn cross_dataset_table(title: String, rows: &[CrossDatasetRow]) -> ResultTable {
    let column = |cell: &dyn Fn(&CrossDatasetRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
    ResultTable::new(
        title,
        vec![
            Column::left("by", column(&|row| row.measure.clone())),
            Column::left("data set", column(&|row| row.dataset_a.clone())),
            Column::left("and", column(&|row| row.dataset_b.clone())),
            Column::right("algorithms", column(&|row| row.algorithms.to_string())),
            Column::right("SRCC", column(&|row| format_number(row.srcc))),
            Column::right("KRCC", column(&|row| format_number(row.krcc))).left_out(1),
            Column::right("PLCC", column(&|row| format_number(row.plcc))),
        ],
    )
}

/// Notes how many scenes of one metric exBeDDE's protocol leaves out, if any.
fn add_left_out(page: &mut ResultPage, rows: &[CorrelationRow]) {
    let total = |count: fn(&CorrelationRow) -> Option<u64>| -> u64 {
        rows.iter().filter(|row| row.group_kind == "all").filter_map(count).sum()
    };
    let (small, constant) = (total(|row| row.scenes_too_small), total(|row| row.scenes_constant));
    if small + constant > 0 {
        page.note(&format!(
            "left out by exbedde: {small} scenes with fewer than {GROUP_PICTURES_MIN} pictures, {constant} with equal \
             scores or labels ({} pictures in all).",
            total(|row| row.left_out)
        ));
    }
}

fn group_label(row: &CorrelationRow) -> String {
    let overall_label = match (&row.dataset, row.protocol.as_str()) {
        (Some(dataset), "pooled") => dataset.clone(),
        (Some(dataset), protocol) => format!("{dataset} by {protocol}"),
        (None, "mean_by_pictures") => "mean by pictures".to_owned(),
        (None, _) => "mean of data sets".to_owned(),
    };
    match (held_out::row_label(row).or(row.group_name.as_deref()), row.protocol.as_str()) {
        (None, _) => overall_label,
        (Some(name), "pooled") => format!("  {name}"),
        (Some(name), protocol) => format!("  {name} by {protocol}"),
    }
}

/// Returns the interval of SRCC, or the reason why it is missing.
fn agreement_interval(row: &CorrelationRow) -> String {
    match (row.srcc_low.zip(row.srcc_high), &row.srcc_interval) {
        (None, Some(reason)) => reason.replace('_', " "),
        _ => format_interval(row.srcc_low, row.srcc_high),
    }
}
