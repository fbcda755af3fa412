//! The comparison of metrics as tables for people.

use std::collections::HashSet;

use super::held_out::HELD_OUT;
use super::metric_comparison::MetricTables;
use crate::result_page::{Column, ResultPage, ResultTable};
use crate::tables::metric_differences::MetricDifferenceRow;
use crate::tables::metric_disagreements::MetricDisagreementRow;
use crate::tables::metric_matrix::MetricMatrixRow;
use crate::tables::metric_ranks::MetricRankRow;
use crate::tables::metrics::MetricRow;
use crate::text_table::{format_interval, format_number, format_p_value};

/// The number of pictures that the text lists for each data set.
const PICTURES_MAX: usize = 10;

/// Adds all that is known of the metrics: agreement, matrix, ranks and disagreements.
pub(super) fn add_all(page: &mut ResultPage, tables: &MetricTables) {
    add_agreement(page, &tables.metrics);
    add_matrix(page, tables);
    add_ranks(page, tables);
    add_disagreements(page, tables);
}

fn add_agreement(page: &mut ResultPage, rows: &[MetricRow]) {
    for rows in rows.chunk_by(|a, b| (&a.dataset, &a.protocol) == (&b.dataset, &b.protocol)) {
        let by = if rows[0].protocol == "pooled" { String::new() } else { format!(" by {}", rows[0].protocol) };
        for group in rows.chunk_by(same_group).filter(|group| is_whole_dataset(&group[0])) {
            let part = if group[0].group_kind == HELD_OUT { ", scenes held out of training" } else { "" };
            page.table(&agreement_table(format!("Metrics and labels: {}{by}{part}", group[0].dataset), group));
        }
        for kind in ["algorithm", "scene_group"] {
            let groups: Vec<&[MetricRow]> =
                rows.chunk_by(same_group).filter(|group| group[0].group_kind == kind).collect();
            if !groups.is_empty() {
                let of = kind.replace('_', " ");
                page.table(&groups_table(format!("SRCC of each {of}: {}{by}", rows[0].dataset), &groups));
            }
        }
    }
    if !rows.is_empty() {
        page.meaning(page.best_mark(), "the best");
        page.note("Scores of which low values are good enter with the opposite sign.");
    }
}

fn same_group(a: &MetricRow, b: &MetricRow) -> bool {
    (&a.protocol, &a.group_kind, &a.group_name) == (&b.protocol, &b.group_kind, &b.group_name)
}

/// Returns whether a group has a table of its own. Other groups are columns.
fn is_whole_dataset(row: &MetricRow) -> bool {
    matches!(row.group_kind.as_str(), "all" | HELD_OUT)
}

fn agreement_table(title: String, rows: &[MetricRow]) -> ResultTable {
    let column = |cell: &dyn Fn(&MetricRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
    let best = |value: fn(&MetricRow) -> Option<f64>| {
        let best = rows.iter().filter_map(value).max_by(f64::total_cmp);
        rows.iter().map(|row| mark(value(row), best)).collect::<Vec<String>>()
    };
    let least = rows.iter().filter_map(|row| row.rmse_logistic5).min_by(f64::total_cmp);
    let interval = |row: &MetricRow| match (row.srcc_low.zip(row.srcc_high), &row.srcc_interval) {
        (None, Some(reason)) => reason.replace('_', " "),
        _ => format_interval(row.srcc_low, row.srcc_high),
    };
    let fit = "after a logistic fit of 5 parameters";
    let difference = "SRCC less that of the best metric, on the pictures that both have scored, paired over scenes";
    let difference_interval = |row: &MetricRow| format_interval(row.srcc_difference_low, row.srcc_difference_high);
    ResultTable::new(
        title,
        vec![
            Column::left("metric", column(&|row| row.metric.clone())),
            Column::left("better", column(&|row| row.direction.clone())).left_out(6),
            Column::right("n", column(&|row| row.n.to_string())).left_out(3),
            Column::right("scenes", column(&|row| row.scenes.to_string())).left_out(8),
            Column::right("SRCC", best(|row| row.srcc)).marked(),
            Column::right("95% interval", column(&interval)),
            Column::left("group", column(&|row| row.srcc_group.clone().unwrap_or_default()))
                .meaning("metrics that share a letter do not differ significantly by SRCC"),
            Column::right("less best", column(&|row| format_number(row.srcc_difference)))
                .left_out(5)
                .meaning(difference),
            Column::right("95% interval of less best", column(&difference_interval)).left_out(10),
            Column::right("p", column(&|row| row.srcc_p_corrected.map_or("-".to_owned(), format_p_value)))
                .left_out(4)
                .meaning("of less best, corrected for all pairs of metrics (Holm)"),
            Column::right("KRCC", best(|row| row.krcc)).marked().left_out(1),
            Column::right("PLCC", best(|row| row.plcc)).marked(),
            Column::right("PLCC 5", best(|row| row.plcc_logistic5)).marked().left_out(7).meaning(fit),
            Column::right("RMSE 5", column(&|row| mark(row.rmse_logistic5, least))).marked().left_out(9).meaning(fit),
            Column::right("pairs", best(|row| row.pairwise_accuracy))
                .marked()
                .left_out(2)
                .meaning("pairwise accuracy within a scene (0.5 = chance)"),
        ],
    )
}

/// Returns SRCC with metrics as rows, in the order of the first group, and groups as columns.
fn groups_table(title: String, groups: &[&[MetricRow]]) -> ResultTable {
    let mut names: Vec<&str> = Vec::new();
    for row in groups.iter().flat_map(|group| group.iter()) {
        if !names.contains(&row.metric.as_str()) {
            names.push(&row.metric);
        }
    }
    let mut columns = vec![Column::left("metric", names.iter().map(|name| (*name).to_owned()).collect())];
    columns.extend(groups.iter().map(|group| {
        let best = group.iter().filter_map(|row| row.srcc).max_by(f64::total_cmp);
        let srcc = |name: &&str| group.iter().find(|row| row.metric == **name).and_then(|row| row.srcc);
        let cells = names.iter().map(|name| mark(srcc(name), best)).collect();
        Column::right(group[0].group_name.clone().unwrap_or_default(), cells).marked()
    }));
    ResultTable::new(title, columns).broken_after(1)
}

/// Returns the number, followed by `*` if it is the best, or else by a space so that digits are aligned.
fn mark(value: Option<f64>, best: Option<f64>) -> String {
    let is_best = value.is_some() && value == best;
    format_number(value) + if is_best { "*" } else { " " }
}

pub(super) fn add_differences(page: &mut ResultPage, tables: &MetricTables) {
    let group = |row: &MetricDifferenceRow| {
        (row.dataset.clone(), row.protocol.clone(), row.group_kind.clone(), row.group_name.clone(), row.measure.clone())
    };
    for rows in tables.differences.chunk_by(|a, b| group(a) == group(b)) {
        let column = |cell: &dyn Fn(&MetricDifferenceRow) -> String| rows.iter().map(cell).collect::<Vec<String>>();
        let p = |p: Option<f64>| p.map_or("-".to_owned(), format_p_value);
        let row = &rows[0];
        let name = row.group_name.as_deref().unwrap_or(&row.group_kind);
        let measure = row.measure.to_uppercase();
        page.table(&ResultTable::new(
            format!("Pairs of metrics: {measure} of {}, {name}, {}", row.dataset, row.protocol),
            vec![
                Column::left("metric", column(&|row| row.metric_a.clone())),
                Column::left("less", column(&|row| row.metric_b.clone())),
                Column::right("n", column(&|row| row.n.to_string())).left_out(2),
                Column::right("scenes", column(&|row| row.scenes.to_string())).left_out(4),
                Column::right("value", column(&|row| format_number(row.value_a))).left_out(3),
                Column::right("value", column(&|row| format_number(row.value_b))).left_out(3),
                Column::right("difference", column(&|row| format_number(row.difference))),
                Column::right("95% interval", column(&|row| format_interval(row.difference_low, row.difference_high)))
                    .left_out(1),
                Column::right("p", column(&|row| p(row.p))).left_out(5),
                Column::right("corrected", column(&|row| p(row.p_corrected)))
                    .meaning("p, corrected for all pairs of metrics (Holm)"),
            ],
        ));
    }
}

/// Adds SRCC between metrics. Columns have the numbers of the rows, so that many metrics fit.
pub(super) fn add_matrix(page: &mut ResultPage, tables: &MetricTables) {
    for rows in tables.matrix.chunk_by(|a, b| a.dataset == b.dataset) {
        let of_metric: Vec<&[MetricMatrixRow]> = rows.chunk_by(|a, b| a.metric == b.metric).collect();
        let mut columns = vec![
            Column::right("", (1..=of_metric.len()).map(|number| number.to_string()).collect()),
            Column::left("metric", of_metric.iter().map(|rows| rows[0].metric.clone()).collect()),
        ];
        columns.extend((0..of_metric.len()).map(|index| {
            let srcc = |rows: &&[MetricMatrixRow]| rows.get(index).and_then(|row| row.srcc);
            let cell = |rows| srcc(rows).map_or("-".to_owned(), |srcc| format!("{srcc:.2}"));
            Column::right((index + 1).to_string(), of_metric.iter().map(cell).collect())
        }));
        let title = "Do the metrics rank the pictures alike? SRCC on the pictures that both have scored";
        page.table(&ResultTable::new(format!("{title}: {}", rows[0].dataset), columns).broken_after(2));
    }
}

/// Adds the ranks of the algorithms with algorithms as rows, in the order of the first metric, and metrics as columns.
pub(super) fn add_ranks(page: &mut ResultPage, tables: &MetricTables) {
    for rows in tables.ranks.chunk_by(|a, b| a.dataset == b.dataset) {
        let boards: Vec<&[MetricRankRow]> = rows.chunk_by(|a, b| a.metric == b.metric).collect();
        let mut algorithms: Vec<&str> = Vec::new();
        for row in rows.iter().filter(|row| row.rank.is_some()) {
            if !algorithms.contains(&row.algorithm.as_str()) {
                algorithms.push(&row.algorithm);
            }
        }
        let ranks = |board: &[MetricRankRow], rank: fn(&MetricRankRow) -> Option<u32>| -> Vec<String> {
            let row = |algorithm: &&str| board.iter().find(|row| row.algorithm == **algorithm);
            let rank = |algorithm| row(algorithm).and_then(rank).map_or("-".to_owned(), |rank| rank.to_string());
            algorithms.iter().map(rank).collect()
        };
        let has_labels = boards[0].iter().any(|row| row.mos_rank.is_some());
        let mut columns = vec![Column::left("algorithm", algorithms.iter().map(|name| (*name).to_owned()).collect())];
        columns.extend(has_labels.then(|| Column::right("labels", ranks(boards[0], |row| row.mos_rank))));
        let keys = columns.len();
        columns.extend(boards.iter().map(|board| Column::right(&board[0].metric, ranks(board, |row| row.rank))));
        let title = format!("Ranks of the algorithms by each metric: {}", rows[0].dataset);
        page.table(&ResultTable::new(title, columns).broken_after(keys));
    }
}

/// Adds the pictures with the largest gaps over all pairs of metrics, each once.
pub(super) fn add_disagreements(page: &mut ResultPage, tables: &MetricTables) {
    for rows in tables.disagreements.chunk_by(|a, b| a.dataset == b.dataset) {
        let mut rows: Vec<&MetricDisagreementRow> = rows.iter().collect();
        rows.sort_by(|a, b| b.gap.total_cmp(&a.gap));
        let mut known = HashSet::new();
        rows.retain(|row| known.insert((&row.algorithm, &row.image)));
        rows.truncate(PICTURES_MAX);
        let column =
            |cell: &dyn Fn(&MetricDisagreementRow) -> String| rows.iter().map(|row| cell(row)).collect::<Vec<String>>();
        page.table(&ResultTable::new(
            format!("Pictures that metrics rank most differently: {}", rows[0].dataset),
            vec![
                Column::left("picture", column(&|row| row.image.clone())),
                Column::left("algorithm", column(&|row| row.algorithm.clone())).left_out(3),
                Column::right("of", column(&|row| row.n.to_string())).left_out(4),
                Column::right("gap", column(&|row| format!("{:.2}", row.gap)))
                    .meaning("the difference of the ranks, as a share of the pictures that both have scored"),
                Column::right("rank", column(&|row| row.rank.to_string()))
                    .meaning("1 is best, of the pictures that both have scored"),
                Column::left("by", column(&|row| row.metric.clone())),
                Column::right("value", column(&|row| format_number(Some(row.score)))).left_out(1),
                Column::right("rank", column(&|row| row.other_rank.to_string())),
                Column::left("by", column(&|row| row.other_metric.clone())),
                Column::right("value", column(&|row| format_number(Some(row.other_score)))).left_out(1),
                Column::right("mos", column(&|row| format_number(row.mos))).left_out(2),
            ],
        ));
    }
}
