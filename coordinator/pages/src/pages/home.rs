//! The runs of a store.

use dqa_pipelines::tables::runs::RunRow;
use maud::{Markup, html};

use crate::anchor::{clipped, link};
use crate::context::Context;
use crate::layout::{Place, live_region, page};
use crate::number::{count_text, counted, missing, show_count, show_time};
use crate::route::{Region, Route};
use crate::run_routes::RunRoutes;
use crate::table::{Header, Sorted, framed, header_row, search_field};

/// The runs of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct HomePage {
    /// The runs, in any order; shown with the newest first.
    pub runs: Vec<RunSummary>,
}

/// A run in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// The run.
    pub row: RunRow,
    /// Names of its metrics.
    pub metrics: Vec<String>,
    /// The first of its leaderboard, if that is complete.
    pub best: Option<String>,
}

impl HomePage {
    /// Renders the page.
    pub fn render(&self, context: &Context) -> String {
        let active = self.runs.iter().any(|run| ["planning", "running"].contains(&run.row.state.as_str()));
        let body = html! {
            h1 { "Runs" }
            @if self.runs.is_empty() {
                div.empty {
                    p { strong { "The store has no runs yet." } }
                    p { "Score pictures with " code { "dqa-coord submit" } ", or make the demo: "
                        code { "cargo run -p dqa-coordinator --no-default-features --example demo" } }
                }
            } @else {
                p.sub { (counted(self.runs.len() as u64, "run")) ", the newest first." }
                @if self.runs.len() > 5 { div.tools { (search_field("Search runs", "runs")) } }
                (live_region(context, &Region::Runs, context.is_live() && active, &self.table(context)))
            }
        };
        page(context, Place::Runs, "Runs", &body)
    }

    /// Renders the region [`Region::Runs`].
    pub fn render_region(&self, context: &Context) -> String {
        self.table(context).into_string()
    }

    fn table(&self, context: &Context) -> Markup {
        let mut runs: Vec<&RunSummary> = self.runs.iter().collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.row.created));
        let headers = [
            Header::text("run"),
            Header::text("state"),
            Header::number("created").class("opt").sorted(Sorted::Descending),
            Header::text("data sets").class("l opt"),
            Header::text("metrics").class("l opt"),
            Header::text("first").class("l opt"),
            Header::number("pictures"),
            Header::number("failed"),
        ];
        let table = html! {
            table #runs { (header_row(&headers)) tbody { @for run in runs { (row(context, run)) } } }
        };
        framed("Runs", &table)
    }
}

fn row(context: &Context, run: &RunSummary) -> Markup {
    let RunSummary { row, metrics, best } = run;
    let segment = RunRoutes::new(&row.run).run();
    let is_complete = row.state == "complete";
    // A run without a leaderboard is worth looking at for its progress.
    let route = if is_complete { Route::Run(segment.clone()) } else { Route::Progress(segment.clone()) };
    let class = match row.state.as_str() {
        "complete" => "good",
        "planning" | "running" => "active",
        "paused" | "interrupted" => "held",
        _ => "bad",
    };
    html! {
        tr {
            th.l.name scope="row" data-value=(row.run) {
                span.long title=(row.run) { (link(context, &route, &row.run)) }
            }
            td.l data-value=(row.state) {
                (link(context, &Route::Progress(segment), html! { span.(class) { (row.state) } }))
            }
            td.dim.opt { (show_time(row.created)) }
            td.l.opt { span.long title=(row.datasets) { (row.datasets.replace(',', ", ")) } }
            td.l.dim.opt { @let names = metrics.join(", "); (clipped(&names)) }
            td.l.opt { @if let Some(best) = best { (clipped(best)) } @else { (missing()) } }
            td data-value=(row.pictures) {
                @let done = row.scored + row.failed;
                @if done < row.pictures { span.dim { (count_text(done)) " of " } } (show_count(row.pictures))
            }
            td.dim.bad[row.failed > 0] { (show_count(row.failed)) }
        }
    }
}
