//! Two algorithms of a leaderboard: whether they can be told apart, and in which scenes they differ.

use dqa_pipelines::tables::comparisons::ComparisonRow;
use dqa_pipelines::tables::leaderboard::LeaderboardRow;
use maud::{Markup, html};

use crate::anchor::{clipped, link};
use crate::chart::differences::{DifferenceBar, differences_chart};
use crate::context::Context;
use crate::layout::{Place, page};
use crate::number::{Digits, counted, p_text, show_count, show_p};
use crate::picture::SceneRef;
use crate::route::Format;
use crate::run_routes::RunRoutes;
use crate::table::{Header, Sorted, behind_chart, framed, header_row};
use crate::thumbnail::thumbnail;

/// Scenes in each of the two tables of the largest differences.
const EXTREMES: usize = 8;

/// Rows of the table behind the chart.
const TABLE_ROWS: usize = 200;

/// Two algorithms of a leaderboard.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonPage {
    /// The data set. None for all of the run.
    pub dataset: Option<String>,
    /// The metric.
    pub metric: String,
    /// The comparison. `algorithm_a` is the better one.
    pub row: ComparisonRow,
    /// The rows of the whole leaderboard, to name ranks and to choose others.
    pub leaderboard: Vec<LeaderboardRow>,
    /// The differences of all common scenes, in any order.
    pub scenes: Vec<SceneDifference>,
}

/// Two algorithms' scores of one scene.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneDifference {
    /// The data set.
    pub dataset: String,
    /// The scene.
    pub scene: SceneRef,
    /// The mean score of the first algorithm's pictures of the scene.
    pub score_a: f64,
    /// The mean score of the second algorithm's pictures.
    pub score_b: f64,
    /// The first algorithm's small picture: a path below the site's root.
    pub thumbnail_a: Option<String>,
    /// The second algorithm's small picture.
    pub thumbnail_b: Option<String>,
}

impl SceneDifference {
    fn difference(&self) -> f64 {
        self.score_a - self.score_b
    }
}

impl ComparisonPage {
    /// Renders the page.
    ///
    /// # Panics
    /// If the context has no run.
    pub fn render(&self, context: &Context) -> String {
        let run = context.run.as_ref().expect("a comparison belongs to a run");
        let routes = RunRoutes::new(&run.name);
        let (a, b) = (&self.row.algorithm_a, &self.row.algorithm_b);
        let board = routes.leaderboard(self.dataset.as_deref(), &self.metric, Format::Html);
        let dataset = self.dataset.as_deref().unwrap_or("all data sets");
        let digits = self.digits();
        // The first algorithm's best scenes first, whichever direction is good.
        let mut scenes: Vec<&SceneDifference> = self.scenes.iter().collect();
        scenes.sort_by(|x, y| self.oriented(y).total_cmp(&self.oriented(x)));
        let body = html! {
            nav.pager aria-label="Back" {
                span { "\u{2190} " (link(context, &board, html! { "Leaderboard of " (dataset) " by " (self.metric) })) }
            }
            h1 { (a) " and " (b) }
            p.sub { (self.verdict(digits)) }
            (self.figures(digits))
            @if scenes.is_empty() {
                p.empty { "The two have no scenes in common." }
            } @else {
                h2 { "Differences over scenes" }
                (self.chart(context, &routes, &scenes, digits))
                div.cols {
                    (self.extremes(context, &routes, (a, digits), &scenes[..scenes.len().min(EXTREMES)], true))
                    @let last = scenes.iter().rev().take(EXTREMES).copied().collect::<Vec<_>>();
                    (self.extremes(context, &routes, (b, digits), &last, false))
                }
            }
            (self.others(context, &routes))
        };
        page(context, Place::Leaderboard, &format!("{a} and {b} by {}", self.metric), &body)
    }

    /// Returns a scene's name, with its data set if the page is of all of them.
    fn label(&self, scene: &SceneDifference) -> String {
        let label = scene.scene.label();
        if self.dataset.is_some() { label } else { format!("{}: {label}", scene.dataset) }
    }

    fn scene_link(&self, context: &Context, routes: &RunRoutes, scene: &SceneDifference) -> Markup {
        link(context, &routes.scene(&scene.dataset, &scene.scene), clipped(&self.label(scene)))
    }

    fn digits(&self) -> Digits {
        Digits::for_values(
            self.scenes.iter().flat_map(|scene| [scene.score_a, scene.score_b]).chain([self.row.difference]),
        )
    }

    fn is_lower_better(&self) -> bool {
        self.row.direction.as_deref() == Some("lower")
    }

    /// Returns how much better the first algorithm is in a scene.
    fn oriented(&self, scene: &SceneDifference) -> f64 {
        if self.is_lower_better() { -scene.difference() } else { scene.difference() }
    }

    /// Returns whether the two can be told apart, in words.
    fn verdict(&self, digits: Digits) -> Markup {
        let row = &self.row;
        let level = row.level * 100.0;
        html! {
            @if row.significant {
                strong { (row.algorithm_a) " is better" } " at " (level) "%"
                @if let Some(p) = row.p_corrected { ": p is " (p_text(p)) " after the correction for all pairs" } "."
            } @else if row.testable {
                strong { "A difference was not shown" }
                @if let Some(p) = row.p_corrected { ": p is " (p_text(p)) " after the correction for all pairs" } "."
                @if let Some(smallest) = row.minimum_detectable_difference {
                    " The test finds a true difference of " (digits.text(smallest))
                    " with a power of 80%; a smaller one may be there."
                }
            } @else {
                strong { "They cannot be told apart" } " with " (counted(row.common_scenes, "common scene"))
                ": the smallest possible p is " (p_text(row.p_smallest)) " before the correction."
            }
            @if let (Some(margin), Some(p)) = (row.equivalence_margin, row.equivalence_p_corrected) {
                " Equivalence within " (digits.text(margin)) ": p " (p_text(p)) "."
            }
            @if self.is_lower_better() {
                " Low values of " (self.metric) " are good, so a difference below 0 speaks for " (row.algorithm_a) "."
            }
        }
    }

    fn figures(&self, digits: Digits) -> Markup {
        let row = &self.row;
        html! {
            dl.figures {
                div {
                    dt { "difference of scores" }
                    dd { data data-value=(crate::number::exact(row.difference)) { (digits.signed(row.difference)) }
                        @if row.difference_low.is_some() {
                            " " small { (digits.show_interval(row.difference_low, row.difference_high)) }
                        } @else { " " small { "no interval below 5 common scenes" } }
                    }
                }
                div {
                    dt { "p, corrected" }
                    dd { (show_p(row.p_corrected)) " " small { "of this pair alone " (show_p(Some(row.p))) } }
                }
                div {
                    dt { "better in" }
                    dd {
                        (share(row.probability_of_superiority)) " "
                        small { "of " (show_count(row.common_scenes)) " scenes" }
                    }
                }
                div { dt { "rank-biserial" } dd { (Digits::TWO.show(row.rank_biserial)) } }
                div { dt { "test" } dd { small { (row.test.replace('_', " ")) } } }
            }
        }
    }

    fn chart(&self, context: &Context, routes: &RunRoutes, scenes: &[&SceneDifference], digits: Digits) -> Markup {
        let (a, b) = (&self.row.algorithm_a, &self.row.algorithm_b);
        let bar = |scene: &&SceneDifference| DifferenceBar {
            difference: scene.difference(),
            is_better: self.oriented(scene) >= 0.0,
            title: format!(
                "{}: {} ({a} {}, {b} {})",
                self.label(scene),
                digits.signed(scene.difference()),
                digits.text(scene.score_a),
                digits.text(scene.score_b)
            ),
            href: context.links.to(&routes.scene(&scene.dataset, &scene.scene)),
        };
        let bars: Vec<DifferenceBar> = scenes.iter().map(bar).collect();
        let interval = self.row.difference_low.zip(self.row.difference_high);
        let label = format!("{a} minus {b} in {}", counted(scenes.len() as u64, "scene"));
        let shown = scenes.len().min(TABLE_ROWS);
        let summary =
            if shown < scenes.len() { format!("Table of the first {shown} scenes") } else { "Table".to_owned() };
        html! {
            (differences_chart(&bars, self.row.difference, interval, &label))
            p.note {
                "Each bar is a scene: " (a) " minus " (b) ". Blue: " (a) " is better; orange: " (b) " is. "
                "Line and band: the mean difference with its interval for this pair alone."
            }
            (behind_chart(&summary, &self.table(context, routes, &scenes[..shown], digits)))
        }
    }

    fn table(&self, context: &Context, routes: &RunRoutes, scenes: &[&SceneDifference], digits: Digits) -> Markup {
        let best = if self.is_lower_better() { Sorted::Ascending } else { Sorted::Descending };
        let headers = [
            Header::text("scene"),
            Header::number(&self.row.algorithm_a),
            Header::number(&self.row.algorithm_b),
            Header::number("difference").sorted(best),
        ];
        html! {
            table {
                (header_row(&headers))
                tbody {
                    @for scene in scenes {
                        tr {
                            th.l scope="row" {
                                (self.scene_link(context, routes, scene))
                            }
                            td { (digits.show(Some(scene.score_a))) }
                            td { (digits.show(Some(scene.score_b))) }
                            td { (digits.show(Some(scene.difference()))) }
                        }
                    }
                }
            }
        }
    }

    /// Returns the scenes that speak most for one of the two, with both pictures; nothing if no scene speaks for it.
    fn extremes(
        &self,
        context: &Context,
        routes: &RunRoutes,
        (name, digits): (&str, Digits),
        scenes: &[&SceneDifference],
        is_first: bool,
    ) -> Markup {
        let speaks =
            |scene: &&&SceneDifference| (self.oriented(scene) > 0.0) == is_first && self.oriented(scene) != 0.0;
        let scenes: Vec<&&SceneDifference> = scenes.iter().filter(speaks).collect();
        let (a, b) = (&self.row.algorithm_a, &self.row.algorithm_b);
        let table = html! {
            table {
                thead { tr {
                    th.l scope="col" { "scene" }
                    th.l scope="col" { (clipped(a)) } th.l scope="col" { (clipped(b)) }
                    th scope="col" { "difference" }
                } }
                tbody {
                    @for scene in &scenes {
                        tr {
                            th.l scope="row" {
                                (self.scene_link(context, routes, scene))
                            }
                            td.l.thumb { (thumbnail(context, scene.thumbnail_a.as_deref(), a)) }
                            td.l.thumb { (thumbnail(context, scene.thumbnail_b.as_deref(), b)) }
                            td { (digits.show(Some(scene.difference()))) }
                        }
                    }
                }
            }
        };
        html! {
            section {
                h2 { "Where " (name) " is better" }
                @if scenes.is_empty() {
                    p.note { "In no scene." }
                } @else {
                    (framed(&format!("Where {name} is better"), &table))
                }
            }
        }
    }

    /// Returns links to the comparisons of the two with all others.
    fn others(&self, context: &Context, routes: &RunRoutes) -> Markup {
        let ranked: Vec<&str> =
            self.leaderboard.iter().filter(|row| row.rank.is_some()).map(|row| row.algorithm.as_str()).collect();
        let position = |name: &str| ranked.iter().position(|other| *other == name);
        let pair = |own: &str, other: &str| {
            let (better, worse) = if position(own) <= position(other) { (own, other) } else { (other, own) };
            let route = routes.comparison(self.dataset.as_deref(), &self.metric, (better, worse));
            context.links.to(&route).map(|href| html! { li { a href=(href) { (other) } } })
        };
        html! {
            @if ranked.len() > 2 {
                section {
                    h2 { "Compare with others" }
                    @for own in [&self.row.algorithm_a, &self.row.algorithm_b] {
                        details.tabs {
                            summary { (own) " and \u{2026}" }
                            ul { @for other in ranked.iter().filter(|other| *other != own) {
                                @if let Some(item) = pair(own, other) { (item) }
                            } }
                        }
                    }
                }
            }
        }
    }
}

fn share(value: Option<f64>) -> Markup {
    match value {
        Some(value) => html! { data data-value=(crate::number::exact(value)) { (format!("{:.0}%", value * 100.0)) } },
        None => crate::number::missing(),
    }
}
