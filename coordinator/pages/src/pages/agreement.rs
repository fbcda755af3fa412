//! A metric against labels: the scatter with its fits, residuals, and the agreement of each group of pictures.

use dqa_pipelines::tables::correlations::CorrelationRow;
use maud::{Markup, html};

use crate::anchor::{clipped, link, picture_link, scene_link};
use crate::chart::axis::Axis;
use crate::chart::intervals::{Marks as BarMarks, bar, tick_labels};
use crate::chart::scatter::{Subject, labels_chart, residuals_chart};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::measures::{Measure, all_measures, fit_remark, group_label, no_interval, sentence};
use crate::number::{Digits, counted, exact, show_count};
use crate::pages::label_gap::{LabelGap, gap_table};
use crate::picture::ScorePoint;
use crate::run_routes::RunRoutes;
use crate::scatter::{Marks, Scatter};
use crate::selection::{metric_tabs, single_dataset_tabs};
use crate::table::{Header, behind_chart, framed, header_row};

/// Rows of the table behind the scatter: those farthest from the curve.
const TABLE_ROWS: usize = 100;

/// A metric against the labels of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct AgreementPage {
    /// The data set.
    pub dataset: String,
    /// The metric.
    pub metric: String,
    /// The rows of both, of all protocols and groups. Empty without labels.
    pub correlations: Vec<CorrelationRow>,
    /// Scores and labels. None without labels.
    pub scatter: Option<Scatter>,
    /// The pictures that score and label rank most differently, the largest gap first.
    pub gaps: Vec<LabelGap>,
}

impl AgreementPage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("agreement belongs to a run");
        let routes = RunRoutes::new(&run.name);
        let subject = Subject { context, routes: &routes, dataset: &self.dataset, metric: &self.metric };
        let direction = run.metric(&self.metric).map_or("higher", |metric| metric.direction.as_str());
        let body = html! {
            h1 { (self.metric) " against labels" }
            p.sub { (self.summary(direction)) }
            (single_dataset_tabs(context, &self.dataset, &|dataset| routes.agreement(dataset, &self.metric)))
            (metric_tabs(context, &self.metric, &|metric| routes.agreement(&self.dataset, metric)))
            p.note { (link(context, &routes.metrics(&self.dataset), "All metrics beside each other")) }
            @if self.correlations.is_empty() && self.scatter.is_none() {
                p.empty { "The data set has no labels, so nothing can be compared with what people see." }
            } @else {
                (self.charts(subject))
                @if let Some(row) = self.main_row() { (measures_table(row)) }
                (protocol_notes(&self.correlations))
                (self.groups())
                @if !self.gaps.is_empty() {
                    section { h2 { "Largest disagreements" } (gap_table(context, &routes, &self.dataset, &self.gaps)) }
                }
            }
        };
        page(context, Place::Metrics, &format!("{} against the labels of {}", self.metric, self.dataset), &body)
    }

    /// Returns the row of all pictures.
    fn main_row(&self) -> Option<&CorrelationRow> {
        self.correlations.iter().find(|row| row.protocol == "pooled" && row.group_kind == "all")
    }

    fn summary(&self, direction: &str) -> Markup {
        let held_out = self.correlations.iter().find(|row| row.protocol == "pooled" && row.group_kind == "held_out");
        html! {
            "Data set " (self.dataset) ". "
            @if let Some(row) = self.main_row() { (sentence(&Measure::srcc(row), row.n)) ". " }
            @if let Some(row) = held_out {
                "The model has seen some of these scenes in training; of the others: "
                (sentence(&Measure::srcc(row), row.n)) ". "
            }
            @if direction == "lower" {
                "Low values of " (self.metric) " are good; agreement is positive for every metric."
            }
        }
    }

    fn charts(&self, subject: Subject<'_>) -> Markup {
        let Some(scatter) = &self.scatter else { return html! {} };
        let residuals = residuals_chart(subject, scatter);
        html! {
            div.split {
                section { h2 { "Scores and labels" } (labels_chart(subject, scatter)) (behind(subject, scatter)) }
                section {
                    h2 { "Residuals" }
                    @match residuals {
                        Some(chart) => {
                            (chart)
                            @let parameters = scatter.curve().map_or(0, |fit| fit.parameters.len());
                            p.note {
                                "Label minus the curve of " (parameters) " parameters. A pattern says where the metric errs."
                            }
                        }
                        None => p.note { "No curve was fitted, so there are no residuals." }
                    }
                }
            }
        }
    }

    /// Returns the agreement of each group, with its interval drawn.
    fn groups(&self) -> Markup {
        let rows: Vec<&CorrelationRow> = self.correlations.iter().filter(|row| row.srcc.is_some()).collect();
        let intervals = rows.iter().filter_map(|row| Measure::srcc(row).interval());
        let axis = Axis::over(intervals.flat_map(|interval| interval.values().collect::<Vec<f64>>()), 6);
        let table = html! {
            table.board {
                thead { tr {
                    (Header::text("pictures of").class("l name").cell())
                    (Header::text("protocol").class("l opt").cell())
                    th.bar scope="col" { span.sr { "interval" } (tick_labels(&axis)) }
                    (Header::number("SRCC").cell())
                    (Header { is_sortable: false, ..Header::number("95% interval").class("l opt") }.cell())
                    (Header::number("KRCC").class("opt").cell())
                    (Header::number("PLCC").class("opt").cell())
                    (Header::number("n").cell())
                    (Header::number("scenes").class("opt").cell())
                } }
                tbody { @for row in &rows { (group_row(row, &axis)) } }
            }
        };
        html! {
            @if rows.len() > 1 {
                section { h2 { "By group" } (framed("Agreement by group", &table)) }
            }
        }
    }
}

fn group_row(row: &CorrelationRow, axis: &Axis) -> Markup {
    let srcc = Measure::srcc(row);
    let name = group_label(&row.group_kind, row.group_name.as_deref());
    html! {
        tr {
            th.l.name scope="row" data-value=(name) { (clipped(&name)) }
            td.l.dim.opt { (row.protocol) }
            td.bar { (bar(axis, srcc.interval(), BarMarks::default(), Digits::THREE)) }
            td { (Digits::THREE.show(row.srcc)) }
            td.l.dim.opt { (interval_or_reason(&srcc)) }
            td.dim.opt { (Digits::THREE.show(row.krcc)) }
            td.dim.opt { (Digits::THREE.show(row.plcc)) }
            td.dim { (show_count(row.n)) }
            td.dim.opt { (show_count(row.scenes)) }
        }
    }
}

/// Returns an interval, or why it is missing.
fn interval_or_reason(measure: &Measure) -> Markup {
    match &measure.interval {
        Some(reason) if measure.low.is_none() => html! { span.missing { (no_interval(reason)) } },
        _ => Digits::THREE.show_interval(measure.low, measure.high),
    }
}

/// Returns all measures of the pooled row.
fn measures_table(row: &CorrelationRow) -> Markup {
    let table = html! {
        table {
            thead { tr { th.l scope="col" { "measure" } th scope="col" { "value" } th.l scope="col" { "95% interval" }
                th.l.opt scope="col" { "interval by" } th.l.opt scope="col" { "what it is" } } }
            tbody {
                @for measure in all_measures(row) {
                    @let digits = Digits::for_values(measure.value);
                    tr {
                        th.l scope="row" { (measure.name) }
                        td { (digits.show(measure.value)) }
                        td.l.dim {
                            @if measure.low.is_some() { (digits.show_interval(measure.low, measure.high)) }
                            @else { (interval_or_reason(&measure)) }
                        }
                        td.l.dim.opt {
                            @if measure.low.is_some() { (measure.interval.as_deref().unwrap_or("").replace('_', " ")) }
                        }
                        td.l.dim.opt.wrap { (measure.title) (remark(row, measure.name)) }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Agreement" }
            p.note {
                (counted(row.n, "picture")) " of " (counted(row.scenes, "scene")) " with score and label; "
                (show_count(row.failed)) " failed, " (show_count(row.unlabelled)) " without a label."
            }
            (framed("Measures of agreement", &table))
        }
    }
}

/// Returns how the fit of a measure ended, if it did not converge.
fn remark(row: &CorrelationRow, measure: &str) -> &'static str {
    let status = match measure {
        "PLCC, 4 parameters" => &row.logistic4_status,
        "PLCC, 5 parameters" | "RMSE, 5 parameters" => &row.logistic5_status,
        _ => return "",
    };
    fit_remark(status.as_deref())
}

/// Returns the fits as published code makes them, and what the data set's own protocol leaves out.
fn protocol_notes(rows: &[CorrelationRow]) -> Markup {
    let vqeg = rows.iter().find(|row| row.protocol == "vqeg" && row.group_kind == "all");
    let exbedde = rows.iter().find(|row| row.protocol == "exbedde" && row.group_kind == "all");
    html! {
        @if let Some(row) = vqeg {
            p.note {
                "As published code fits (VQEG): PLCC " (Digits::THREE.show(row.plcc_logistic4)) " after 4 parameters"
                (fit_remark(row.logistic4_status.as_deref())) ", " (Digits::THREE.show(row.plcc_logistic5))
                " after 5" (fit_remark(row.logistic5_status.as_deref())) "."
            }
        }
        @if let Some(row) = exbedde {
            p.note {
                "By exBeDDE's protocol the measures are means over scenes and cities; " (show_count(row.left_out.unwrap_or(0)))
                " pictures are left out, of scenes with too few of them or with equal scores. Compare with figures of that \
                 protocol only."
            }
        }
    }
}

/// Returns the table behind the scatter: the points farthest from the curve, or the means over ranges of scores.
fn behind(subject: Subject<'_>, scatter: &Scatter) -> Markup {
    match &scatter.marks {
        Marks::Points(points) => {
            let residual = |point: &ScorePoint| {
                scatter.curve().and_then(|fit| fit.predict(point.score)).map(|fitted| point.mos - fitted)
            };
            let mut sorted: Vec<(&ScorePoint, Option<f64>)> =
                points.iter().map(|point| (point, residual(point))).collect();
            sorted.sort_by(|(_, a), (_, b)| b.unwrap_or(0.0).abs().total_cmp(&a.unwrap_or(0.0).abs()));
            sorted.truncate(TABLE_ROWS);
            let summary = if points.len() > TABLE_ROWS {
                format!("Table of the {TABLE_ROWS} pictures farthest from the curve")
            } else {
                "Table".to_owned()
            };
            behind_chart(&summary, &points_table(subject, &sorted))
        }
        Marks::Bins { labels, .. } => {
            let digits = Digits::for_values([labels.ranges().0.0, labels.ranges().0.1]);
            let table = html! {
                table {
                    thead {
                        tr {
                            th.l scope="col" { "score" } th scope="col" { "pictures" } th scope="col" { "mean label" }
                        }
                    }
                    tbody {
                        @for ((low, high), strip) in labels.strips() {
                            tr {
                                th.l scope="row" { (digits.text(low)) " to " (digits.text(high)) }
                                td { (show_count(strip.count)) }
                                td { (Digits::TWO.show((strip.count > 0).then(|| strip.sum / strip.count as f64))) }
                            }
                        }
                    }
                }
            };
            behind_chart("Table of means over ten ranges of scores", &table)
        }
    }
}

fn points_table(subject: Subject<'_>, points: &[(&ScorePoint, Option<f64>)]) -> Markup {
    let headers = [
        Header::text("picture"),
        Header::text("scene"),
        Header::number("score"),
        Header::number("label"),
        Header::number("label \u{2212} curve"),
    ];
    let Subject { context, routes, dataset, .. } = subject;
    let digits = Digits::for_values(points.iter().map(|(point, _)| point.score));
    html! {
        table {
            (header_row(&headers))
            tbody {
                @for (point, residual) in points {
                    tr {
                        th.l scope="row" {
                            (picture_link(context, routes, (dataset, &point.image), &point.algorithm))
                        }
                        td.l { (scene_link(context, routes, dataset, &point.scene)) }
                        td { (digits.show(Some(point.score))) }
                        td { (Digits::TWO.show(Some(point.mos))) }
                        td data-value=[residual.map(exact)] {
                            @if let Some(residual) = residual { (Digits::TWO.signed(*residual)) }
                        }
                    }
                }
            }
        }
    }
}
