//! How alike the metrics rank the pictures, and how they rank the algorithms.

use std::collections::BTreeMap;

use dqa_pipelines::tables::metric_matrix::MetricMatrixRow;
use dqa_pipelines::tables::metric_ranks::MetricRankRow;
use maud::{Markup, html};

use crate::anchor::{clipped, link};
use crate::chart::heat::tint;
use crate::context::Context;
use crate::number::{Digits, count_text, missing};
use crate::pages::metrics::MetricsPage;
use crate::route::Format;
use crate::run_routes::RunRoutes;
use crate::table::framed;

/// Returns the names in the order of their first row.
fn in_order<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}

/// Returns the matrix of SRCC between metrics.
pub(super) fn matrix_section(rows: &[MetricMatrixRow]) -> Markup {
    let metrics = in_order(rows.iter().map(|row| row.metric.as_str()));
    let cells: BTreeMap<(&str, &str), &MetricMatrixRow> =
        rows.iter().map(|row| ((row.metric.as_str(), row.other_metric.as_str()), row)).collect();
    let cell = |metric: &str, other: &str| {
        let row = cells.get(&(metric, other));
        html! {
            @let title = row.map(|row| format!("{metric} and {other}, {} pictures", count_text(row.n)));
            td.(tint(row.and_then(|row| row.srcc))) title=[title] {
                (Digits::TWO.show(row.and_then(|row| row.srcc)))
            }
        }
    };
    let table = html! {
        table.matrix {
            thead {
                tr { th scope="col" { span.sr { "metric" } } @for metric in &metrics { th scope="col" { (metric) } } }
            }
            tbody {
                @for metric in &metrics {
                    tr { th scope="row" { (metric) } @for other in &metrics { (cell(metric, other)) } }
                }
            }
        }
    };
    html! {
        @if metrics.len() > 1 {
            section {
                h2 { "How alike they rank the pictures" }
                (framed("SRCC between metrics", &table))
                p.note { "SRCC between the scores of two metrics, turned so that high is good. Labels are not used." }
            }
        }
    }
}

/// Returns the ranks of the algorithms by each metric.
pub(super) fn ranks_section(page: &MetricsPage, context: &Context, routes: &RunRoutes) -> Markup {
    let ranks = &page.ranks;
    let metrics = in_order(ranks.iter().map(|row| row.metric.as_str()));
    let algorithms = in_order(ranks.iter().map(|row| row.algorithm.as_str()));
    let cells: BTreeMap<(&str, &str), &MetricRankRow> =
        ranks.iter().map(|row| ((row.algorithm.as_str(), row.metric.as_str()), row)).collect();
    let last = ranks.iter().filter_map(|row| row.rank).max().unwrap_or(1);
    let label_rank = |algorithm: &str| ranks.iter().find(|row| row.algorithm == algorithm).and_then(|row| row.mos_rank);
    let has_labels = ranks.iter().any(|row| row.mos_rank.is_some());
    let known = |metric: &&str| context.run.as_ref().is_some_and(|run| run.metric(metric).is_some());
    let board = |metric: &str| routes.leaderboard(Some(&page.dataset), metric, Format::Html);
    let table = html! {
        table.matrix {
            thead { tr {
                th scope="col" { span.sr { "algorithm" } }
                @for metric in &metrics {
                    th scope="col" { @if known(metric) { (link(context, &board(metric), metric)) } @else { (metric) } }
                }
                @if has_labels { th scope="col" { "labels" } }
            } }
            tbody {
                @for algorithm in algorithms {
                    tr {
                        th scope="row" { (clipped(algorithm)) }
                        @for metric in &metrics { (rank_cell(cells.get(&(algorithm, *metric)).copied(), last)) }
                        @if has_labels {
                            @let rank = label_rank(algorithm);
                            td.(rank_tint(rank, last)) data-value=[rank] {
                                @if let Some(rank) = rank { (rank) } @else { (missing()) }
                            }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if metrics.len() > 1 && !ranks.is_empty() {
            section {
                h2 { "How they rank the algorithms" }
                (framed("Ranks of the algorithms", &table))
                p.note { "Darker: a better rank. Small: the ranks that are not ruled out by that metric." }
            }
        }
    }
}

fn rank_cell(row: Option<&MetricRankRow>, last: u32) -> Markup {
    let rank = row.and_then(|row| row.rank);
    let range = row.and_then(|row| row.rank_best.zip(row.rank_worst)).filter(|(best, worst)| best < worst);
    html! {
        td.(rank_tint(rank, last)) data-value=[rank] {
            @match rank { Some(rank) => { (rank) }, None => (missing()) }
            @if let Some((best, worst)) = range { small { (best) "\u{2013}" (worst) } }
        }
    }
}

/// Returns the tint of a rank: the first is the darkest.
fn rank_tint(rank: Option<u32>, last: u32) -> String {
    tint(rank.map(|rank| 1.0 - f64::from(rank.saturating_sub(1)) / f64::from(last.max(1))))
}
