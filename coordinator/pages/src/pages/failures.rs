//! The pictures without a score, by the code of the error, with what to do.

use maud::{Markup, html};

use crate::advice::advice;
use crate::anchor::{clipped, link, scene_link};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{count_text, counted};
use crate::picture::SceneRef;
use crate::route::PicturePart;
use crate::run_routes::RunRoutes;
use crate::table::{Header, framed, header_row};

/// The pictures of a run without a score.
#[derive(Clone, Debug, PartialEq)]
pub struct FailuresPage {
    /// The groups, in any order.
    pub groups: Vec<FailureGroup>,
    /// Number of the run's pictures.
    pub pictures: u64,
}

/// The pictures that failed with one code.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureGroup {
    /// The code.
    pub code: String,
    /// Number of rows with it.
    pub count: u64,
    /// The first rows.
    pub rows: Vec<FailureRow>,
}

/// A row without a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureRow {
    /// The data set.
    pub dataset: String,
    /// The algorithm.
    pub algorithm: String,
    /// The scene.
    pub scene: SceneRef,
    /// The picture's name in its data set.
    pub image: String,
    /// The metric.
    pub metric: String,
    /// The message.
    pub message: String,
}

impl FailuresPage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("failures belong to a run");
        let routes = RunRoutes::new(&run.name);
        let mut groups: Vec<&FailureGroup> = self.groups.iter().collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        let all: u64 = groups.iter().map(|group| group.count).sum();
        let body = html! {
            h1 { "Failures" }
            p.sub {
                @if all == 0 { "Each of the " (counted(self.pictures, "picture")) " that were scored has its scores." }
                @else {
                    (counted(all, "row")) " of " (counted(self.pictures, "picture"))
                    " have no score. They are in no mean and no correlation."
                }
            }
            @if all == 0 { p.empty { "Nothing failed." } }
            @for group in groups {
                section {
                    h2 { code { (group.code) } " \u{b7} " (counted(group.count, "row")) }
                    p.note { (advice(&group.code)) }
                    (table(context, &routes, group))
                    @let more = group.count.saturating_sub(group.rows.len() as u64);
                    @if more > 0 {
                        p.note { "And " (count_text(more)) " more: " code { (query(&group.code, &run.name)) } }
                    }
                }
            }
        };
        page(context, Place::Failures, &format!("Failures of {}", run.name), &body)
    }
}

/// Returns the command that lists all rows with a code.
fn query(code: &str, run: &str) -> String {
    format!("dqa-coord query \"SELECT * FROM scores WHERE error_code = '{}'\" {run}", code.replace('\'', "''"))
}

fn table(context: &Context, routes: &RunRoutes, group: &FailureGroup) -> Markup {
    let headers = [
        Header::text("picture"),
        Header::text("algorithm").class("l opt"),
        Header::text("scene").class("l opt"),
        Header::text("metric").class("l opt"),
        Header { is_sortable: false, ..Header::text("message") },
    ];
    let table = html! {
        table {
            (header_row(&headers))
            tbody {
                @for row in &group.rows {
                    tr {
                        th.l.wrap scope="row" {
                            @let route = routes.picture(&row.dataset, &row.image, PicturePart::Page);
                            (link(context, &route, html! { (row.dataset) "/" (row.image) }))
                        }
                        td.l.opt { (clipped(&row.algorithm)) }
                        td.l.opt { (scene_link(context, routes, &row.dataset, &row.scene)) }
                        td.l.dim.opt { (row.metric) }
                        td.l.wrap { (row.message) }
                    }
                }
            }
        }
    };
    framed(&format!("Failures with the code {}", group.code), &table)
}
