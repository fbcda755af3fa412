//! The list of a data set's scenes.

use maud::{Markup, html};

use crate::anchor::{clipped, link};
use crate::chart::axis::Axis;
use crate::chart::intervals::{at, tick_labels};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{Digits, counted, exact, missing, show_count};
use crate::picture::SceneRef;
use crate::run_routes::RunRoutes;
use crate::selection::single_dataset_tabs;
use crate::table::{Header, framed, search_field};
use crate::thumbnail::thumbnail;

/// Scenes on a page of the list.
pub const SCENES_PER_PAGE: usize = 200;

/// One page of the list of a data set's scenes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScenesPage {
    /// The data set.
    pub dataset: String,
    /// The metric of `score_low` and `score_high`.
    pub metric: String,
    /// The number of the page, from 1.
    pub page: u32,
    /// Number of all scenes.
    pub total: u64,
    /// The scenes of the page.
    pub scenes: Vec<SceneEntry>,
}

/// A scene in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneEntry {
    /// The scene.
    pub scene: SceneRef,
    /// A small picture of it, the hazy input if there is one: a path below the site's root.
    pub thumbnail: Option<String>,
    /// Number of its pictures.
    pub pictures: u64,
    /// Number of its pictures without a score.
    pub failed: u64,
    /// The algorithm with the best score.
    pub best: Option<String>,
    /// The lowest score of its pictures.
    pub score_low: Option<f64>,
    /// The highest score of its pictures.
    pub score_high: Option<f64>,
}

impl ScenesPage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("scenes belong to a run");
        let routes = RunRoutes::new(&run.name);
        let pages = self.pages();
        let body = html! {
            h1 { "Scenes of " (self.dataset) }
            p.sub {
                (counted(self.total, "scene")) ", with the range of their scores by " (self.metric) "."
                @if pages > 1 { " Page " (self.page) " of " (pages) "." }
            }
            (single_dataset_tabs(context, &self.dataset, &|dataset| routes.scenes(dataset, 1)))
            @if self.scenes.is_empty() {
                p.empty { "No picture of this data set has a row yet." }
            } @else {
                div.tools { (search_field("Search scenes", "scenes")) }
                (self.table(context, &routes))
            }
            (self.pager(context, &routes))
        };
        page(context, Place::Scenes, &format!("Scenes of {}", self.dataset), &body)
    }

    fn pages(&self) -> u32 {
        u32::try_from(self.total.div_ceil(SCENES_PER_PAGE as u64)).unwrap_or(u32::MAX).max(1)
    }

    fn table(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let values = || self.scenes.iter().flat_map(|entry| [entry.score_low, entry.score_high]).flatten();
        let (axis, digits) = (Axis::over(values(), 6), Digits::for_values(values()));
        let table = html! {
            table.board #scenes {
                caption.sr { "Scenes of " (self.dataset) }
                thead {
                    tr {
                        th scope="col" { span.sr { "picture" } }
                        (Header::text("scene").class("l name").cell())
                        th.bar scope="col" { span.sr { "range of scores" } (tick_labels(&axis)) }
                        (Header::number("lowest").class("opt").cell())
                        (Header::number("highest").class("opt").cell())
                        (Header::text("best").cell())
                        (Header::number("pictures").class("opt").cell())
                        (Header::number("failed").cell())
                    }
                }
                tbody { @for entry in &self.scenes { (self.row(context, routes, entry, (&axis, digits))) } }
            }
        };
        framed("Scenes", &table)
    }

    fn row(
        &self,
        context: &Context,
        routes: &RunRoutes,
        entry: &SceneEntry,
        (axis, digits): (&Axis, Digits),
    ) -> Markup {
        let route = routes.scene(&self.dataset, &entry.scene);
        let label = entry.scene.label();
        html! {
            tr data-search=(label.to_lowercase()) {
                td.thumb { (link(context, &route, thumbnail(context, entry.thumbnail.as_deref(), &label))) }
                th.l.name scope="row" data-value=(label) { (link(context, &route, &label)) }
                td.bar { (range_bar(axis, entry.score_low.zip(entry.score_high), digits)) }
                td.dim.opt { (digits.show(entry.score_low)) }
                td.dim.opt { (digits.show(entry.score_high)) }
                td.l { @if let Some(best) = &entry.best { (clipped(best)) } @else { (missing()) } }
                td.dim.opt { (show_count(entry.pictures)) }
                td.dim.bad[entry.failed > 0] { (show_count(entry.failed)) }
            }
        }
    }

    fn pager(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let pages = self.pages();
        html! {
            @if pages > 1 {
                nav.pager aria-label="Pages of scenes" {
                    span {
                        @if self.page > 1 {
                            (pager_link(context, &self.dataset, routes, self.page - 1, "prev", "Previous page"))
                        }
                    }
                    span { "Page " (self.page) " of " (pages) }
                    span {
                        @if self.page < pages {
                            (pager_link(context, &self.dataset, routes, self.page + 1, "next", "Next page"))
                        }
                    }
                }
            }
        }
    }
}

fn pager_link(context: &Context, dataset: &str, routes: &RunRoutes, page: u32, rel: &str, text: &str) -> Markup {
    match context.links.to(&routes.scenes(dataset, page)) {
        Some(href) => html! { a rel=(rel) href=(href) { (text) } },
        None => html! {},
    }
}

/// Returns a bar from the lowest to the highest score.
fn range_bar(axis: &Axis, range: Option<(f64, f64)>, digits: Digits) -> Markup {
    let label = range.map_or("no scores".to_owned(), |(low, high)| {
        format!("scores from {} to {}", digits.text(low), digits.text(high))
    });
    html! {
        svg.bar role="img" aria-label=(label) {
            @for tick in axis.ticks() {
                line.grid x1=(at(axis, tick.value)) x2=(at(axis, tick.value)) y1="0" y2="100%" {}
            }
            @if let Some((low, high)) = range {
                rect.band x=(at(axis, low)) y="50%" transform="translate(0 -5)" height="10" rx="5" data-low=(exact(low)) data-high=(exact(high))
                    width=(format!("{:.2}%", axis.percent(high) - axis.percent(low))) {}
                circle.dot cx=(at(axis, low)) cy="50%" r="2.5" {}
                circle.dot cx=(at(axis, high)) cy="50%" r="2.5" {}
            }
        }
    }
}
