//! The comparison of metrics as text for a terminal.

use std::collections::HashSet;
use std::fmt::Write;

use super::held_out::HELD_OUT;
use super::metric_comparison::MetricTables;
use crate::tables::metric_differences::MetricDifferenceRow;
use crate::tables::metric_disagreements::MetricDisagreementRow;
use crate::tables::metric_matrix::MetricMatrixRow;
use crate::tables::metric_ranks::MetricRankRow;
use crate::tables::metrics::MetricRow;
use crate::text_table::{Alignment, format_interval, format_number, format_p_value, format_rows};

use Alignment::{Left, Right};

/// The number of pictures that the text lists for each data set.
const PICTURES_MAX: usize = 10;

/// How texts mark the best values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emphasis {
    /// `*` after the value.
    #[default]
    Asterisk,
    /// Bold, by the escape sequences of terminals. The caller checks that the output is a terminal and NO_COLOR is not set.
    Bold,
}

/// Returns all that is known of the metrics: agreement, matrix, ranks and disagreements.
pub(super) fn metrics(tables: &MetricTables, emphasis: Emphasis) -> String {
    let parts = [agreement(&tables.metrics, emphasis), matrix(tables), ranks(tables), disagreements(tables)];
    let parts = parts.iter().filter(|part| !part.is_empty()).map(|part| part.trim_end().to_owned() + "\n");
    parts.collect::<Vec<String>>().join("\n")
}

fn agreement(rows: &[MetricRow], emphasis: Emphasis) -> String {
    let mut text = String::new();
    for rows in rows.chunk_by(|a, b| (&a.dataset, &a.protocol) == (&b.dataset, &b.protocol)) {
        let by = if rows[0].protocol == "pooled" { String::new() } else { format!(" by {}", rows[0].protocol) };
        for group in rows.chunk_by(same_group).filter(|group| is_whole_dataset(&group[0])) {
            let part = if group[0].group_kind == HELD_OUT { ", scenes held out of training" } else { "" };
            let table = emphasise(&agreement_table(group), emphasis);
            let _ = writeln!(text, "Metrics and labels: {}{by}{part}\n{table}", group[0].dataset);
        }
        for kind in ["algorithm", "scene_group"] {
            let groups: Vec<&[MetricRow]> =
                rows.chunk_by(same_group).filter(|group| group[0].group_kind == kind).collect();
            if !groups.is_empty() {
                let table = emphasise(&groups_table(&groups), emphasis);
                let of = kind.replace('_', " ");
                let _ = writeln!(text, "SRCC of each {of}: {}{by}\n{table}", rows[0].dataset);
            }
        }
    }
    if !text.is_empty() {
        let best = if emphasis == Emphasis::Bold { "Bold" } else { "*" };
        let _ = writeln!(
            text,
            "{best}: the best. less best: SRCC less that of the best metric, on the pictures that both have scored, paired over\n\
             scenes; p: corrected for all pairs of metrics (Holm). group: metrics that share a letter do not differ significantly\n\
             by SRCC. Scores of which low values are good enter with the opposite sign. PLCC 5, RMSE 5: after a logistic fit of 5\n\
             parameters."
        );
    }
    text
}

fn same_group(a: &MetricRow, b: &MetricRow) -> bool {
    (&a.protocol, &a.group_kind, &a.group_name) == (&b.protocol, &b.group_kind, &b.group_name)
}

/// Returns whether a group has a table of its own. Other groups are columns.
fn is_whole_dataset(row: &MetricRow) -> bool {
    matches!(row.group_kind.as_str(), "all" | HELD_OUT)
}

fn agreement_table(rows: &[MetricRow]) -> String {
    let heads = ["metric", "better", "n", "scenes", "SRCC", "95% interval", "group", "less best", "95% interval", "p"];
    let heads = heads.into_iter().chain(["KRCC", "PLCC", "PLCC 5", "RMSE 5", "pairs"]);
    let mut lines = vec![heads.map(str::to_owned).collect::<Vec<String>>()];
    let best = |value: fn(&MetricRow) -> Option<f64>| rows.iter().filter_map(value).max_by(f64::total_cmp);
    let marked = |row: &MetricRow, value: fn(&MetricRow) -> Option<f64>| mark(value(row), best(value));
    let least = rows.iter().filter_map(|row| row.rmse_logistic5).min_by(f64::total_cmp);
    for row in rows {
        lines.push(vec![
            row.metric.clone(),
            row.direction.clone(),
            row.n.to_string(),
            row.scenes.to_string(),
            marked(row, |row| row.srcc),
            row.srcc_low.zip(row.srcc_high).map_or_else(
                || row.srcc_interval.as_deref().map_or("-".to_owned(), |reason| reason.replace('_', " ")),
                |(low, high)| format_interval(Some(low), Some(high)),
            ),
            row.srcc_group.clone().unwrap_or_default(),
            format_number(row.srcc_difference),
            format_interval(row.srcc_difference_low, row.srcc_difference_high),
            row.srcc_p_corrected.map_or("-".to_owned(), format_p_value),
            marked(row, |row| row.krcc),
            marked(row, |row| row.plcc),
            marked(row, |row| row.plcc_logistic5),
            mark(row.rmse_logistic5, least),
            marked(row, |row| row.pairwise_accuracy),
        ]);
    }
    let mut alignments = [Right; 15];
    (alignments[0], alignments[1], alignments[6]) = (Left, Left, Left);
    format_rows(&lines, &alignments)
}

/// Returns SRCC with metrics as rows, in the order of the first group, and groups as columns.
fn groups_table(groups: &[&[MetricRow]]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in groups.iter().flat_map(|group| group.iter()) {
        if !names.contains(&row.metric.as_str()) {
            names.push(&row.metric);
        }
    }
    let heads = groups.iter().map(|group| group[0].group_name.clone().unwrap_or_default());
    let mut lines = vec![std::iter::once("metric".to_owned()).chain(heads).collect::<Vec<String>>()];
    for name in names {
        let cells = groups.iter().map(|group| {
            let best = group.iter().filter_map(|row| row.srcc).max_by(f64::total_cmp);
            mark(group.iter().find(|row| row.metric == name).and_then(|row| row.srcc), best)
        });
        lines.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    let alignments: Vec<Alignment> = std::iter::once(Left).chain(groups.iter().map(|_| Right)).collect();
    format_rows(&lines, &alignments)
}

/// Returns the number, followed by `*` if it is the best, or else by a space so that digits are aligned.
fn mark(value: Option<f64>, best: Option<f64>) -> String {
    let is_best = value.is_some() && value == best;
    format_number(value) + if is_best { "*" } else { " " }
}

/// Replaces each `*` after a number by the mark that is wanted.
fn emphasise(table: &str, emphasis: Emphasis) -> String {
    if emphasis == Emphasis::Asterisk {
        return table.to_owned();
    }
    let mut parts: Vec<&str> = table.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    let bold = |part: &str| {
        let start = part.rfind([' ', '\n']).map_or(0, |space| space + 1);
        format!("{}\x1b[1m{}\x1b[0m ", &part[..start], &part[start..])
    };
    parts.into_iter().map(bold).collect::<String>() + last
}

pub(super) fn differences(tables: &MetricTables) -> String {
    let mut text = String::new();
    let group = |row: &MetricDifferenceRow| {
        (row.dataset.clone(), row.protocol.clone(), row.group_kind.clone(), row.group_name.clone(), row.measure.clone())
    };
    for rows in tables.differences.chunk_by(|a, b| group(a) == group(b)) {
        let heads = ["metric", "less", "n", "scenes", "value", "value", "difference", "95% interval", "p", "corrected"];
        let mut lines = vec![heads.map(str::to_owned).to_vec()];
        for row in rows {
            lines.push(vec![
                row.metric_a.clone(),
                row.metric_b.clone(),
                row.n.to_string(),
                row.scenes.to_string(),
                format_number(row.value_a),
                format_number(row.value_b),
                format_number(row.difference),
                format_interval(row.difference_low, row.difference_high),
                row.p.map_or("-".to_owned(), format_p_value),
                row.p_corrected.map_or("-".to_owned(), format_p_value),
            ]);
        }
        let mut alignments = [Right; 10];
        (alignments[0], alignments[1]) = (Left, Left);
        let row = &rows[0];
        let name = row.group_name.as_deref().unwrap_or(&row.group_kind);
        let title = format!("{} of {}, {name}, {}", row.measure.to_uppercase(), row.dataset, row.protocol);
        let _ = writeln!(text, "Pairs of metrics: {title}\n{}", format_rows(&lines, &alignments));
    }
    text
}

/// Returns SRCC between metrics. Columns have the numbers of the rows, so that many metrics fit.
pub(super) fn matrix(tables: &MetricTables) -> String {
    let mut text = String::new();
    for rows in tables.matrix.chunk_by(|a, b| a.dataset == b.dataset) {
        let of_metric: Vec<&[MetricMatrixRow]> = rows.chunk_by(|a, b| a.metric == b.metric).collect();
        let numbers = (1..=of_metric.len()).map(|number| number.to_string());
        let mut lines = vec![["", "metric"].into_iter().map(str::to_owned).chain(numbers).collect::<Vec<String>>()];
        for (index, rows) in of_metric.iter().enumerate() {
            let cells = rows.iter().map(|row| row.srcc.map_or("-".to_owned(), |srcc| format!("{srcc:.2}")));
            lines.push([(index + 1).to_string(), rows[0].metric.clone()].into_iter().chain(cells).collect());
        }
        let alignments: Vec<Alignment> = [Right, Left].into_iter().chain(of_metric.iter().map(|_| Right)).collect();
        let title = "Do the metrics rank the pictures alike? SRCC on the pictures that both have scored";
        let _ = writeln!(text, "{title}: {}\n{}", rows[0].dataset, format_rows(&lines, &alignments));
    }
    text
}

/// Returns the ranks of the algorithms with algorithms as rows, in the order of the first metric, and metrics as columns.
pub(super) fn ranks(tables: &MetricTables) -> String {
    let mut text = String::new();
    for rows in tables.ranks.chunk_by(|a, b| a.dataset == b.dataset) {
        let boards: Vec<&[MetricRankRow]> = rows.chunk_by(|a, b| a.metric == b.metric).collect();
        let mut algorithms: Vec<&str> = Vec::new();
        for row in rows.iter().filter(|row| row.rank.is_some()) {
            if !algorithms.contains(&row.algorithm.as_str()) {
                algorithms.push(&row.algorithm);
            }
        }
        let has_labels = boards[0].iter().any(|row| row.mos_rank.is_some());
        let mut heads = vec!["algorithm".to_owned()];
        heads.extend(has_labels.then(|| "labels".to_owned()));
        heads.extend(boards.iter().map(|board| board[0].metric.clone()));
        let mut lines = vec![heads];
        let rank = |rank: Option<u32>| rank.map_or("-".to_owned(), |rank| rank.to_string());
        for algorithm in algorithms {
            let row = |board: &[MetricRankRow]| board.iter().find(|row| row.algorithm == algorithm).cloned();
            let mut cells = vec![algorithm.to_owned()];
            cells.extend(has_labels.then(|| rank(row(boards[0]).and_then(|row| row.mos_rank))));
            cells.extend(boards.iter().map(|board| rank(row(board).and_then(|row| row.rank))));
            lines.push(cells);
        }
        let alignments: Vec<Alignment> = std::iter::once(Left).chain(lines[0][1..].iter().map(|_| Right)).collect();
        let title = format!("Ranks of the algorithms by each metric: {}", rows[0].dataset);
        let _ = writeln!(text, "{title}\n{}", format_rows(&lines, &alignments));
    }
    text
}

/// Returns the pictures with the largest gaps over all pairs of metrics, each once.
pub(super) fn disagreements(tables: &MetricTables) -> String {
    let mut text = String::new();
    for rows in tables.disagreements.chunk_by(|a, b| a.dataset == b.dataset) {
        let mut rows: Vec<&MetricDisagreementRow> = rows.iter().collect();
        rows.sort_by(|a, b| b.gap.total_cmp(&a.gap));
        let mut known = HashSet::new();
        rows.retain(|row| known.insert((&row.algorithm, &row.image)));
        rows.truncate(PICTURES_MAX);
        let heads = ["picture", "algorithm", "of", "gap", "rank", "by", "value", "rank", "by", "value", "mos"];
        let mut lines = vec![heads.map(str::to_owned).to_vec()];
        for row in &rows {
            lines.push(vec![
                row.image.clone(),
                row.algorithm.clone(),
                row.n.to_string(),
                format!("{:.2}", row.gap),
                row.rank.to_string(),
                row.metric.clone(),
                format_number(Some(row.score)),
                row.other_rank.to_string(),
                row.other_metric.clone(),
                format_number(Some(row.other_score)),
                format_number(row.mos),
            ]);
        }
        let alignments = [Left, Left, Right, Right, Right, Left, Right, Right, Left, Right, Right];
        let title = format!("Pictures that metrics rank most differently: {}", rows[0].dataset);
        let _ = writeln!(text, "{title}\n{}", format_rows(&lines, &alignments));
    }
    if !text.is_empty() {
        text += "rank: 1 is best, of the pictures that both have scored. gap: the difference of the ranks, as a share of these pictures.\n";
    }
    text
}
