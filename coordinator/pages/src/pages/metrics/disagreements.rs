//! The pictures that two metrics rank most differently, folded by pair.

use dqa_pipelines::tables::metric_disagreements::MetricDisagreementRow;
use maud::{Markup, html};

use crate::anchor::{picture_link, scene_link};
use crate::context::Context;
use crate::number::{Digits, exact};
use crate::pages::metrics::MetricsPage;
use crate::picture::SceneRef;
use crate::run_routes::RunRoutes;
use crate::table::{Header, framed, header_row};

/// Returns the section: the pair that disagrees most is open.
pub(super) fn section(page: &MetricsPage, context: &Context, routes: &RunRoutes) -> Markup {
    let mut pairs: Vec<(&str, &str, Vec<&MetricDisagreementRow>)> = Vec::new();
    for row in &page.disagreements {
        // A pair is the same whichever of the two ranks a picture better.
        let (first, second) = if row.metric <= row.other_metric {
            (row.metric.as_str(), row.other_metric.as_str())
        } else {
            (row.other_metric.as_str(), row.metric.as_str())
        };
        match pairs.iter_mut().find(|(a, b, _)| (*a, *b) == (first, second)) {
            Some((.., rows)) => rows.push(row),
            None => pairs.push((first, second, vec![row])),
        }
    }
    let gap = |rows: &[&MetricDisagreementRow]| rows.iter().map(|row| row.gap).fold(0.0, f64::max);
    pairs.sort_by(|(.., a), (.., b)| gap(b).total_cmp(&gap(a)));
    html! {
        @if !pairs.is_empty() {
            section {
                h2 { "Where they disagree most" }
                p.note {
                    "The pictures that two metrics rank most differently. Gap: the difference of the ranks, as a share of all."
                }
                @for (index, (first, second, rows)) in pairs.iter().enumerate() {
                    details.behind open[index == 0] {
                        summary { (first) " and " (second) ", gaps up to " (Digits::TWO.text(gap(rows))) }
                        (table(page, context, routes, rows))
                    }
                }
            }
        }
    }
}

fn table(page: &MetricsPage, context: &Context, routes: &RunRoutes, rows: &[&MetricDisagreementRow]) -> Markup {
    let headers = [
        Header::text("picture"),
        Header::text("scene"),
        Header::text("better by"),
        Header::number("score"),
        Header::number("rank").class("opt"),
        Header::text("worse by"),
        Header::number("score"),
        Header::number("rank").class("opt"),
        Header::number("gap"),
        Header::number("label"),
    ];
    let value = |value: f64| Digits::for_values([value]).show(Some(value));
    let rank = |rank: f64| html! { data data-value=(exact(rank)) { (exact(rank)) } };
    let table = html! {
        table {
            (header_row(&headers))
            tbody {
                @for row in rows {
                    @let scene = SceneRef { group: row.scene_group.clone(), name: row.scene.clone() };
                    tr {
                        th.l scope="row" {
                            (picture_link(context, routes, (&page.dataset, &row.image), &row.algorithm))
                        }
                        td.l { (scene_link(context, routes, &page.dataset, &scene)) }
                        td.l.dim { (row.metric) }
                        td { (value(row.score)) }
                        td.dim.opt { (rank(row.rank)) }
                        td.l.dim { (row.other_metric) }
                        td { (value(row.other_score)) }
                        td.dim.opt { (rank(row.other_rank)) }
                        td { (Digits::TWO.show(Some(row.gap))) }
                        td.dim { (Digits::TWO.show(row.mos)) }
                    }
                }
            }
        }
    };
    let (a, b) = rows.first().map_or(("", ""), |row| (row.metric.as_str(), row.other_metric.as_str()));
    framed(&format!("Disagreements of {a} and {b}"), &table)
}
