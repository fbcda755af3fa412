//! The agreement of each metric with the labels, with its interval drawn, and the differences of pairs of metrics.

use dqa_pipelines::metric::CLIP_DQA;
use dqa_pipelines::tables::correlations::CorrelationRow;
use dqa_pipelines::tables::metric_differences::MetricDifferenceRow;
use dqa_pipelines::tables::metrics::MetricRow;
use maud::{Markup, html};

use crate::anchor::link;
use crate::chart::axis::Axis;
use crate::chart::intervals::{Marks, bar, tick_labels};
use crate::context::Context;
use crate::measures::{Measure, no_interval};
use crate::number::{Digits, missing, show_count, show_p};
use crate::pages::metrics::MetricsPage;
use crate::run_routes::RunRoutes;
use crate::table::{Header, Sorted, framed, header_row};

/// A line of the table: from `metrics` if the run has several, or from `correlations`.
struct Line<'a> {
    metric: &'a str,
    /// The metric's own run has the page of its scatter.
    is_own: bool,
    is_lower: bool,
    srcc: Measure,
    group: Option<&'a str>,
    p: Option<f64>,
    krcc: Option<f64>,
    plcc: Option<f64>,
    fitted_plcc: Option<f64>,
    pairs: Option<f64>,
    n: u64,
    failed: u64,
}

impl<'a> Line<'a> {
    fn of_metric(row: &'a MetricRow) -> Line<'a> {
        Line {
            metric: &row.metric,
            is_own: row.metric_run == row.run,
            is_lower: row.direction == "lower",
            srcc: Measure::srcc_of_metric(row),
            group: row.srcc_group.as_deref(),
            p: row.srcc_p_corrected,
            krcc: row.krcc,
            plcc: row.plcc,
            fitted_plcc: row.plcc_logistic5,
            pairs: row.pairwise_accuracy,
            n: row.n,
            failed: row.failed,
        }
    }

    fn of_correlation(row: &'a CorrelationRow) -> Line<'a> {
        Line {
            metric: row.metric.as_deref().unwrap_or(CLIP_DQA),
            is_own: true,
            is_lower: row.direction.as_deref() == Some("lower"),
            srcc: Measure::srcc(row),
            group: None,
            p: None,
            krcc: row.krcc,
            plcc: row.plcc,
            fitted_plcc: row.plcc_logistic5,
            pairs: row.pairwise_accuracy,
            n: row.n,
            failed: row.failed,
        }
    }
}

/// Returns the section with the pooled rows of all pictures, and those of other groups folded.
pub(super) fn section(page: &MetricsPage, context: &Context, routes: &RunRoutes) -> Markup {
    let is_main = |row: &&MetricRow| row.protocol == "pooled" && row.group_kind == "all";
    let lines: Vec<Line<'_>> = if page.metrics.is_empty() {
        page.correlations.iter().map(Line::of_correlation).collect()
    } else {
        page.metrics.iter().filter(is_main).map(Line::of_metric).collect()
    };
    let is_held_out = |row: &&MetricRow| row.protocol == "pooled" && row.group_kind == "held_out";
    let held_out: Vec<Line<'_>> = page.metrics.iter().filter(is_held_out).map(Line::of_metric).collect();
    html! {
        section {
            h2 { "Agreement with labels" }
            @if lines.is_empty() {
                p.note { "The data set has no labels, so no metric can be compared with what people see." }
            } @else {
                (table(page, (context, routes), &lines, "Agreement with labels"))
                p.note {
                    "Dot: SRCC with the labels, positive for every metric that agrees with them. Band: 95% interval over scenes. \
                     Metrics that share a letter do not differ significantly. p: of the difference to the best metric, corrected. "
                    "\u{2193}: low values are good."
                }
                @if !held_out.is_empty() {
                    h3 { "Scenes that the model has not seen in training" }
                    (table(page, (context, routes), &held_out, "Agreement on held-out scenes"))
                }
            }
        }
    }
}

fn table(page: &MetricsPage, (context, routes): (&Context, &RunRoutes), lines: &[Line<'_>], name: &str) -> Markup {
    let intervals = lines.iter().filter_map(|line| line.srcc.interval());
    let axis = Axis::over(intervals.flat_map(|interval| interval.values().collect::<Vec<f64>>()), 6);
    let failed = lines.iter().any(|line| line.failed > 0);
    let table = html! {
        table.board {
            thead { tr {
                (Header::text("metric").class("l name").cell())
                (Header::text("group").class("l letters").explained("Those that share a letter do not differ").cell())
                th.bar scope="col" { span.sr { "interval" } (tick_labels(&axis)) }
                (Header::number("SRCC").sorted(Sorted::Descending).cell())
                (Header { is_sortable: false, ..Header::number("95% interval").class("l opt") }.cell())
                (Header::number("p to best").class("opt").cell())
                (Header::number("KRCC").class("opt").cell())
                (Header::number("PLCC").class("opt").cell())
                (Header::number("PLCC 5").class("opt").explained("After the logistic fit of 5 parameters").cell())
                (Header::number("pairs").class("opt").explained("Pairs in the labels' order").cell())
                (Header::number("n").cell())
                @if failed { (Header::number("failed").class("opt").cell()) }
            } }
            tbody { @for line in lines { (row(page, (context, routes), line, &axis, failed)) } }
        }
    };
    framed(name, &table)
}

fn row(
    page: &MetricsPage,
    (context, routes): (&Context, &RunRoutes),
    line: &Line<'_>,
    axis: &Axis,
    failed: bool,
) -> Markup {
    let route = routes.agreement(&page.dataset, line.metric);
    let digits = Digits::THREE;
    html! {
        tr {
            th.l.name scope="row" data-value=(line.metric) {
                @if line.is_own { (link(context, &route, line.metric)) } @else { (line.metric) }
                @if line.is_lower { span.dim title="low values are good" { " \u{2193}" } }
            }
            td.l.letters data-value=(line.group.unwrap_or_default()) {
                @if let Some(group) = line.group { (group) } @else { (missing()) }
            }
            td.bar { (bar(axis, line.srcc.interval(), Marks::default(), digits)) }
            td { (digits.show(line.srcc.value)) }
            td.l.dim.opt {
                @match &line.srcc.interval {
                    Some(reason) if line.srcc.low.is_none() => span.missing { (no_interval(reason)) },
                    _ => (digits.show_interval(line.srcc.low, line.srcc.high)),
                }
            }
            td.dim.opt { (show_p(line.p)) }
            td.dim.opt { (digits.show(line.krcc)) }
            td.dim.opt { (digits.show(line.plcc)) }
            td.dim.opt { (digits.show(line.fitted_plcc)) }
            td.dim.opt { (digits.show(line.pairs)) }
            td.dim { (show_count(line.n)) }
            @if failed { td.dim.opt.bad[line.failed > 0] { (show_count(line.failed)) } }
        }
    }
}

/// Returns the differences in SRCC of all pairs of metrics, folded.
pub(super) fn differences_section(differences: &[MetricDifferenceRow]) -> Markup {
    let is_main =
        |row: &&MetricDifferenceRow| row.protocol == "pooled" && row.group_kind == "all" && row.measure == "srcc";
    let rows: Vec<&MetricDifferenceRow> = differences.iter().filter(is_main).collect();
    let digits = Digits::THREE;
    let headers = [
        Header::text("metric"),
        Header::text("and"),
        Header::number("difference"),
        Header { is_sortable: false, ..Header::number("95% interval").class("l") },
        Header::number("p, corrected"),
        Header::number("n"),
        Header::number("left out").explained("Labelled pictures that one of the two has not scored"),
    ];
    let table = html! {
        table {
            (header_row(&headers))
            tbody {
                @for row in &rows {
                    tr {
                        th.l scope="row" { (row.metric_a) }
                        td.l { (row.metric_b) }
                        td { (digits.show(row.difference)) }
                        td.l.dim { (digits.show_interval(row.difference_low, row.difference_high)) }
                        td.dim { (show_p(row.p_corrected)) }
                        td.dim { (show_count(row.n)) }
                        td.dim { (show_count(row.excluded)) }
                    }
                }
            }
        }
    };
    html! {
        @if !rows.is_empty() {
            details.behind {
                summary { "Differences in SRCC of all " (rows.len()) " pairs of metrics" }
                (framed("Differences in SRCC", &table))
            }
        }
    }
}
